"""DP-SGD's gradient against the plain one: time of a step, side by side.

python -m benchmarks.dp_sgd {--data_dir=FOLDER | --synthetic} [--flag=value ...]

Each contender is a compiled gradient of the same batch on the same network. *Ratio* is its time
over the plain gradient's, on clean or on adversarial images as the case may be, in pairs; *of
least* is the ratio of the least times, which other programs on the machine disturb the least.
`vectorized_map` and tensorflow-privacy's optimizers are the ways that its documentation shows.
"""

from collections.abc import Sequence

from benchmarks import options
from fedsafe_tff.commands import main

_PLAIN, _ADVERSARIAL = "plain", "adversarial, {} steps"
_OTHERS = ("vectorized_map", "tensorflow_privacy")
_MOST = 2.0  # what a private step may cost


def dp_sgd(arguments: Sequence[str]) -> int:
  """Measures and writes the page; returns the exit code."""
  parser = options.parser("dp_sgd", __doc__)
  parser.add_argument("--attack_steps", type=options.at_least(1), default=2, help="of PGD")
  parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
  parser.add_argument(
    "--others", type=options.names(*_OTHERS), default=_OTHERS, help="ways to compare with"
  )
  values = parser.parse_args(arguments)
  from benchmarks import measure
  from benchmarks import workload as workload_lib
  from benchmarks.page import Page
  from fedsafe_tff.runtime import gpus

  gpus.configure()
  work = workload_lib.load(values, values.batch_size)
  contenders = _contenders(work, values)
  seconds = measure.interleaved(contenders, values.repeats, log=workload_lib.say)
  page = Page("dp_sgd", __doc__.split("\n\n", 2)[2], arguments)
  page.machine(
    images=work.describe(),
    devices=", ".join(gpus.describe(device) for device in gpus.device_names()),
    batch=f"{values.batch_size} images, {values.dtype}",
    repeats=f"{values.repeats}, interleaved; median (least-greatest), of ratios too",
  )
  adversarial = _ADVERSARIAL.format(values.attack_steps)
  rows, least = [], {}
  for name, times in seconds.items():
    floor = adversarial if adversarial in name else _PLAIN
    least[name] = min(times) / min(seconds[floor])
    rows.append([
      name,
      measure.Spread.of([1000 * t for t in times]).text(),
      measure.ratio(times, seconds[floor]).text(),
      measure.significant(least[name]),
    ])
  page.table(["gradient", "ms", "ratio", "of least"], rows)
  worst = max(ratio for name, ratio in least.items() if name.startswith("private"))
  if worst > _MOST:
    page.say(f"**A private step costs more than {_MOST:g} plain ones.**")
  page.publish(values.out)
  return 0


def _contenders(work, values) -> dict:
  """Functions without arguments, by name."""
  import tensorflow as tf

  from benchmarks import rounds
  from fedsafe_tff import keys
  from fedsafe_tff.models.functional import cross_entropy
  from fedsafe_tff.privacy.dp_sgd.gradient import DpSgd

  model = work.model(values.dtype)
  weights = [tf.convert_to_tensor(w) for w in rounds.initial_weights(work)]
  images, labels = work.clients(1, values.batch_size)[0]
  x = tf.cast(tf.constant(images), tf.float32) / 255.0
  y = tf.constant(labels, tf.int32)
  key, size = keys.root(0), values.batch_size

  def compiled(gradient):
    run = tf.function(
      lambda w, x, y: gradient(model, w, x, y, key=key, step=0)[2], autograph=False
    )
    return lambda: _finish(run(tuple(weights), x, y))

  attack = {"attack_eps": 0.03, "attack_steps": values.attack_steps}
  adversarial = _ADVERSARIAL.format(values.attack_steps)
  infinite = float("inf")
  contenders = {
    _PLAIN: compiled(DpSgd(infinite, 0.0, size)),
    "private": compiled(DpSgd(1.0, 1.0, size)),
    adversarial: compiled(DpSgd(infinite, 0.0, size, **attack)),
    f"private, {adversarial}": compiled(DpSgd(1.0, 1.0, size, **attack)),
  }
  if "vectorized_map" in values.others:
    contenders["vectorized_map"] = compiled(_vectorized)
  if "tensorflow_privacy" in values.others:
    contenders |= _tensorflow_privacy(model, weights, x, y, cross_entropy)
  return contenders


def _finish(gradients) -> None:
  """Waits until they are there."""
  for gradient in gradients:
    gradient.numpy()


def _vectorized(model, weights, x, y, *, key, step):
  import tensorflow as tf

  from fedsafe_tff.models.functional import cross_entropy

  def one(example):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(weights)
      logits = model.apply(weights, example[0][tf.newaxis], seed=key, training=True)
      loss = cross_entropy(logits, example[1][tf.newaxis])[0]
    clipped, _ = tf.clip_by_global_norm(tape.gradient(loss, weights), 1.0)
    return tuple(clipped)

  made = tf.vectorized_map(one, (x, y))
  return None, None, tuple(tf.reduce_mean(g, 0) for g in made)


def _tensorflow_privacy(model, weights, x, y, cross_entropy) -> dict:
  import tensorflow as tf
  import tensorflow_privacy as tfp

  from fedsafe_tff import keys

  def build(optimizer_class):
    variables = [tf.Variable(w) for w in weights]
    optimizer = optimizer_class(
      l2_norm_clip=1.0, noise_multiplier=1.0, num_microbatches=len(y), learning_rate=0.0
    )

    def loss():
      return cross_entropy(model.apply(variables, x, seed=keys.root(0), training=True), y)

    def step():
      with tf.GradientTape(persistent=True) as tape:
        losses = loss()
      pairs = optimizer._compute_gradients(losses, variables, tape=tape)
      return tuple(gradient for gradient, _ in pairs)

    run = tf.function(step, autograph=False)  # one graph, as for the others
    return lambda: _finish(run())

  return {
    name: build(getattr(tfp, name))
    for name in ("DPKerasSGDOptimizer", "VectorizedDPKerasSGDOptimizer")
  }


if __name__ == "__main__":
  main.run(dp_sgd)
