"""Labelled images in memory, with what a leak-free split needs to know of them."""

import dataclasses
import hashlib
import json
from typing import Any

import numpy as np


def pixel_hash(images: np.ndarray) -> str:
  """sha256 of images, uint8 [n, height, width, channels], as hex."""
  digest = hashlib.sha256(str(images.shape).encode())
  digest.update(np.ascontiguousarray(images))
  return digest.hexdigest()


def class_phrase(name: str) -> str:
  """A class in a sentence: classes without names are called "class 2" themselves."""
  return name if name.startswith("class ") else f"class {name}"


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
  """Labelled images.

  Attributes:
    images: uint8 [n, height, width, channels].
    labels: int32 [n].
    class_names: Name of each class.
    names: Where each image comes from, such as `Training/no_tumor/image(3).jpg`.
    groups: int64 [n]; near-duplicates, pages of a file and images of a patient share a group.
    exact: int64 [n]; images whose source pixels are identical share a number.
    published_test: bool [n], the data set's own test part, or None where it has none.
    source_sizes: int32 [n, 2], (height, width) before resizing.
    skipped: Names of files that were left out.
    published_validation: bool [n], the data set's own validation part, or None.
    patients: Pseudonym of each image's patient, "" where unknown; None where no patient is known.
    sites: Name of each image's hospital, "" where unknown; None where no site is known.
    kinds: Kind of each image's file, such as "PNG 8 bit", or None.
    inventory: What became of every file, see `inventory.facts`, or None.
  """

  images: np.ndarray
  labels: np.ndarray
  class_names: tuple[str, ...]
  names: tuple[str, ...]
  groups: np.ndarray
  exact: np.ndarray
  published_test: np.ndarray | None
  source_sizes: np.ndarray
  skipped: tuple[str, ...] = ()
  published_validation: np.ndarray | None = None
  patients: tuple[str, ...] | None = None
  sites: tuple[str, ...] | None = None
  kinds: tuple[str, ...] | None = None
  inventory: dict[str, Any] | None = None

  def __len__(self) -> int:
    return len(self.labels)

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """(height, width, channels)."""
    return tuple(self.images.shape[1:])

  def subset(self, indices: np.ndarray) -> "ImageSet":
    """The images at `indices`, in that order."""

    def some(values):
      if isinstance(values, tuple):
        return tuple(values[i] for i in indices)
      return None if values is None else values[indices]

    return dataclasses.replace(
      self,
      images=self.images[indices],
      labels=self.labels[indices],
      names=tuple(self.names[i] for i in indices),
      groups=self.groups[indices],
      exact=self.exact[indices],
      published_test=some(self.published_test),
      source_sizes=self.source_sizes[indices],
      published_validation=some(self.published_validation),
      patients=some(self.patients),
      sites=some(self.sites),
      kinds=some(self.kinds),
    )

  def content_hash(self, pixels: str | None = None) -> str:
    """sha256, as hex, of all that splits, training and evaluation rest on.

    That is everything but the names, under which the same images may lie elsewhere, and the files
    that gave no image.

    Args:
      pixels: `pixel_hash` of the images, from whoever knows it: it reads all of them.
    """
    digest = hashlib.sha256((pixels or pixel_hash(self.images)).encode())
    texts = (self.class_names, self.patients, self.sites, self.kinds)
    digest.update(json.dumps(texts).encode())
    for name in (
      "labels", "groups", "exact", "published_test", "published_validation", "source_sizes",
    ):  # fmt: skip
      array = getattr(self, name)
      digest.update(f"/{name}".encode())
      if array is not None:
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array, np.int64))
    return digest.hexdigest()
