"""Every white-box attack's time over that of as many bare input gradients, an ensemble's too.

python -m benchmarks.attacks {--data_dir=FOLDER | --synthetic} [--flag=value ...]

The floor is the bare input gradient: a compiled function, called as often as the attack takes one.
Ours are compiled once, as the evaluation uses them, in float32. An ensemble of ten noised draws a
step takes ten gradients a step, and draws ten models: beside the floor of as many gradients stands
that of as many with a draw before each.
"""

from collections.abc import Sequence

from benchmarks import options
from benchmarks.pgd import Contender, bare, batches_of
from fedsafe_tff.commands import main

_EPS, _SIGMA = 0.03, 0.01
_DRAWS = 10
_FLOOR = "{} bare gradients"
_DRAWN = "{} with a draw before each"
_RANDOM = {"random_start": True, "keep": "worst"}


def attacks(arguments: Sequence[str]) -> int:
  """Measures and writes the page; returns the exit code."""
  parser = options.parser("attacks", __doc__)
  parser.add_argument("--images", type=options.at_least(1), default=64, help="to attack")
  parser.add_argument("--steps", type=options.at_least(2), default=10, help="of each attack")
  values = parser.parse_args(arguments)
  from benchmarks import measure
  from benchmarks import workload as workload_lib
  from benchmarks.page import Page
  from fedsafe_tff.runtime import gpus

  gpus.configure()
  work = workload_lib.load(values, values.images)
  images, labels = work.clients(1, values.images)[0]
  batches = batches_of(images, labels, values.images)
  ours, floors = _contenders(work, values.steps)
  contenders = {name: attack for name, (attack, _) in ours.items()} | floors
  seconds = measure.interleaved(
    {name: Contender(attack, batches) for name, attack in contenders.items()},
    values.repeats,
    log=workload_lib.say,
  )
  rows = [
    [
      name,
      gradients,
      measure.Spread.of([values.images / s for s in seconds[name]]).text(),
      measure.ratio(seconds[name], seconds[_FLOOR.format(gradients)]).text(),
      measure.ratio(seconds[name], seconds[drawn]).text()
      if (drawn := _DRAWN.format(gradients)) in seconds and "draws" in name
      else "-",
    ]
    for name, (_, gradients) in ours.items()
  ]
  page = Page("attacks", __doc__.split("\n\n", 2)[2], arguments)
  page.machine(
    images=work.describe(),
    devices=", ".join(gpus.describe(device) for device in gpus.device_names()),
    attack=f"{values.steps} steps on {values.images} images in one batch, eps {_EPS}",
    repeats=f"{values.repeats}, interleaved; median (least-greatest), of ratios too",
  )
  headings = [
    "attack", "gradients", "images/s", "time over as many gradients", "with as many draws",
  ]  # fmt: skip
  page.table(headings, rows)
  page.publish(values.out)
  return 0


def _contenders(work, steps: int) -> tuple[dict, dict]:
  """By name attacks with how many gradients each takes; and the floors."""
  import tensorflow as tf

  from benchmarks import rounds
  from fedsafe_tff import keys
  from fedsafe_tff.attacks.craft import craft
  from fedsafe_tff.attacks.ensemble import Ensemble, GaussianRedraw
  from fedsafe_tff.attacks.spec import AttackSpec

  model = work.model("float32")
  weights = tuple(tf.constant(weight) for weight in rounds.initial_weights(work))
  key = keys.root(0)

  def single(weights):
    return lambda inputs: model.apply(weights, inputs)

  def drawn(weights):
    stacked = tuple(tf.expand_dims(weight, 0) for weight in weights)
    redraw = GaussianRedraw(_SIGMA)
    return Ensemble(model.apply, stacked, model.num_classes, redraw, _DRAWS)

  def attack(models, name, **settings):
    spec = AttackSpec(name, _EPS, steps=steps, **settings)
    made = tf.function(lambda weights, x, y: craft(models(weights), x, y, spec, key))
    return lambda x, y: made(weights, x, y)

  ours = {
    "pgd": (attack(single, "pgd"), steps),
    # The random start is judged too, and so is the last point: forward passes.
    "pgd, random start, worst of all points": (attack(single, "pgd", **_RANDOM), steps),
    "mi_fgsm": (attack(single, "mi_fgsm"), steps),
    "ni_fgsm": (attack(single, "ni_fgsm"), steps),
    "di_fgsm": (attack(single, "di_fgsm"), steps),
    "vmi_fgsm, 5 samples": (
      attack(single, "vmi_fgsm", options={"samples": 5}), 6 * steps,
    ),
    "apgd": (attack(single, "apgd"), steps + 1),
    f"mi_fgsm, {_DRAWS} draws a step": (attack(drawn, "mi_fgsm"), _DRAWS * steps),
  }  # fmt: skip
  counts = dict.fromkeys(gradients for _, gradients in ours.values())
  floors = {_FLOOR.format(n): bare(model, weights, n) for n in counts}
  many = _DRAWS * steps
  floors[_DRAWN.format(many)] = bare(model, weights, many, _SIGMA)
  return ours, floors


if __name__ == "__main__":
  main.run(attacks)
