"""What a local step of adversarial training costs, in plain steps, side by side.

python -m benchmarks.local_training {--data_dir=FOLDER | --synthetic} [--flag=value ...]

Each contender is the compiled gradient of the same batch on the same network. *Ratio* is its time
over the plain gradient's, in pairs; *of least* is the ratio of the least times, which other
programs on the machine disturb the least. PGD with k steps takes k input gradients and one of the
weights: at most k + 1.1. TRADES takes that of the clean images too.
"""

from collections.abc import Sequence

from benchmarks import options
from fedsafe_tff.commands import main

_STEPS = (1, 2, 7)
_MORE = 1.1  # beside the input gradients


def local_training(arguments: Sequence[str]) -> int:
  """Measures and writes the page; returns the exit code."""
  parser = options.parser("local_training", __doc__)
  names = ("cnn", "gn_cnn", "gn_silu_cnn")
  parser.add_argument("--model", choices=names, default="gn_cnn", help="the network")
  values = parser.parse_args(arguments)
  from benchmarks import measure
  from benchmarks import workload as workload_lib
  from benchmarks.page import Page
  from fedsafe_tff.runtime import gpus

  gpus.configure()
  work = workload_lib.load(values, values.batch_size)
  seconds = measure.interleaved(_contenders(work, values), values.repeats, log=workload_lib.say)
  page = Page("local_training", __doc__.split("\n\n", 2)[2], arguments)
  page.machine(
    images=work.describe().split("; CNN")[0],
    devices=", ".join(gpus.describe(device) for device in gpus.device_names()),
    batch=f"{values.batch_size} images, {values.model} of {values.conv_widths} widths, float32",
    repeats=f"{values.repeats}, interleaved; median (least-greatest), of ratios too",
  )
  plain, rows, dear = seconds["plain"], [], []
  for name, times in seconds.items():
    least = min(times) / min(plain)
    rows.append([
      name,
      measure.Spread.of([1000 * t for t in times]).text(),
      measure.ratio(times, plain).text(),
      measure.significant(least),
    ])
    if name.startswith("PGD") and least > int(name.split("-")[1]) + _MORE:
      dear.append(name)
  page.table(["gradient", "ms", "ratio", "of least"], rows)
  if dear:
    page.say(f"**More than k + {_MORE:g} plain steps: {', '.join(dear)}.**")
  page.publish(values.out)
  return 0


def _contenders(work, values) -> dict:
  """Functions without arguments, by name."""
  import tensorflow as tf

  from fedsafe_tff import keys
  from fedsafe_tff.models import gn_cnn
  from fedsafe_tff.training.gradients import Adversarial, Plain

  model = work.model()
  if values.model != "cnn":
    model = gn_cnn.build_gn_cnn(
      input_shape=model.input_shape,
      num_classes=model.num_classes,
      conv_widths=work.conv_widths,
      pool_grid=3,
      activation="silu" if values.model == "gn_silu_cnn" else "relu",
    )
  weights = model.init(keys.root(0))
  images, labels = work.clients(1, values.batch_size)[0]
  x = tf.cast(tf.constant(images), tf.float32) / 255.0
  y = tf.constant(labels, tf.int32)

  def compiled(gradient):
    def call(w, x, y):
      given = {"key": keys.root(1), "step": tf.constant(0), "attack_eps": tf.constant(0.03)}
      return gradient(model, w, x, y, **given)[2]

    run = tf.function(call, autograph=False)

    def finish() -> None:
      for made in run(tuple(weights), x, y):
        made.numpy()

    return finish

  contenders = {"plain": compiled(Plain())}
  for steps in _STEPS:
    contenders[f"PGD-{steps}"] = compiled(Adversarial(0.03, steps))
  contenders["TRADES, PGD-2"] = compiled(Adversarial(0.03, 2, loss="trades"))
  contenders["TRADES, PGD-2, AWP"] = compiled(
    Adversarial(0.03, 2, loss="trades", weight_ascent=0.005)
  )
  return contenders


if __name__ == "__main__":
  main.run(local_training)
