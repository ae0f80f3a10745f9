"""Four disjoint parts: the clients' training, server adaptation, evaluation, validation."""

import bisect
import dataclasses
import itertools

import numpy as np

from fedsafe_tff.data import seeds
from fedsafe_tff.data.image_set import ImageSet, class_phrase
from fedsafe_tff.errors import UserError

METHODS = ("grouped", "published")
# Rises whenever the same images and settings would fall to other parts or clients: by the groups
# of near-duplicates, by the draw here or by that of `partition`. 2: near-duplicates get a second
# look after their hashes, and `iid` deals every class to every client.
VERSION = 2


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
  """Indices into an `ImageSet`, disjoint, sorted."""

  train: np.ndarray
  adaptation: np.ndarray
  evaluation: np.ndarray
  validation: np.ndarray

  def sizes(self) -> dict[str, int]:
    """Number of images of each part."""
    return {f.name: len(getattr(self, f.name)) for f in dataclasses.fields(self)}


def split(
  image_set: ImageSet,
  *,
  method: str,
  evaluation_fraction: float,
  adaptation_fraction: float,
  validation_fraction: float,
  seed: int,
  holdout: np.ndarray | None = None,
) -> Parts:
  """Splits images so that near-duplicates and patients never fall on two sides.

  Args:
    image_set: The images with their near-duplicate groups.
    method: "grouped" draws all parts; "published" takes the data set's own test part for
      evaluation (and its validation part, if there is one), copies and all, and draws the others
      from its training part.
    evaluation_fraction: Share of all images for evaluation, with "grouped".
    adaptation_fraction: Share of what is split for the server.
    validation_fraction: Share of what is split for validation.
    seed: Of the draw.
    holdout: bool [n], images that are for evaluation only; what shares a group with one of them is
      evaluated too. None holds nothing out.

  Returns:
    The parts; each holds every class in about the proportions of the whole.

  Raises:
    UserError: No published split, or too few groups of a class for four parts.
  """
  if method not in METHODS:
    raise UserError(f"--split={method} is unknown: choose one of {', '.join(METHODS)}")
  everything = np.arange(len(image_set))
  fractions = {"adaptation": adaptation_fraction, "validation": validation_fraction}
  evaluation = validation = None
  held = np.zeros(len(image_set), bool)
  if holdout is not None and holdout.any():
    held = np.isin(image_set.groups, image_set.groups[holdout])
    everything = everything[~held]
  if method == "published":
    if image_set.published_test is None or not image_set.published_test.any():
      raise UserError("--split=published: this data set has no test part of its own; use grouped")
    evaluation = everything[image_set.published_test[everything]]
    everything = everything[~image_set.published_test[everything]]
    if image_set.published_validation is not None and image_set.published_validation.any():
      validation = everything[image_set.published_validation[everything]]
      everything = everything[~image_set.published_validation[everything]]
      del fractions["validation"]
  else:
    fractions["evaluation"] = evaluation_fraction
  if min(fractions.values()) < 0 or sum(fractions.values()) >= 1:
    given = ", ".join(f"{name} {value:g}" for name, value in fractions.items())
    raise UserError(f"fractions {given} leave no images for training: their sum must be below 1")
  drawn = _draw_groups(image_set, everything, fractions, seed)
  parts = Parts(
    train=drawn["train"],
    adaptation=drawn["adaptation"],
    evaluation=np.union1d(
      drawn["evaluation"] if evaluation is None else evaluation, np.flatnonzero(held)
    ),
    validation=drawn["validation"] if validation is None else validation,
  )
  for name in ("train", "adaptation", "evaluation", "validation"):
    present = np.unique(image_set.labels[getattr(parts, name)])
    for label, class_name in enumerate(image_set.class_names):
      if label not in present:
        raise UserError(
          f"{class_phrase(class_name)} has too few images: none is left for {name}; add images, or "
          f"raise the fraction of {name}"
        )
  return parts


def _draw_groups(
  image_set: ImageSet, indices: np.ndarray, fractions: dict[str, float], seed: int
) -> dict[str, np.ndarray]:
  """Deals whole groups to the parts, class by class, until each part has its share."""
  rng = seeds.generator(seed, "split")
  parts: dict[str, list[np.ndarray]] = {name: [] for name in (*fractions, "train")}
  share = fractions | {"train": 1.0 - sum(fractions.values())}
  members: dict[int, list[int]] = {}
  for index, group in zip(indices.tolist(), image_set.groups[indices].tolist()):
    members.setdefault(group, []).append(index)
  by_class: dict[int, list[list[int]]] = {}
  for group in members.values():
    # A group may span classes (SOURCE.md knows two such pairs): its majority decides.
    labels = image_set.labels[group]
    label = int(labels[0] if len(labels) == 1 else np.bincount(labels).argmax())
    by_class.setdefault(label, []).append(group)
  for label in sorted(by_class):
    groups = by_class[label]
    total = sum(len(group) for group in groups)
    lacking = {name: share[name] * total for name in share}
    names = list(lacking)
    order = rng.permutation(len(groups)).tolist()
    for i, draw in zip(order, rng.random(len(groups)).tolist()):
      # In proportion to what each part lacks, whatever the group's size: were large groups dealt
      # first, copies would gather in the largest part and evaluation would be on singles alone.
      name = names[_choice([max(amount, 0.0) for amount in lacking.values()], draw)]
      parts[name].append(np.array(groups[i]))
      lacking[name] -= len(groups[i])
  return {
    name: np.sort(np.concatenate(groups)) if groups else np.array([], np.int64)
    for name, groups in parts.items()
  }


def _choice(weights: list[float], draw: float) -> int:
  """What `Generator.choice(len(weights), p=weights / sum)` makes of its draw, without its cost."""
  total = sum(weights)
  sums = list(itertools.accumulate(weight / total for weight in weights))
  return bisect.bisect_right([value / sums[-1] for value in sums], draw)
