"""LiRA: membership by the likelihood ratio of shadow models (Carlini et al., arXiv:2112.03570).

Shadow models are trained as the attacked one is, each on half of a pool of images. An image's
confidence under those that had it and under those that had not is fitted by a Gaussian each
(Sec. V-B, online); the score is the log-ratio of the two at the attacked model's confidence. The
functions give what `advanced_mia` of tensorflow-empirical-privacy gives, which asks for packages
that don't go with TFF's; a test compares them where it is installed.
"""

import numpy as np
from scipy import stats
from scipy.special import logsumexp

from fedsafe_tff.data.seeds import generator
from fedsafe_tff.errors import UserError

MANY = 64  # shadows from which an image has variances of its own (Sec. VI-C)
_LEAST_STDDEV = 1e-9


def check_count(shadows: int) -> None:
  """Refuses a number of shadow models that can't be had.

  Raises:
    UserError: It is below 2, or odd.
  """
  if shadows < 2 or shadows % 2:
    raise UserError(
      f"--shadows={shadows}: shadow models come in pairs, one trained on what the other leaves "
      "out: give an even number, such as 16"
    )


def halves(units: np.ndarray, labels: np.ndarray, pair: int, seed: int) -> np.ndarray:
  """Which images the first of a pair of shadow models trains on; the second has the others.

  Args:
    units: int [n]; images of one unit, as near-duplicates and a patient's are, stay together.
    labels: int [n]; halves have about as many images of every class.
    pair: Its number: any number of pairs begins with the same ones.
    seed: Of the draw.

  Returns:
    bool [n].
  """
  rng = generator(seed, f"shadow pair {pair}")
  _, first, unit, sizes = np.unique(
    units, return_index=True, return_inverse=True, return_counts=True
  )
  chosen = np.zeros(len(sizes), bool)
  held = np.zeros(2, np.int64)
  # Class by class, the largest units first: each goes to the side that has less, or to either.
  for label in np.unique(labels[first]):
    members = rng.permutation(np.flatnonzero(labels[first] == label))
    for place in members[np.argsort(-sizes[members], kind="stable")]:
      coin = int(rng.integers(2))
      side = coin if held[0] == held[1] else int(held.argmin())
      chosen[place] = side == 0
      held[side] += sizes[place]
  return chosen[unit]


def confidence(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """log(p / (1 - p)) of the true class, which is about Gaussian over trainings.

  Args:
    logits: float [n, classes], or [shadows, n, classes].
    labels: int [n].

  Returns:
    float64 [n], or [shadows, n].
  """
  logits = np.asarray(logits, np.float64)
  true = np.eye(logits.shape[-1], dtype=bool)[labels]
  own = np.where(true, logits, 0.0).sum(-1)
  return own - logsumexp(np.where(true, -np.inf, logits), axis=-1)


def scores(target: np.ndarray, shadows: np.ndarray, trained: np.ndarray) -> np.ndarray:
  """How much likelier the attacked model's confidence is if it had the image.

  Below `MANY` shadow models all images share the two variances. Where each image is in one and out
  of one, nothing tells a variance: both are 1 then, and any other value would rank images alike.

  Args:
    target: Confidence of the attacked model, float [n].
    shadows: Of the shadow models, float [shadows, n].
    trained: Whether a shadow model had the image, bool [shadows, n].

  Returns:
    log p(in) - log p(out), float64 [n]; higher where it seems to be a member.

  Raises:
    UserError: Values that are not finite, or an image that no shadow model or each one had.
  """
  if not (np.isfinite(target).all() and np.isfinite(shadows).all()):
    raise UserError("a shadow model, or the audited one, gives values that are not finite")
  if trained.all(0).any() or not trained.any(0).all():
    raise UserError("every image must be in one shadow model at least, and out of one")
  ratio = np.zeros(len(target))
  for sign, side in ((1.0, trained), (-1.0, ~trained)):
    values = np.where(side, shadows, np.nan)
    mean = np.nanmedian(values, axis=0)
    if side.sum(0).max() < 2 or (~side).sum(0).max() < 2:
      stddev = 1.0
    elif len(shadows) < MANY:
      stddev = np.nanstd(values - mean)
    else:
      stddev = np.nanstd(values, axis=0)
    ratio += sign * stats.norm.logpdf(target, mean, np.maximum(stddev, _LEAST_STDDEV))
  return ratio
