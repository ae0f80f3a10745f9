"""The page that all benchmarks of a round share: seconds, ratios, agreement of the weights."""

from collections.abc import Mapping, Sequence

from benchmarks import measure
from benchmarks.page import Page, percent, rate
from benchmarks.workload import SEED, Workload

# Rounding errors grow over the steps of a round, the more the coarser they are.
TOLERANCE = {"float32": 0.01, "bfloat16": 0.5}


def dtype_of(contender: str) -> str:
  """The compute dtype with which a contender's name ends."""
  return contender.rsplit(", ", 1)[1]


def initial_weights(work: Workload) -> list:
  """The weights from which every contender starts."""
  from fedsafe_tff import keys

  return [w.numpy() for w in work.model().init(keys.fold(keys.root(SEED), keys.INIT))]


def publish(
  name: str,
  what: str,
  arguments: Sequence[str],
  values,
  work: Workload,
  seconds: Mapping[str, Sequence[float]],
  weights: Mapping[str, Sequence],
  *,
  references: Sequence[str],
  same: Mapping[str, str],
  notes: Sequence[str] = (),
  facts: Mapping[str, str] | None = None,
  tables: Sequence[tuple[Sequence[str], Sequence[Sequence[str]]]] = (),
  tolerance: Mapping[str, float] = TOLERANCE,
  unlike: Sequence[str] = (),
) -> int:
  """Writes the page; returns the exit code, 1 if weights that must agree do not.

  Args:
    name: The benchmark.
    what: What it measures.
    arguments: The command line.
    values: Its flags, `clients` and `images_per_client` among them.
    work: The workload.
    seconds: Of each contender, whose name ends in its dtype.
    weights: After the round, of each contender.
    references: Contenders over which ratios are given.
    same: For each dtype, the contender whose weights the others of it must have.
    notes: Paragraphs to add.
    facts: More for the list of what the figures depend on, by name.
    tables: More tables, as headings and rows.
    tolerance: Largest distance by dtype.
    unlike: Contenders that need not agree.
  """
  from benchmarks import ours
  from fedsafe_tff.runtime import gpus

  fp32 = measure.matrix_rate(size=8192 if gpus.visible() else 4096)
  flops = values.clients * values.images_per_client * work.flops.training
  start = initial_weights(work)
  rows, agree = [], True
  for contender, measured in seconds.items():
    dtype = dtype_of(contender)
    apart = ours.distance(weights[contender], weights[same[dtype]], start)
    agree &= apart <= tolerance[dtype] or contender in unlike
    spread = measure.Spread.of(measured)
    ratios = [measure.ratio(measured, seconds[reference]).text() for reference in references]
    share = percent(flops / spread.median / fp32)
    rows.append([contender, spread.text(), *ratios, share, f"{apart:.1e}"])
  page = Page(name, what, arguments)
  devices = ", ".join(gpus.describe(device) for device in gpus.device_names())
  known = {
    "images": work.describe(),
    "round": f"{values.clients} clients of {values.images_per_client} images, 1 epoch, "
    f"{flops / 1e12:.3g} TFLOP",
    "devices": devices,
    "float32 matrix rate": rate(fp32),
    "repeats": f"{len(seconds[references[0]])}, interleaved; median (least-greatest), of ratios "
    "too",
  }
  page.machine(**known | (facts or {}))
  over = [f"over {reference}" for reference in references]
  page.table(["contender", "seconds a round", *over, "share of matrix rate", "apart"], rows)
  for headings, more in tables:
    page.table(headings, more)
  for note in notes:
    page.say(note)
  if not agree:
    page.say(f"**The weights do not agree** (tolerance {dict(tolerance)}).")
  page.publish(values.out)
  return 0 if agree else 1
