"""PGD in images per second, against cleverhans, Foolbox and ART and the floor.

python -m benchmarks.pgd {--data_dir=FOLDER | --synthetic} [--flag=value ...]

The floor is the bare input gradients: a compiled function, called once a step. Ours is `craft`,
compiled once, as the evaluation uses it; the libraries run as their documentation shows, on the
same network in Keras, in float32. All attack the same images from the same start with the same
step. *unlike ours* is the share of pixels that differ from ours in float32: Foolbox and ART run the
network eagerly, whose last bits are not those of the compiled one, and where a gradient is almost
zero its sign follows. (On one and the same graph all agree bit for bit, see tests/attacks.)
"""

from collections.abc import Sequence

from benchmarks import options
from fedsafe_tff.commands import main

_EPS = 0.05
_DTYPES = ("float32", "bfloat16")
_LIBRARIES = ("cleverhans", "foolbox", "art")
_OURS, _FLOOR = "ours, {}", "input gradients, {}"
_TOLERANCE = 0.2


def pgd(arguments: Sequence[str]) -> int:
  """Measures and writes the page; returns the exit code."""
  parser = options.parser("pgd", __doc__)
  parser.add_argument("--images", type=options.at_least(1), default=128, help="to attack")
  parser.add_argument("--steps", type=options.at_least(1), default=10, help="of PGD")
  parser.add_argument("--attack_batches", type=options.numbers, default=(32, 128))
  parser.add_argument("--libraries", type=options.names(*_LIBRARIES), default=_LIBRARIES)
  values = parser.parse_args(arguments)
  from benchmarks import measure
  from benchmarks import workload as workload_lib
  from benchmarks.page import Page, rate
  from fedsafe_tff.runtime import gpus

  gpus.configure()
  work = workload_lib.load(values, values.images)
  images, labels = work.clients(1, values.images)[0]
  page = Page("pgd", __doc__.split("\n\n", 2)[2], arguments)
  rows, agree = [], True
  for batch_size in values.attack_batches:
    batches = batches_of(images, labels, batch_size)
    attacks = _attacks(work, values.libraries, values.steps)
    contenders = {name: Contender(attack, batches) for name, attack in attacks.items()}
    seconds = measure.interleaved(contenders, values.repeats, log=workload_lib.say)
    reference = contenders[_OURS.format("float32")].made
    for name in attacks:
      apart = None
      if not name.startswith("input"):
        apart = float((contenders[name].made != reference).mean())
        agree &= apart <= _TOLERANCE or name == _OURS.format("bfloat16")
      rows.append(_row(name, batch_size, seconds, apart, values.images))
  fp32 = measure.matrix_rate(size=8192 if gpus.visible() else 4096)
  flops = values.steps * work.flops.input_gradient
  for row in rows:
    row.insert(-1, f"{100 * row.pop(2) * flops / fp32:.0f} %")
  page.machine(
    images=work.describe(),
    devices=", ".join(gpus.describe(device) for device in gpus.device_names()),
    attack=f"PGD-{values.steps} on {values.images} images, eps {_EPS}, {flops / 1e9:.3g} GFLOP per "
    "image",
    float32_matrix_rate=rate(fp32),
    repeats=f"{values.repeats}, interleaved; median (least-greatest), of ratios too",
  )
  page.table(
    [
      "contender",
      "batch",
      "images/s",
      "time over the floor of its dtype",
      "ours, float32, is faster by",
      "ours, bfloat16, is faster by",
      "share of matrix rate",
      "unlike ours",
    ],
    rows,
  )
  if not agree:
    page.say(f"**The images do not agree** (tolerance {_TOLERANCE} of the pixels).")
  page.publish(values.out)
  return 0 if agree else 1


def _row(name: str, batch_size: int, seconds, apart: float | None, count: int) -> list:
  from benchmarks import measure

  dtype = "bfloat16" if name.endswith("bfloat16") else "float32"
  speed = measure.Spread.of([count / s for s in seconds[name]])
  faster = [measure.ratio(seconds[name], seconds[_OURS.format(d)]).text() for d in _DTYPES]
  return [
    name,
    batch_size,
    speed.median,  # replaced by the share of the matrix rate, which is measured last
    speed.text(),
    measure.ratio(seconds[name], seconds[_FLOOR.format(dtype)]).text(),
    *faster,
    "-" if apart is None else f"{100 * apart:.2g} %",
  ]


