"""Membership inference: who tells images that a model was trained on from others, and how well.

Attackers see logits and labels. Thresholds on one number (loss, confidence, entropy, margin) and a
logistic regression on all of them, which is fitted on other images than it is judged on. With the
optional package tensorflow-empirical-privacy, the same two from its suite.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from fedsafe_tff.data.seeds import generator
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.statistics import wilson_ends

FALSE_RATE = 0.01  # of others that are taken for members, where it is counted who is found
THRESHOLD = "threshold on"  # how the names of attacks by one number begin
_FOLDS = 5


@dataclasses.dataclass(frozen=True)
class Membership:
  """How well an attack tells members.

  Attributes:
    attack: Its name.
    auc: Area under the ROC curve; 0.5 is chance.
    low: Of the 95 % bootstrap interval of it.
    high: Likewise.
    advantage: Largest true-positive rate less false-positive rate.
    true_positives: Rate of members found where one in a hundred others is taken for one.
    found_low: Of Wilson's 95 % interval of it, at the threshold that these others give.
    found_high: Likewise.
  """

  attack: str
  auc: float
  low: float
  high: float
  advantage: float
  true_positives: float
  found_low: float
  found_high: float


def features(logits: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
  """What an attacker computes of each image, higher where it looks like a member.

  Args:
    logits: float [n, classes].
    labels: int [n].
  """
  logits = np.asarray(logits, np.float64)
  shifted = logits - logits.max(1, keepdims=True)
  log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
  rows = np.arange(len(logits))
  others = np.where(np.eye(logits.shape[1], dtype=bool)[labels], -np.inf, logits).max(1)
  return {
    "loss": log_p[rows, labels],
    "confidence": log_p.max(1),
    "entropy": (np.exp(log_p) * log_p).sum(1),
    "margin": logits[rows, labels] - others,
  }


def attack_scores(
  members: tuple[np.ndarray, np.ndarray], others: tuple[np.ndarray, np.ndarray], *, seed: int = 0
) -> dict[str, np.ndarray]:
  """What each attack gives every image, float [members + others], higher where it seems a member.

  Args:
    members: Logits, float [n, classes], and labels, int [n], of images that were trained on.
    others: The same of images that were not, of the same distribution.
    seed: Of the folds.

  Raises:
    UserError: Too few images for the folds.
  """
  from sklearn.linear_model import LogisticRegression
  from sklearn.model_selection import StratifiedKFold, cross_val_predict
  from sklearn.pipeline import make_pipeline
  from sklearn.preprocessing import StandardScaler

  if min(len(members[1]), len(others[1])) < 2 * _FOLDS:
    raise UserError(
      f"membership inference needs at least {2 * _FOLDS} members and as many others, found "
      f"{len(members[1])} and {len(others[1])}"
    )
  truth = np.repeat([1, 0], [len(members[1]), len(others[1])])
  of = [features(*side) for side in (members, others)]
  scores = {f"{THRESHOLD} {name}": np.concatenate([f[name] for f in of]) for name in of[0]}
  inputs = np.nan_to_num(np.stack(list(scores.values()), 1), posinf=1e6, neginf=-1e6)
  state = int(generator(seed, "membership folds").integers(2**31))
  regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
  folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=state)
  scores["logistic regression"] = cross_val_predict(
    regression, inputs, truth, cv=folds, method="decision_function"
  )
  return scores


def membership_inference(
  members: tuple[np.ndarray, np.ndarray],
  others: tuple[np.ndarray, np.ndarray],
  *,
  seed: int = 0,
  bootstraps: int = 200,
) -> list[Membership]:
  """Thresholds and a logistic regression, the best first; arguments as of `attack_scores`.

  Args:
    members: What was trained on.
    others: What was not.
    seed: Of folds and bootstrap.
    bootstraps: Resamplings for the intervals.

  Raises:
    UserError: Too few images for the folds.
  """
  scores = attack_scores(members, others, seed=seed)
  truth = np.repeat([1, 0], [len(members[1]), len(others[1])])
  return judged(scores, truth, seed=seed, bootstraps=bootstraps)


def judged(
  scores: Mapping[str, np.ndarray], truth: np.ndarray, *, seed: int = 0, bootstraps: int = 200
) -> list[Membership]:
  """How well attacks tell members, the best first.

  Args:
    scores: By attack, float [n], higher where an image seems to be a member.
    truth: 1 for members, 0 for others, int [n].
    seed: Of the bootstrap.
    bootstraps: Resamplings for the intervals.
  """
  rng = generator(seed, "membership bootstrap")
  made = [_judge(name, values, truth, rng, bootstraps) for name, values in scores.items()]
  return sorted(made, key=lambda found: -found.auc)


def _judge(name, scores, truth, rng, bootstraps) -> Membership:
  from sklearn.metrics import roc_auc_score, roc_curve

  false_rate, true_rate, _ = roc_curve(truth, scores)
  again = [
    roc_auc_score(truth[rows], scores[rows])
    for rows in (_resampled(truth, rng) for _ in range(bootstraps))
  ]
  low, high = np.quantile(again, [0.025, 0.975]) if again else (np.nan, np.nan)
  found = float(true_rate[false_rate <= FALSE_RATE].max())
  found_low, found_high = wilson_ends(found, int(truth.sum()))
  return Membership(
    attack=name,
    auc=float(roc_auc_score(truth, scores)),
    low=float(low),
    high=float(high),
    advantage=float(np.max(true_rate - false_rate)),
    true_positives=found,
    found_low=found_low,
    found_high=found_high,
  )


def _resampled(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  sides = [np.flatnonzero(truth == side) for side in (0, 1)]
  return np.concatenate([rng.choice(side, len(side)) for side in sides])


@dataclasses.dataclass(frozen=True)
class Difference:
  """By how much an attack's AUC on one model exceeds that on another.

  Attributes:
    auc: AUC on it less the one on the other.
    low: Of the 95 % bootstrap interval of it.
    high: Likewise.
    paired: Whether both are of the same images, which are then resampled together.
  """

  auc: float
  low: float
  high: float
  paired: bool


def difference(
  scores: np.ndarray,
  truth: np.ndarray,
  other_scores: np.ndarray,
  other_truth: np.ndarray,
  *,
  paired: bool,
  seed: int = 0,
  bootstraps: int = 400,
) -> Difference:
  """Compares two attacks.

  Args:
    scores: Of one, float [n], as `judged` takes them.
    truth: Of one, int [n].
    other_scores: Of the other, float [m].
    other_truth: Of the other, int [m].
    paired: Whether both are of the same images in the same order, members of both alike.
    seed: Of the bootstrap.
    bootstraps: Resamplings.
  """
  from sklearn.metrics import roc_auc_score

  rng = generator(seed, "membership difference")
  again = []
  for _ in range(bootstraps):
    rows = _resampled(truth, rng)
    others = rows if paired else _resampled(other_truth, rng)
    again.append(
      roc_auc_score(truth[rows], scores[rows])
      - roc_auc_score(other_truth[others], other_scores[others])
    )
  low, high = np.quantile(again, [0.025, 0.975])
  made = roc_auc_score(truth, scores) - roc_auc_score(other_truth, other_scores)
  return Difference(float(made), float(low), float(high), paired)


def empirical_privacy_suite(
  members: tuple[np.ndarray, np.ndarray],
  others: tuple[np.ndarray, np.ndarray],
  attacks: Sequence[str] = ("THRESHOLD_ATTACK", "LOGISTIC_REGRESSION"),
) -> dict[str, tuple[float, float]]:
  """(AUC, advantage) by attack, of tensorflow-empirical-privacy's suite.

  Raises:
    UserError: The package is not there, or does not go with the installed scikit-learn.
  """
  try:
    from tensorflow_privacy.privacy.privacy_tests.membership_inference_attack import (
      data_structures,
    )
    from tensorflow_privacy.privacy.privacy_tests.membership_inference_attack import (
      membership_inference_attack as suite,
    )
  except ImportError as error:
    raise UserError(
      f"tensorflow-empirical-privacy can't be used here ({error}): in an environment of its own, "
      "pip install --no-deps tensorflow-empirical-privacy==0.1.0 statsmodels==0.14.0 patsy "
      "'pandas<2' 'scikit-learn<1.5'; without it, membership_inference has the same attacks"
    ) from None
  results = suite.run_attacks(
    data_structures.AttackInputData(
      logits_train=np.asarray(members[0]),
      labels_train=np.asarray(members[1]),
      logits_test=np.asarray(others[0]),
      labels_test=np.asarray(others[1]),
    ),
    data_structures.SlicingSpec(entire_dataset=True),
    attack_types=[data_structures.AttackType[name] for name in attacks],
  )
  return {
    result.attack_type.name: (float(result.get_auc()), float(result.get_attacker_advantage()))
    for result in results.single_attack_results
  }
