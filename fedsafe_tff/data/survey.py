"""What a data set holds, in numbers and pictures, before anything is trained on it."""

import collections
from typing import Any

import numpy as np

from fedsafe_tff.data import seeds, shortcuts
from fedsafe_tff.data.image_set import ImageSet, class_phrase
from fedsafe_tff.data.leaks import count_leaks

VERSION = 1  # of what is computed: results are remembered under it
PICTURES = 12
_MOST_SIZES = 8


def survey(image_set: ImageSet) -> dict[str, Any]:
  """Facts of a data set as JSON has them.

  Returns:
    `images`, `shape`, `groups`; `classes`, `sites` and `kinds`: name to images, groups and patients
    (by class, for sites); `sizes`: the commonest; `belonging`: sentences about groups that cross
    classes, sites or the published split; `shortcuts`; `inventory`.
  """
  found = shortcuts.find(image_set)
  return {
    "images": len(image_set),
    "shape": list(image_set.image_shape),
    "groups": len(np.unique(image_set.groups)),
    "patients": _patients(image_set, np.arange(len(image_set))),
    "classes": [_row(image_set, name, image_set.labels == k)
                for k, name in enumerate(image_set.class_names)],  # fmt: skip
    "sites": _by(image_set, image_set.sites),
    "kinds": _by(image_set, image_set.kinds),
    "sizes": _sizes(image_set.source_sizes),
    "belonging": belonging(image_set),
    "shortcuts": [
      {
        "name": s.name,
        "accuracy": s.accuracy,
        "majority": s.majority,
        "classes_alike": s.classes_alike,
        "warns": s.warns,
      }
      for s in found
    ],
    "inventory": image_set.inventory,
  }


def _row(image_set: ImageSet, name: str, chosen: np.ndarray) -> dict[str, Any]:
  rows = np.flatnonzero(chosen)
  labels = np.bincount(image_set.labels[rows], minlength=len(image_set.class_names))
  return {
    "name": name,
    "images": len(rows),
    "groups": len(np.unique(image_set.groups[rows])),
    "patients": _patients(image_set, rows),
    "by_class": labels.tolist(),
  }


def _patients(image_set: ImageSet, rows: np.ndarray) -> int | None:
  if image_set.patients is None:
    return None
  return len({image_set.patients[i] for i in rows} - {""})


def _by(image_set: ImageSet, values: tuple[str, ...] | None) -> list[dict[str, Any]]:
  if values is None:
    return []
  told = np.array(values, str)
  return [_row(image_set, name or "unknown", told == name) for name in np.unique(told).tolist()]


def _sizes(sizes: np.ndarray) -> list[dict[str, Any]]:
  counts = collections.Counter(map(tuple, sizes.tolist()))
  rows = [
    {"name": f"{height} x {width}", "images": count}
    for (height, width), count in counts.most_common(_MOST_SIZES)
  ]
  others = len(counts) - len(rows)
  if others > 0:
    left = sum(counts.values()) - sum(row["images"] for row in rows)
    rows.append({"name": f"{others} other sizes", "images": left})
  return rows


def belonging(image_set: ImageSet) -> list[str]:
  """Sentences about images that belong together and stand on two sides of something."""
  lines = []
  copies = len(image_set) - len(np.unique(image_set.exact))
  if copies:
    lines.append(f"{copies} images are exact copies of another")
  grouped = len(image_set) - len(np.unique(image_set.groups))
  if grouped:
    what = "a near-duplicate" if image_set.patients is None else "a near-duplicate or the patient"
    lines.append(f"{grouped} images share {what} with another")
  crossing = _crossing(image_set.groups, image_set.labels)
  if crossing:
    lines.append(f"{crossing} groups hold images of several classes")
  if image_set.sites is not None:
    _, site = np.unique(np.array(image_set.sites, str), return_inverse=True)
    crossing = _crossing(image_set.groups, site)
    if crossing:
      lines.append(f"{crossing} groups hold images of several sites")
  leaks = count_leaks(image_set)
  if leaks is not None:
    lines.append(leaks.sentence())
  return lines


def _crossing(groups: np.ndarray, values: np.ndarray) -> int:
  """How many groups hold more than one value."""
  pairs = np.unique(np.column_stack([groups, values]), axis=0)
  return int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())


def pictures(image_set: ImageSet, seed: int = 0) -> list[tuple[str, np.ndarray]]:
  """For every class and site, twelve images as the model sees them, in a row.

  Returns:
    (title, uint8 [h, 12 w, c]) of each; fewer images leave the row shorter.
  """
  rng = seeds.generator(seed, "survey/pictures")
  wanted = [(class_phrase(name), image_set.labels == k)
            for k, name in enumerate(image_set.class_names)]  # fmt: skip
  if image_set.sites is not None:
    told = np.array(image_set.sites, str)
    wanted += [(f"site {name or 'unknown'}", told == name) for name in np.unique(told).tolist()]
  made = []
  for title, chosen in wanted:
    rows = np.flatnonzero(chosen)
    if len(rows):
      rows = np.sort(rng.permutation(rows)[:PICTURES])
      images = np.asarray(image_set.images[rows])
      made.append((title, np.concatenate(list(images), axis=1)))
  return made


def lines(facts: dict[str, Any]) -> list[str]:
  """The facts in words, for a terminal."""
  patients = "" if facts["patients"] is None else f", {facts['patients']} patients"
  said = [f"{facts['images']} images {tuple(facts['shape'])}, {facts['groups']} groups{patients}"]
  for what, rows in (("class", facts["classes"]), ("site", facts["sites"])):
    for row in rows:
      patients = "" if row["patients"] is None else f", {row['patients']} patients"
      said.append(f"{what} {row['name']}: {row['images']} images{patients}")
  said += facts["belonging"]
  for shortcut in facts["shortcuts"]:
    mark = "SHORTCUT" if shortcut["warns"] else "shortcut"
    said.append(
      f"{mark} {shortcut['name']}: tells the class of {shortcut['accuracy']:.3f} of the images, "
      f"the majority class {shortcut['majority']:.3f}"
    )
  return said