def batches_of(images, labels, batch_size: int) -> list:
  """Images, float32 in [0, 1], and labels, batch by batch."""
  import tensorflow as tf

  from fedsafe_tff.evaluation.accuracy import to_float

  return [
    (to_float(images[i : i + batch_size]), tf.constant(labels[i : i + batch_size], tf.int32))
    for i in range(0, len(labels), batch_size)
  ]


class Contender:
  """Attacks all batches; keeps the images."""

  def __init__(self, attack, batches):
    self._attack, self._batches = attack, batches
    self.made = None

  def __call__(self) -> None:
    import numpy as np

    self.made = np.concatenate([np.asarray(self._attack(x, y)) for x, y in self._batches])


def _attacks(work, libraries: Sequence[str], steps: int) -> dict:
  """Functions of (images, labels); fresh ones, whose graphs fit the batches to come."""
  from benchmarks import keras_cnn, rounds

  weights = rounds.initial_weights(work)
  keras_model = keras_cnn.build(
    work.input_shape, work.num_classes, work.conv_widths, work.dense_widths, *work.normalisation
  )
  keras_model.set_weights(weights)
  attacks = {}
  for dtype in _DTYPES:
    floor, ours = _own(work.model(dtype), weights, steps)
    attacks[_FLOOR.format(dtype)], attacks[_OURS.format(dtype)] = floor, ours
  made = {"cleverhans": _cleverhans, "foolbox": _foolbox, "art": _art}
  return attacks | {name: made[name](keras_model, work, steps) for name in libraries}


def _own(model, weights, steps: int):
  import tensorflow as tf

  from fedsafe_tff import keys
  from fedsafe_tff.attacks.craft import craft
  from fedsafe_tff.attacks.spec import AttackSpec

  weights = tuple(tf.constant(weight) for weight in weights)
  spec = AttackSpec("pgd", _EPS, steps=steps)
  key = keys.root(0)

  @tf.function
  def ours(weights, x, y):
    return craft(lambda inputs: model.apply(weights, inputs), x, y, spec, key)

  return bare(model, weights, steps), lambda x, y: ours(weights, x, y)


def bare(model, weights, count: int, sigma: float = 0.0):
  """A function of (images, labels) that takes so many input gradients, and nothing else.

  Args:
    model: The model.
    weights: Its weights.
    count: How many gradients.
    sigma: Of noise that is drawn on the weights before each; 0 for none.
  """
  import tensorflow as tf

  # Written out: what ours is measured against must not be ours.
  @tf.function
  def gradient(weights, x, y):
    if sigma:
      weights = tuple(w + tf.random.normal(w.shape, 0.0, sigma) for w in weights)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(x)
      losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, model.apply(weights, x))
    return tape.gradient(losses, x)

  def floor(x, y):
    for _ in range(count):
      found = gradient(weights, x, y)
    return found

  return floor


def _cleverhans(keras_model, work, steps: int):
  del work
  import numpy as np
  from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

  def attack(x, y):
    return projected_gradient_descent(
      keras_model,
      x,
      _EPS,
      _EPS / steps,
      steps,
      np.inf,
      clip_min=0.0,
      clip_max=1.0,
      y=y,
      rand_init=False,
      sanity_checks=False,
    )

  return attack


def _foolbox(keras_model, work, steps: int):
  del work
  import foolbox

  model = foolbox.TensorFlowModel(keras_model, bounds=(0, 1))
  attack = foolbox.attacks.LinfProjectedGradientDescentAttack(
    abs_stepsize=_EPS / steps, steps=steps, random_start=False
  )
  return lambda x, y: attack.run(model, x, y, epsilon=_EPS)


def _art(keras_model, work, steps: int):
  from art.attacks.evasion import ProjectedGradientDescent
  from art.estimators.classification import TensorFlowV2Classifier

  from benchmarks import keras_cnn

  classifier = TensorFlowV2Classifier(
    model=keras_model,
    nb_classes=work.num_classes,
    input_shape=work.input_shape,
    loss_object=keras_cnn.loss(),
    clip_values=(0, 1),
  )

  def attack(x, y):
    made = ProjectedGradientDescent(
      classifier,
      eps=_EPS,
      eps_step=_EPS / steps,
      max_iter=steps,
      num_random_init=0,
      batch_size=len(y),
      verbose=False,
    )
    return made.generate(x.numpy(), y.numpy())

  return attack


if __name__ == "__main__":
  main.run(pgd)
