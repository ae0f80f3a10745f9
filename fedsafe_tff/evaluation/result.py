"""What came of an attack, adversary by victim by image."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats

from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.evaluation.statistics import wilson_ends

_RATES = ("asr_self", "asr_avg", "attack_accuracy_self", "attack_accuracy_avg")


@dataclasses.dataclass(frozen=True, eq=False)
class AttackResult:
  """One attack at one size under one attacker; rows are adversaries, columns victims.

  Attributes:
    spec: The attack; the first of several for the worst of them.
    flipped: bool [N, N, n], whether the label that the victim predicts changes.
    right: bool [N, N, n], whether the victim still predicts the true label, or does now.
    clean_right: bool [N, n], whether it does on the clean image.
    outside: bool [N, N], whether the attacker does not hold the victim's copy; *avg* is over these.
    random_noise_flip: [N] share of labels that random noise of the same size changes.
    zero_gradient: [N] share of images whose input gradient is zero everywhere (masking).
    attacker: Its name.
    queries: int [N, N, n], how often the victim was asked; None for an attacker that does not ask.
    specs: All attacks that took part; (spec,) unless it is the worst of several.
    predicted: int32 [N, N, n] the victim's labels on the attacked images; for the worst of several
      what one of them gave, a flipped label where any flips it.
    clean_predicted: int32 [N, n] each copy's labels on the clean images, or None.
    label: What the attack is called in tables; "" for the spec's name.
    clients: Whom the N rows and columns are; None for all clients in their order.
    of_clients: How many clients there are, where `clients` is a sample of them.
  """

  spec: AttackSpec
  flipped: np.ndarray
  right: np.ndarray
  clean_right: np.ndarray
  outside: np.ndarray
  random_noise_flip: np.ndarray
  zero_gradient: np.ndarray
  attacker: str = "own_copy"
  queries: np.ndarray | None = None
  specs: tuple[AttackSpec, ...] = ()
  predicted: np.ndarray | None = None
  clean_predicted: np.ndarray | None = None
  label: str = ""
  clients: tuple[int, ...] | None = None
  of_clients: int = 0

  def __post_init__(self):
    if not self.specs:
      object.__setattr__(self, "specs", (self.spec,))

  @property
  def flip(self) -> np.ndarray:
    """[N, N] share of all images whose predicted label changes (Eq. 11)."""
    return self.flipped.mean(axis=-1)

  @property
  def flip_correct(self) -> np.ndarray:
    """[N, N] the same among the images that the victim classifies correctly; NaN without any."""
    made = np.full(self.flipped.shape[:2], np.nan)
    for victim, correct in enumerate(self.clean_right):
      if correct.any():
        made[:, victim] = self.flipped[:, victim, correct].mean(axis=-1)
    return made

  @property
  def accuracy(self) -> np.ndarray:
    """[N, N] the victim's accuracy on the attacked images (robust accuracy)."""
    return self.right.mean(axis=-1)

  @property
  def clean_accuracy(self) -> np.ndarray:
    """[N] accuracy of each copy on clean images."""
    return self.clean_right.mean(axis=-1)

  def title(self) -> dict[str, str | float]:
    """Who attacked, by what, and at which size."""
    name = self.label or self.spec.name
    return {"attacker": self.attacker, "attack": name, "eps": self.spec.eps}

  def summary(self) -> dict[str, Any]:
    """The entry of this attack in `evaluation.json`; None where there is no other client.

    `intervals` are Wilson's over the images, 95 %, of means over clients as of one of them: what
    other images would give, and not other trainings. `queries` are the mean of those asked.
    """
    made = {
      **self.title(),
      "clean_accuracy": _mean(self.clean_accuracy),
      "asr_self": self_mean(self.flip),
      "asr_avg": _mean(self.flip[self.outside]),
      "asr_self_correct": self_mean(self.flip_correct),
      "asr_avg_correct": _mean(self.flip_correct[self.outside]),
      "attack_accuracy_self": self_mean(self.accuracy),
      "attack_accuracy_avg": _mean(self.accuracy[self.outside]),
      "random_noise_flip_rate": _mean(self.random_noise_flip),
      "zero_gradient_share": _mean(self.zero_gradient),
    }
    images = self.flipped.shape[-1]
    made["intervals"] = {
      name: list(wilson_ends(made[name], images)) for name in _RATES if made[name] is not None
    }
    if self.queries is not None:
      made["queries"] = float(self.queries.mean())
    if self.clients is not None:
      made |= {"sampled_clients": len(self.clients), "of_clients": self.of_clients}
      for name, matrix in (("asr", self.flip), ("attack_accuracy", self.accuracy)):
        for kind, pairs in (("self", np.eye(len(matrix), dtype=bool)), ("avg", self.outside)):
          ends = sampled_interval(matrix, pairs, self.of_clients)
          if ends is not None:
            made |= {f"{name}_{kind}_low": ends[0], f"{name}_{kind}_high": ends[1]}
    return made

  def by_image(self) -> list[dict[str, float | None]]:
    """What each image came to, in their order: shares of the copies, *avg* of pairs outside.

    `one_self` and `one_avg` are whether the first client's copy is right on what it made, and the
    first copy outside on that: of one adversary and one victim, for tests of two models.
    """
    own = np.eye(len(self.flipped), dtype=bool)
    columns = {"clean_right": self.clean_right.mean(axis=0), "one_self": self.right[0, 0]}
    outside = np.flatnonzero(self.outside[0])
    columns["one_avg"] = self.right[0, outside[0]] if len(outside) else None
    for name, values in (("right", self.right), ("flipped", self.flipped)):
      for side, pairs in (("self", own), ("avg", self.outside)):
        columns[f"{name}_{side}"] = values[pairs].mean(axis=0) if pairs.any() else None
    return [
      {name: None if values is None else float(values[image]) for name, values in columns.items()}
      for image in range(self.flipped.shape[-1])
    ]

  def rows(self) -> list[dict[str, float | int | str]]:
    """A row of `transfer_matrix.csv` per pair."""
    names = range(len(self.flip)) if self.clients is None else self.clients
    flip, flip_correct, accuracy = self.flip, self.flip_correct, self.accuracy
    return [
      {
        **self.title(),
        "adversary": names[adversary],
        "victim": names[victim],
        "asr": float(flip[adversary, victim]),
        "asr_correct": float(flip_correct[adversary, victim]),
        "attack_accuracy": float(accuracy[adversary, victim]),
      }
      for adversary in range(len(names))
      for victim in range(len(names))
    ]


