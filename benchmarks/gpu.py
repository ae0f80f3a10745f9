"""A paper-size round with the wide network on the GPUs, against the bare loop on the first of them.

python -m benchmarks.gpu {--data_dir=FOLDER | --synthetic} [--flag=value ...]

One command of under 8 minutes for whoever has an NVIDIA GPU, with `requirements-gpu.txt` installed:
time, agreement with the bare loop (*apart*, as a share of the round's step), share of the card's
matrix rate (TensorFlow multiplies float32 matrices in TF32 on newer cards), and the utilisation and
memory that `nvidia-smi` reports meanwhile. TensorFlow keeps what it once took, so that its own peak
stands beside it. The device runtime takes all GPUs there are, the bare loop the first. --xla adds
the bare loop with its gradient compiled by XLA.
"""

import contextlib
import time
from collections.abc import Sequence

from benchmarks import options
from fedsafe_tff.commands import main
from fedsafe_tff.errors import UserError

_DTYPES = ("float32", "bfloat16")
_BARE, _OURS = "bare loop, {}", "device runtime, {}"
_XLA = "bare loop in XLA, {}"
# TF32 keeps 10 bits of a mantissa, and which algorithm multiplies is measured anew in each graph.
_TOLERANCE = {"float32": 0.1, "bfloat16": 0.5}
_WARMUP = 2


def gpu(arguments: Sequence[str]) -> int:
  """Measures and writes the page; returns the exit code."""
  begun = time.monotonic()
  parser = options.parser("gpu", __doc__)
  parser.set_defaults(conv_widths="wide", batch_size=100)
  parser.add_argument("--clients", type=options.at_least(1), default=3)
  parser.add_argument("--images_per_client", type=options.at_least(1), default=950)
  parser.add_argument("--dtypes", type=options.names(*_DTYPES), default=_DTYPES)
  parser.add_argument("--xla", action="store_true", help="more contenders, see above")
  parser.add_argument("--minutes", type=options.at_least(1), default=7, help="leaves out repeats")
  parser.add_argument(
    "--without_gpu", action="store_true", help="try it on CPU devices where there is no GPU"
  )
  values = parser.parse_args(arguments)
  from benchmarks import measure, ours, rounds
  from benchmarks import workload as workload_lib
  from benchmarks.utilisation import Utilisation
  from fedsafe_tff.runtime import gpus

  ours.split_cpu(2)
  if not gpus.visible() and not values.without_gpu:
    gpus.check_no_idle_gpu()
    raise UserError("this machine has no GPU: --without_gpu tries the same on its CPU")
  work = workload_lib.load(values, values.clients * values.images_per_client)
  clients = work.clients(values.clients, values.images_per_client)
  with contextlib.ExitStack() as stack:
    runtime = stack.enter_context(ours.open_runtime("device", None))
    store = work.store(clients)
    contenders = _contenders(values, work, clients, store, runtime)
    utilisation = stack.enter_context(Utilisation())
    peaks: dict[str, float] = {}
    seconds = measure.interleaved(
      {
        name: utilisation.watched(name, _with_peak(name, made, peaks))
        for name, made in contenders.items()
      },
      values.repeats,
      warmup=_WARMUP,
      until=begun + 60 * values.minutes,
      log=workload_lib.say,
    )
    weights = {name: contender.weights for name, contender in contenders.items()}
    devices = runtime.devices
  busy = utilisation.rows(_WARMUP)
  heading = ["contender", "GPU", "utilisation", "MiB at most", "TensorFlow's peak, GPU 0"]
  busy = [[*row, f"{peaks[row[0]]:.0f}" if row[0] in peaks else "-"] for row in busy]
  notes = [] if gpus.visible() else ["**No GPU**: these figures are those of logical CPU devices."]
  bfloat16 = measure.matrix_rate("bfloat16", size=8192) if gpus.visible() else None
  return rounds.publish(
    "gpu",
    __doc__.split("\n\n", 2)[2],
    arguments,
    values,
    work,
    seconds,
    weights,
    references=[_BARE.format(values.dtypes[0])],
    same={dtype: _BARE.format(dtype) for dtype in values.dtypes},
    notes=notes,
    facts={"devices": ", ".join(devices)} | _card_facts(bfloat16),
    tables=[(heading, busy)] if busy else [],
    tolerance=_TOLERANCE,
    unlike=[_XLA.format(dtype) for dtype in values.dtypes],
  )


def _with_peak(name: str, contender, peaks: dict[str, float]):
  """The contender; the most MiB that TensorFlow used on the first GPU in its last run is kept."""
  import tensorflow as tf

  from fedsafe_tff.runtime import gpus

  if not gpus.visible():
    return contender

  def run() -> None:
    tf.config.experimental.reset_memory_stats("GPU:0")
    contender()
    peaks[name] = tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20

  return run


def _contenders(values, work, clients, store, runtime) -> dict:
  from benchmarks import bare, ours

  found = {}
  for dtype in values.dtypes:
    model = work.model(dtype)
    found[_BARE.format(dtype)] = bare.BareRound(model, clients, batch_size=work.batch_size)
    found[_OURS.format(dtype)] = ours.OurRound(
      runtime, model, store, len(clients), batch_size=work.batch_size
    )
    if values.xla:
      found[_XLA.format(dtype)] = bare.BareRound(
        model, clients, batch_size=work.batch_size, xla=True
      )
  return found


def _card_facts(bfloat16_rate: float | None) -> dict[str, str]:
  """Driver, CUDA and rates of the first card."""
  import subprocess

  import tensorflow as tf

  from benchmarks.page import rate
  from fedsafe_tff.runtime import gpus

  if not gpus.visible():
    return {}
  build = tf.sysconfig.get_build_info()
  query = ["nvidia-smi", "--query-gpu=driver_version,memory.total", "--format=csv,noheader"]
  try:
    driver = subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.splitlines()
  except (OSError, subprocess.SubprocessError):
    driver = []
  return {
    "driver, memory": driver[0] if driver else "unknown",
    "CUDA, cuDNN": f"{build.get('cuda_version')}, {build.get('cudnn_version')}",
    "TF32": str(tf.config.experimental.tensor_float_32_execution_enabled()),
    "bfloat16 matrix rate": rate(bfloat16_rate),
  }


if __name__ == "__main__":
  main.run(gpu)
