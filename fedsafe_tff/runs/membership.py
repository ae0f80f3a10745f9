"""Who tells the images that a run's clients trained on: attacks on its models, LiRA among them."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from fedsafe_tff.data import dealing, sums
from fedsafe_tff.data.files import write_arrays
from fedsafe_tff.data.formats import npy
from fedsafe_tff.data.formats.frame import Unreadable
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.privacy.audit import lira, membership
from fedsafe_tff.runs import shadows as shadows_lib
from fedsafe_tff.runs.cohort import took_part
from fedsafe_tff.runs.load import LoadedRun
from fedsafe_tff.runs.shadows import COPY, GLOBAL

LIRA = "LiRA"
_FILE = "scores.npz"
Log = Callable[[str], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
  """What attacks give image by image.

  Attributes:
    rows: Indices into the run's images, int64 [n].
    member: Whether a client trained on it, bool [n].
    by: By model and attack, float64 [n]; NaN for an image that the attack leaves out.
  """

  rows: np.ndarray
  member: np.ndarray
  by: dict[tuple[str, str], np.ndarray]

  def of(self, model: str, attack: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, truth (0 or 1) and rows of the images that an attack looks at."""
    there = ~np.isnan(self.by[model, attack])
    return self.by[model, attack][there], self.member[there].astype(int), self.rows[there]

  def save(self, folder: pathlib.Path) -> None:
    """Writes them."""
    arrays = {"rows": self.rows, "member": self.member}
    arrays |= {f"{model}/{attack}": values for (model, attack), values in self.by.items()}
    write_arrays(folder / _FILE, arrays)

  @classmethod
  def load(cls, folder: pathlib.Path) -> "Scores | None":
    """What `save` wrote; None where it is not there or damaged."""
    try:
      sums.check(folder / _FILE)
      arrays = npy.read_stored(folder / _FILE)
      by = {tuple(k.split("/")): v for k, v in arrays.items() if "/" in k}
      return cls(arrays["rows"], arrays["member"], by)
    except (OSError, KeyError, Unreadable, sums.Damaged):
      return None


def infer(
  run: LoadedRun, shadows: int, folder: pathlib.Path, log: Log
) -> tuple[dict[str, Any], Scores]:
  """Attacks the run's models.

  Args:
    run: The run.
    shadows: Shadow models of LiRA; 0 goes without.
    folder: Of the audit, where shadow models are kept.
    log: Is told what is done.

  Returns:
    `membership`, a row per model and attack, the best of a model first, and `shadows`, facts about
    them or None; and what the attacks gave.

  Raises:
    UserError: There are too few images, or shadow models can't be trained.
  """
  images, prepared = run.prepared.image_set, run.prepared
  # Whoever was never drawn has trained nothing, and is no fair stranger either.
  drawn = took_part(run.config, run.rounds)
  members = np.concatenate([prepared.clients[client] for client in drawn])
  others = np.concatenate([prepared.parts.evaluation, prepared.parts.validation])
  rows = np.concatenate([members, others])
  labels, member = images.labels[rows], np.arange(len(rows)) < len(members)
  scorer = Scorer(run.model, 64)
  models = {GLOBAL: run.weights}
  if shadows_lib.has_copies(run):
    models[COPY] = run.copies[0]
  logits = {
    name: np.concatenate([scorer.logits(weights, images.images[r]) for r in (members, others)])
    for name, weights in models.items()
  }
  seed, by = run.config.seed, {}
  for name, made in logits.items():
    sides = [(made[side], labels[side]) for side in (member, ~member)]
    attacks = membership.attack_scores(*sides, seed=seed)
    by |= {(name, attack): values for attack, values in attacks.items()}
  facts = None
  if shadows:
    facts = _lira(run, shadows, rows, member, logits, by, folder, log)
  elif there := shadows_lib.kept(folder):
    count = max(2, there - there % 2)
    log(
      f"{there} shadow models lie in the folder and are not asked: --shadows={count} takes up "
      "those of this recipe"
    )
  scores = Scores(rows, member, by)
  found = []
  for name in models:
    attacks = {attack: values for (model, attack), values in by.items() if model == name}
    plain = {attack: values for attack, values in attacks.items() if attack != LIRA}
    made = membership.judged(plain, member.astype(int), seed=seed)
    if LIRA in attacks:
      values, truth, _ = scores.of(name, LIRA)
      made += membership.judged({LIRA: values}, truth, seed=seed)
    made.sort(key=lambda row: -row.auc)
    found += [{"model": name, **dataclasses.asdict(row)} for row in made]
  return {"membership": found, "shadows": facts}, scores


def _lira(run, count, rows, member, logits, by, folder, log) -> dict[str, Any]:
  """Adds LiRA's scores to `by`; returns what is to be known of the shadow models."""
  config, image_set = run.config, run.prepared.image_set
  usable = member | ~np.isin(image_set.groups[rows], image_set.groups[rows[member]])
  copies = int((~usable).sum())
  held = dealing.holdout_mask(image_set, config.holdout_sites)
  if held is not None:
    usable &= member | ~held[rows]
  place = np.flatnonzero(usable)
  log(f"LiRA with {count} shadow models on a pool of {len(place)} images")
  made = shadows_lib.shadow_models(run, rows[place], count, folder, log)
  both = made.trained.any(0) & ~made.trained.all(0)
  place, trained = place[both], made.trained[:, both]
  labels = image_set.labels[rows[place]]
  for name in logits:
    values = np.full(len(rows), np.nan)
    values[place] = lira.scores(
      lira.confidence(logits[name][place], labels),
      lira.confidence(made.logits[name][:, both], labels),
      trained,
    )
    by[name, LIRA] = values
  return {
    "count": count,
    "images": len(place),
    "members": int(member[place].sum()),
    "trained_on": float(made.trained.sum(1).mean()),
    "copies_left_out": copies,
    "others_left_out": len(rows) - len(place) - copies,
    "adapted": bool(config.adapts or config.heals_copies),
    "copies": COPY in logits,
    "shifted": config.feature_shift != "none",
    "private": bool(config.mechanism_asked),
    "rounds": run.rounds,
  }
