"""Is robustness real, or only hidden from the attack? (Athalye et al., arXiv:1802.00420; Carlini et
al., arXiv:1902.06705)

A model whose gradients are zero, shattered or saturated looks robust to attacks that follow them.
Each check asks for something that holds for every model that is attacked as it should be. Rates are
over the images that the model gets right.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attackers.holding import Holding
from fedsafe_tff.attacks.craft import random_noise
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.accuracy import Scorer, mean_loss, to_float
from fedsafe_tff.evaluation.controls import Controls
from fedsafe_tff.evaluation.crafting import Crafter
from fedsafe_tff.models.functional import FunctionalModel

# What chance alone may do with some dozens of images.
_TOLERANCE = 0.05
_STEEP = 0.1  # what twice the steps, or more starts, may add to an attack that has come far enough
_ALL = 0.99
_SIZES = (0.1, 0.25, 0.5)


@dataclasses.dataclass(frozen=True)
class Check:
  """A check.

  Attributes:
    name: A short name.
    passed: Whether the model behaves as it should; None if it was not run.
    value: What was measured.
    text: What was asked and found, a line.
  """

  name: str
  passed: bool | None
  value: float | None
  text: str


@dataclasses.dataclass(frozen=True)
class MaskingReport:
  """All checks of a model.

  Attributes:
    checks: In the order of the issue of each.
    asr_by_eps: Size, in rising order, to the share of images that was fooled at that size or a
      smaller one: by PGD at the size that was asked for, by PGD from several starts and by momentum
      at the others.
    loss_by_steps: Number of steps to the mean cross-entropy at the end.
    images: How many images, those that the model gets right.
  """

  checks: tuple[Check, ...]
  asr_by_eps: dict[float, float]
  loss_by_steps: dict[int, float]
  images: int

  @property
  def passed(self) -> bool:
    """Whether no check failed."""
    return not self.failed

  @property
  def failed(self) -> tuple[Check, ...]:
    """The checks that failed."""
    return tuple(check for check in self.checks if check.passed is False)

  def summary(self) -> dict[str, object]:
    """As a value for JSON."""
    return {
      "passed": self.passed,
      "images": self.images,
      "checks": [dataclasses.asdict(check) for check in self.checks],
      "asr_by_eps": {f"{eps:g}": asr for eps, asr in self.asr_by_eps.items()},
      "loss_by_steps": {str(steps): loss for steps, loss in self.loss_by_steps.items()},
    }


def check_masking(
  model: FunctionalModel,
  weights: Sequence[tf.Tensor],
  images: np.ndarray,
  labels: np.ndarray,
  *,
  eps: float,
  key: tf.Tensor,
  steps: int = 20,
  restarts: int = 3,
  queries: int = 300,
  draws: int = 20,
  surrogate: tuple[FunctionalModel, Sequence[tf.Tensor]] | None = None,
  batch_size: int = 64,
) -> MaskingReport:
  """Checks a model against PGD in L-infinity.

  Args:
    model: The model.
    weights: Its weights.
    images: uint8 [n, h, w, c], or float32 in [0, 1]; some dozens are enough.
    labels: int32 [n].
    eps: Size at which its robustness is claimed, in pixels of [0, 1].
    key: int64 [2].
    steps: Of PGD.
    restarts: Of PGD, where they are looked at.
    queries: Of the black box.
    draws: Of random noise per image.
    surrogate: An undefended model and its weights, through which images are made too; None leaves
      that check out.
    batch_size: Images at a time.

  Returns:
    What was found.

  Raises:
    UserError: The model gets no image right.
  """
  labels = np.asarray(labels, np.int32)
  scorer = Scorer(model, batch_size)
  right = scorer.predict(weights, images) == labels if len(labels) else np.zeros(0, bool)
  if not right.any():
    raise UserError("the model gets none of the images right: there is nothing to be masked")
  images, labels = images[right], labels[right]
  key = keys.fold(key, keys.MASKING)
  measure = _Measure(model, weights, images, labels, scorer, key, batch_size)

  def pgd(number, size=eps, **more):
    # A tenth of the steps crosses the ball; 1 step goes to its border, like FGSM from the image.
    step = (
      {"random_start": True, "step_size": size * max(2.5 / number, 0.125)} if number > 1 else {}
    )
    return measure.attack(AttackSpec("pgd", size, steps=number, **(step | more)))

  one, white, twice = (pgd(number) for number in (1, steps, 2 * steps))
  again = pgd(steps, restarts=restarts)
  sizes = _nested(measure, pgd, white, eps, steps, restarts)
  black = measure.attack(AttackSpec("square", eps, steps=queries), access="scores")
  noise = measure.noise(eps, draws)
  zero = measure.zero_gradients()
  largest = max(_SIZES)
  checks = [
    Check(
      "zero_gradients",
      zero <= _TOLERANCE,
      zero,
      f"{zero:.3f} of the images have no gradient (at most {_TOLERANCE})",
    ),
    Check(
      "large_eps",
      sizes[largest] >= _ALL,
      sizes[largest],
      f"PGD, momentum and APGD at eps {largest:g} and below, where any image may be grey, fool "
      f"{sizes[largest]:.3f} (at least {_ALL})",
    ),
    _no_better("one_step", "one step", one.asr, f"{steps} steps", white.asr),
    _no_better("more_steps", f"{2 * steps} steps", twice.asr, f"{steps}", white.asr, _STEEP),
    _no_better("restarts", f"{restarts} starts", again.asr, "one", white.asr, _STEEP),
    Check(
      "loss_grows",
      bool(twice.loss >= white.loss - _TOLERANCE * abs(white.loss) and white.loss >= one.loss),
      white.loss - one.loss,
      f"the loss is {one.loss:.3g} after one step, {white.loss:.3g} after {steps}, "
      f"{twice.loss:.3g} after {2 * steps} (no less)",
    ),
    _no_better("black_box", f"a black box of {queries} queries", black.asr, "PGD", white.asr),
    _no_better("random_noise", f"the best of {draws} random noises", noise, "PGD", white.asr),
  ]
  if surrogate is None:
    checks.append(Check("surrogate", None, None, "no undefended surrogate was given"))
  else:
    through = measure.attack(
      AttackSpec("mi_fgsm", eps, steps=steps, step_size=eps / 8),
      held=Holding((surrogate[1],), model=surrogate[0]),
    )
    checks.append(
      _no_better("surrogate", "images of an undefended surrogate", through.asr, "PGD", white.asr)
    )
  return MaskingReport(
    checks=tuple(checks),
    asr_by_eps=sizes,
    loss_by_steps={1: one.loss, steps: white.loss, 2 * steps: twice.loss},
    images=len(labels),
  )


def _nested(measure, pgd, white, eps, steps, restarts) -> dict[float, float]:
  """Attack success rates at `_SIZES` and `eps`: a ball holds what was found in every smaller one.

  A climb that may cross the whole range often ends on a shelf: PGD alone fools fewer images of an
  undefended network at 0.5 than at 0.03. So what it found before counts, and momentum climbs beside
  it, from the image itself; where they leave images at the largest size, APGD follows.
  """
  fooled, rates = np.zeros_like(white.fooled), {}
  sizes = sorted({*_SIZES, eps})
  for size in sizes:
    if size in _SIZES:
      momentum = AttackSpec("mi_fgsm", size, steps=steps, step_size=size / 8)
      for came in (pgd(steps, size, restarts=restarts), measure.attack(momentum)):
        fooled = fooled | came.fooled
    if size == eps:
      fooled = fooled | white.fooled
    if size == max(_SIZES) and fooled.mean() < _ALL:
      # Its steps shrink where it gets no further, which leads down from a shelf.
      more = {"loss": "margin", "random_start": True, "restarts": restarts}
      fooled = fooled | measure.attack(AttackSpec("apgd", size, steps=2 * steps, **more)).fooled
    rates[size] = float(fooled.mean())
  return rates


def _no_better(name, weaker, rate, stronger, reference, tolerance=_TOLERANCE) -> Check:
  return Check(
    name,
    bool(rate <= reference + tolerance),
    rate - reference,
    f"{weaker}: {rate:.3f} fooled, {stronger}: {reference:.3f} (no more than {tolerance} above)",
  )


@dataclasses.dataclass(frozen=True)
class _Came:
  fooled: np.ndarray
  loss: float

  @property
  def asr(self) -> float:
    return float(self.fooled.mean())


class _Measure:
  """Attacks on the images that the model gets right."""

  def __init__(self, model, weights, images, labels, scorer, key, batch_size):
    self._weights, self._images, self._labels = weights, images, labels
    self._scorer, self._key = scorer, key
    settings = {"key": key, "batch_size": batch_size}
    self._crafter = Crafter(model, images, labels, **settings)
    self._controls = Controls(model, images, labels, **settings)

  def attack(self, spec: AttackSpec, access="gradients", held: Holding | None = None) -> _Came:
    held = held or Holding((self._weights,), access=access)
    made, _ = self._crafter.craft(held, spec)
    # Not `predict`, which refuses a logit that is not finite: a check would be lost by it.
    logits = self._scorer.logits(self._weights, made)
    return _Came(logits.argmax(axis=1) != self._labels, mean_loss(logits, self._labels))

  def noise(self, eps: float, draws: int) -> float:
    fooled = np.zeros(len(self._labels), bool)
    pixels = to_float(self._images)
    for draw in range(draws):
      noisy = random_noise(pixels, keys.fold(self._key, keys.RANDOM_NOISE, draw), eps=eps).numpy()
      fooled |= self._scorer.predict(self._weights, noisy) != self._labels
    return float(fooled.mean())

  def zero_gradients(self) -> float:
    return float(self._controls.zero_gradients(self._weights).mean())
