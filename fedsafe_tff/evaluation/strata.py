"""Results by site and by patient, with Wilson intervals.

A patient's label is that of most of its images; two labels that tie are no answer, which is wrong.
Images of one patient are not independent: intervals are over patients where
patients are known, else over images.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from fedsafe_tff.evaluation.result import AttackResult
from fedsafe_tff.evaluation.statistics import wilson_ends

ALL = "all"
NO_ANSWER = -1


def majority(values: np.ndarray, unit: np.ndarray, units: int) -> np.ndarray:
  """The label of most images of each unit, int [..., units]; `NO_ANSWER` where two tie.

  Args:
    values: int [..., n], labels from 0.
    unit: int [n], from 0 to `units` - 1.
    units: How many units there are.
  """
  classes = int(values.max(initial=0)) + 1
  flat = values.reshape(-1, values.shape[-1])
  counts = np.zeros((len(flat), units, classes), np.int64)
  np.add.at(counts, (np.arange(len(flat))[:, None], unit[None], flat), 1)
  most = counts.max(-1, keepdims=True)
  winner = np.where((counts == most).sum(-1) == 1, counts.argmax(-1), NO_ANSWER)
  return winner.reshape(*values.shape[:-1], units)


@dataclasses.dataclass(frozen=True, eq=False)
class Strata:
  """What images belong to.

  Attributes:
    labels: int [n].
    sites: Name of each image's site, or None.
    patients: Pseudonym of each image's patient, or None; an image without one is its own.
    held_out: Names of the sites that nobody learnt from.
  """

  labels: np.ndarray
  sites: Sequence[str] | None = None
  patients: Sequence[str] | None = None
  held_out: frozenset[str] = frozenset()

  def __bool__(self) -> bool:
    return self.sites is not None or self.patients is not None


def tabulate(strata: Strata, result: AttackResult) -> list[dict[str, float | int | str | None]]:
  """A row for every site (and for all) and unit, image or patient; none where nothing is known.

  Args:
    strata: Of the images that were attacked.
    result: An attack with its predictions.

  Returns:
    Rows of `attack`, `eps`, `site`, `held_out`, `unit`, `count` and, each a mean over copies (or
    pairs of adversary and victim) with `_low` and `_high`, `accuracy`, `asr_self`, `asr_avg`,
    `attack_accuracy_self` and `attack_accuracy_avg`.
  """
  if not strata:
    return []
  sites = np.array(strata.sites if strata.sites is not None else [""] * len(strata.labels), str)
  scopes = [(ALL, np.arange(len(sites)))]
  if strata.sites is not None:
    scopes += [(name or "unknown", np.flatnonzero(sites == name)) for name in np.unique(sites)]
  rows = []
  for name, members in scopes:
    rows.append(_row(strata, result, name, members, "image"))
    if strata.patients is not None:
      rows.append(_row(strata, result, name, members, "patient"))
  return rows


def _row(strata: Strata, result: AttackResult, name: str, members: np.ndarray, unit: str):
  labels = np.asarray(strata.labels)[members]
  clean = result.clean_predicted[:, members]
  attacked = result.predicted[:, :, members]
  # Of several attacks the label that flips is kept, though another one leaves the image wrong as it
  # was: who asks what stays right goes by that.
  put_wrong = np.where((attacked == labels) & ~result.right[:, :, members], clean[None], attacked)
  if unit == "patient":
    told = [strata.patients[i] or f"image {i}" for i in members]
    names, number = np.unique(told, return_inverse=True)
    labels, clean, attacked, put_wrong = (
      majority(v, number, len(names)) for v in (labels, clean, attacked, put_wrong)
    )
  count = labels.shape[-1]
  row = {
    "attack": result.label or result.spec.name,
    "eps": result.spec.eps,
    "site": name,
    "held_out": "yes" if name in strata.held_out else "no",
    "unit": unit,
    "count": count,
  }
  flips = (attacked != clean[None]).mean(-1)
  # Of several attacks it is right where none of them puts it wrong, whatever label is kept.
  right_ones = result.right[:, :, members] if unit == "image" else put_wrong == labels
  hits = (right_ones & (labels != NO_ANSWER)).mean(-1)
  right = ((clean == labels) & (labels != NO_ANSWER)).mean(-1)
  measures = {"accuracy": float(right.mean())}
  for measure, matrix in (("asr", flips), ("attack_accuracy", hits)):
    measures[f"{measure}_self"] = float(np.diag(matrix).mean())
    measures[f"{measure}_avg"] = _mean(matrix[result.outside])
  independent = unit == "patient" or strata.patients is None
  for measure, value in measures.items():
    row[measure] = value
    if independent and value is not None:
      row[f"{measure}_low"], row[f"{measure}_high"] = wilson_ends(value, count)
    else:
      row[f"{measure}_low"] = row[f"{measure}_high"] = None
  return row


def _mean(values: np.ndarray) -> float | None:
  """None where there are none."""
  return float(values.mean()) if values.size else None
