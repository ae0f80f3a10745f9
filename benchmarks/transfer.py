"""The N x N transfer evaluation, against crafting and scoring pair by pair.

python -m benchmarks.transfer {--data_dir=FOLDER | --synthetic} [--flag=value ...]

Every one of N noised copies attacks all N copies with PGD-10. *ours* is `Evaluator.attack`, the
controls (clean predictions, random noise, zero gradients) made before; *pair by pair* crafts anew
for each of the N^2 pairs and scores clean and attacked images of the victim; *floor* is N crafts
and N^2 forward passes, as compiled functions on batches in memory. Where N^2 is large, pair by pair
is measured on some pairs and multiplied up: it takes the same for each. All share one compiled
attack. *apart* is the largest difference between success rates and those of ours.
"""

from collections.abc import Callable, Sequence

from benchmarks import options
from fedsafe_tff.commands import main

_STEPS = 10
_EPS = 0.05
_SIGMA = 0.01
_BATCH = 64
_TOLERANCE = 0.05


def transfer(arguments: Sequence[str]) -> int:
  """Measures and writes the page; returns the exit code."""
  parser = options.parser("transfer", __doc__)
  parser.add_argument("--images", type=options.at_least(1), default=32, help="to attack")
  parser.add_argument("--copies", type=options.numbers, default=(3, 10, 30), help="values of N")
  parser.add_argument("--pairs", type=options.at_least(1), default=9, help="measured at most")
  parser.add_argument("--compute_dtype", choices=("float32", "bfloat16"), default="float32")
  values = parser.parse_args(arguments)
  import numpy as np

  from benchmarks import measure
  from benchmarks import workload as workload_lib
  from benchmarks.page import Page, rate
  from fedsafe_tff.runtime import gpus

  gpus.configure()
  work = workload_lib.load(values, values.images)
  images, labels = work.clients(1, values.images)[0]
  fp32 = measure.matrix_rate(size=8192 if gpus.visible() else 4096)
  rows, agree = [], True
  for count in values.copies:
    sides = _Sides(work.model(values.compute_dtype), images, labels, count, values.pairs)
    contenders = {"ours": sides.ours, "pair by pair": sides.pair_by_pair, "floor": sides.floor}
    seconds = measure.interleaved(contenders, values.repeats, log=workload_lib.say)
    flops = work.flops
    work_done = values.images * (
      count * _STEPS * flops.input_gradient + count * count * flops.forward
    )
    for name in contenders:
      apart = float(np.nanmax(np.abs(sides.found[name] - sides.found["ours"])))
      agree &= apart <= _TOLERANCE
      spread = measure.Spread.of(seconds[name])
      # Pair by pair does more than is needed: its share counts what is needed.
      rows.append(
        [
          f"{name}, N = {count}",
          spread.text(),
          measure.ratio(seconds[name], seconds["floor"]).text(),
          measure.ratio(seconds[name], seconds["ours"]).text(),
          f"{100 * work_done / spread.median / fp32:.0f} %",
          f"{apart:.2g}",
        ]
      )
  page = Page("transfer", __doc__.split("\n\n", 2)[2], arguments)
  page.machine(
    images=work.describe(),
    devices=", ".join(gpus.describe(device) for device in gpus.device_names()),
    attack=f"PGD-{_STEPS} on {values.images} images, eps {_EPS}, copies noised with {_SIGMA}, "
    f"{values.compute_dtype}",
    measured_pairs=f"at most {values.pairs}",
    float32_matrix_rate=rate(fp32),
    repeats=f"{values.repeats}, interleaved; median (least-greatest), of ratios too",
  )
  page.table(
    ["contender", "seconds", "over the floor", "over ours", "share of matrix rate", "apart"], rows
  )
  if not agree:
    page.say(f"**The success rates do not agree** (tolerance {_TOLERANCE}).")
  page.publish(values.out)
  return 0 if agree else 1