def _mean(values: np.ndarray) -> float | None:
  finite = values[np.isfinite(values)]
  return float(finite.mean()) if finite.size else None


def sampled_interval(
  matrix: np.ndarray, pairs: np.ndarray, of_clients: int
) -> tuple[float, float] | None:
  """95 % interval of the mean over all clients' pairs, from those of a sample of clients.

  A client is in many pairs, as adversary and as victim: so the jackknife leaves out a client with
  all its pairs at a time (Efron and Stein, 1981, for U-statistics), corrected for drawing without
  replacement.

  Args:
    matrix: [m, m], a value per pair.
    pairs: bool [m, m], which count.
    of_clients: How many clients the sample of m was drawn from.

  Returns:
    Its ends within [0, 1]; None for fewer than three clients.
  """
  count = len(matrix)
  if count < 3:
    return None
  values = np.where(pairs, matrix, 0.0)
  total, number = values.sum(), pairs.sum()
  parts = values.sum(0) + values.sum(1) - np.diag(values)
  numbers = pairs.sum(0) + pairs.sum(1) - np.diag(pairs)
  left = number - numbers
  if (left <= 0).any():
    return None
  without = (total - parts) / left
  variance = (count - 1) / count * ((without - without.mean()) ** 2).sum()
  left_out = max(0.0, 1 - count / of_clients)
  half = scipy.stats.t.ppf(0.975, count - 1) * np.sqrt(variance * left_out)
  mean = total / number
  return max(0.0, float(mean - half)), min(1.0, float(mean + half))


def self_mean(matrix: np.ndarray) -> float | None:
  """Mean of the diagonal: attacks on the adversary's own model."""
  return _mean(np.diag(matrix))


def other_mean(matrix: np.ndarray, colluders: int = 1) -> float | None:
  """Mean over attacks on clients outside of the coalition; None where there are none."""
  count = len(matrix)
  return _mean(matrix[outsiders([coalition(client, colluders, count) for client in range(count)])])


def coalition(adversary: int, colluders: int, count: int) -> list[int]:
  """The clients that pool their copies: the adversary and those after it, in a ring."""
  return [(adversary + step) % count for step in range(colluders)]


def outsiders(insiders: Sequence[Sequence[int]]) -> np.ndarray:
  """Whether a victim is none of an adversary's insiders, which are given by adversary: [N, N]."""
  made = np.ones([len(insiders)] * 2, bool)
  for adversary, members in enumerate(insiders):
    made[adversary, list(members)] = False
  return made