class _Sides:
  """The three ways for one N; `found` holds the success rates of each, NaN where not measured."""

  def __init__(self, model, images, labels, count: int, max_pairs: int):
    import tensorflow as tf

    from fedsafe_tff import keys
    from fedsafe_tff.attacks.spec import AttackSpec
    from fedsafe_tff.evaluation.accuracy import to_float
    from fedsafe_tff.evaluation.transfer import Evaluator
    from fedsafe_tff.training.copies import noisy_copy

    root = keys.root(0)
    weights = model.init(keys.fold(root, keys.INIT))
    copies = [noisy_copy(weights, _SIGMA, root, 0, client) for client in range(count)]
    self._copies = [tuple(tf.constant(w) for w in copy) for copy in copies]
    self._spec = AttackSpec("pgd", _EPS, steps=_STEPS)
    self._evaluator = Evaluator(
      model, copies, images, labels, key=keys.fold(root, keys.EVALUATION), batch_size=_BATCH
    )
    self._evaluator.attack(self._spec)
    self._batches = [
      (to_float(images[i : i + _BATCH]), tf.constant(labels[i : i + _BATCH], tf.int32))
      for i in range(0, len(labels), _BATCH)
    ]
    self._craft, self._predict = _compiled(model, self._spec)
    pairs = [(a, v) for a in range(count) for v in range(count)]
    # Evenly over the matrix; a stride that is no multiple of N meets other victims too.
    self._pairs = pairs if len(pairs) <= max_pairs else pairs[:: -(-len(pairs) // max_pairs)]
    self._clean = None
    self.found: dict = {}

  def _empty(self):
    import numpy as np

    return np.full([len(self._copies)] * 2, np.nan)

  def ours(self) -> None:
    self.found["ours"] = self._evaluator.attack(self._spec).flip

  def floor(self) -> None:
    import numpy as np

    flips = self._empty()
    clean = self._clean_predictions()
    for adversary, weights in enumerate(self._copies):
      made = [self._craft(weights, x, y) for x, y in self._batches]
      for victim, copy in enumerate(self._copies):
        after = np.concatenate([self._predict(copy, x).numpy() for x in made])
        flips[adversary, victim] = (after != clean[victim]).mean()
    self.found["floor"] = flips

  def _clean_predictions(self):
    """Made once, as the controls of ours are."""
    import numpy as np

    if self._clean is None:
      self._clean = [
        np.concatenate([self._predict(copy, x).numpy() for x, _ in self._batches])
        for copy in self._copies
      ]
    return self._clean

  def pair_by_pair(self) -> float:
    """Returns the seconds for all pairs."""
    import time

    import numpy as np

    flips = self._empty()
    begun = time.perf_counter()
    for adversary, victim in self._pairs:
      changed = []
      for x, y in self._batches:
        made = self._craft(self._copies[adversary], x, y)
        before = self._predict(self._copies[victim], x).numpy()
        changed.append(self._predict(self._copies[victim], made).numpy() != before)
      flips[adversary, victim] = np.concatenate(changed).mean()
    elapsed = time.perf_counter() - begun
    self.found["pair by pair"] = flips
    return elapsed * len(self._copies) ** 2 / len(self._pairs)


def _compiled(model, spec) -> tuple[Callable, Callable]:
  import tensorflow as tf

  from fedsafe_tff import keys
  from fedsafe_tff.attacks.craft import craft

  x = tf.TensorSpec([None, *model.input_shape], tf.float32)
  y = tf.TensorSpec([None], tf.int32)

  @tf.function(input_signature=[model.weight_specs(), x, y])
  def attack(weights, x, y):
    return craft(lambda inputs: model.apply(weights, inputs), x, y, spec, keys.root(0))

  @tf.function(input_signature=[model.weight_specs(), x])
  def predict(weights, x):
    return tf.argmax(model.apply(weights, x), 1, tf.int32)

  return attack, predict


if __name__ == "__main__":
  main.run(transfer)
