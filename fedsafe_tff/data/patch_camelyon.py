"""PatchCamelyon as its authors serve it: HDF5 files of patches and labels, tables of slides."""

import csv
import hashlib
import pathlib
import re

import numpy as np
import PIL.Image

from fedsafe_tff.data import inventory, seeds
from fedsafe_tff.data.belonging import join_groups
from fedsafe_tff.data.formats.frame import DEFAULT, MissingLibrary, Reading, pseudonym
from fedsafe_tff.data.hash_links import groups_of
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.near_duplicates import hash_image
from fedsafe_tff.errors import UserError

_NAME = re.compile(r"(.*_(train|valid|test))_x\.h5")
_ROWS = 512


def files(root: pathlib.Path) -> list[tuple[pathlib.Path, str]]:
  """The files of patches below a folder with their part: train, valid, test in that order."""
  found = [(f.path, _NAME.fullmatch(f.parts[-1])) for f in inventory.walk(root).files]
  order = ("train", "valid", "test")
  parts = [(path, match.group(2)) for path, match in found if match]
  return sorted(parts, key=lambda entry: (order.index(entry[1]), str(entry[0])))


def load(
  root: pathlib.Path,
  *,
  num_images: int,
  image_size: int,
  seed: int,
  class_names: tuple[str, ...],
  reading: Reading = DEFAULT,
) -> ImageSet:
  """Reads patches, some of each part where `num_images` is below their number.

  Raises:
    UserError: h5py is missing, a file is damaged or larger than allowed.
  """
  try:
    import h5py
  except ImportError:
    raise UserError(str(MissingLibrary("HDF5", "h5py"))) from None
  pixels, labels, names, hashes, parts, slides = [], [], [], [], [], []
  found = files(root)
  try:
    counts = []
    for path, _ in found:
      with h5py.File(path) as x, h5py.File(_labels_of(path)) as y:
        shape, truth = x["x"].shape, y["y"].shape
        if x["x"].dtype != np.uint8 or len(shape) != 4 or shape[-1] != 3 or truth[0] != shape[0]:
          raise UserError(
            f"{path} has x of shape {shape} and type {x['x'].dtype}, labels {truth}: expected "
            "uint8 [n, 96, 96, 3] and a label per patch"
          )
        counts.append(shape[0])
        wanted = min(num_images or shape[0], shape[0])
        if wanted * int(np.prod(shape[1:])) > reading.max_bytes:
          raise UserError(
            f"{wanted} patches of {path} are more than --max_bytes={reading.max_bytes}: give "
            "--num_images, or raise --max_bytes"
          )
    for (path, part), rows in zip(found, _draw(counts, num_images, seed)):
      wsi = _slides(path, counts[len(parts)])
      parts.append(part)
      with h5py.File(path) as x, h5py.File(_labels_of(path)) as y:
        truth = np.asarray(y["y"][:]).reshape(-1)
        for start in range(0, len(rows), _ROWS):
          for row, patch in zip(rows[start:], x["x"][rows[start : start + _ROWS]]):
            image = PIL.Image.fromarray(patch)
            hashes.append(hash_image(image))
            way = PIL.Image.Resampling.BILINEAR
            pixels.append(np.asarray(image.resize((image_size, image_size), way)))
            names.append(
              (
                f"{path.name}/{row}",
                part,
                patch.shape[:2],
                hashlib.sha256(patch.tobytes()).hexdigest(),
              )
            )
            labels.append(int(truth[row]))
            slides.append(pseudonym(wsi[row]) if wsi else "")
  except (OSError, KeyError) as error:
    reason = " ".join(str(error).split())[:200]
    raise UserError(f"the HDF5 files in {root} can't be read ({reason})") from None
  everything = np.array([part for _, part, _, _ in names])
  exact = np.unique([digest for *_, digest in names], return_inverse=True)[1]
  patients = tuple(slides) if any(slides) else None
  valid = everything == "valid"
  return ImageSet(
    images=np.stack(pixels).astype(np.uint8),
    labels=np.array(labels, np.int32),
    class_names=class_names,
    names=tuple(name for name, *_ in names),
    groups=join_groups(groups_of(hashes), *([patients] if patients else [])),
    exact=exact.astype(np.int64),
    published_test=everything == "test",
    source_sizes=np.array([size for _, _, size, _ in names], np.int32),
    published_validation=valid if valid.any() else None,
    patients=patients,
    kinds=("HDF5 8 bit",) * len(names),
    inventory=inventory.facts(
      found=len(found), loaded=len(found), images=len(names), left_out=(),
      not_drawn=sum(counts) - len(names), layout="PatchCamelyon's HDF5 files",
    ),
  )  # fmt: skip


def _labels_of(path: pathlib.Path) -> pathlib.Path:
  return path.with_name(path.name.removesuffix("_x.h5") + "_y.h5")


def _draw(counts: list[int], num_images: int, seed: int) -> list[np.ndarray]:
  """Rows of each part, sorted, in the proportions of the parts."""
  total = sum(counts)
  if not num_images or num_images >= total:
    return [np.arange(count) for count in counts]
  borders = np.round(np.cumsum([0, *counts]) * num_images / total).astype(int)
  rng = seeds.generator(seed, "pathology/hdf5")
  return [np.sort(rng.permutation(count)[:take]) for count, take in zip(counts, np.diff(borders))]


def _slides(path: pathlib.Path, count: int) -> list[str]:
  """The slide of every patch, where the authors' table lies beside the patches."""
  table = path.with_name(path.name.removesuffix("_x.h5") + "_meta.csv")
  if not table.is_file():
    return []
  with table.open(newline="") as file:
    slides = [row.get("wsi", "") for row in csv.DictReader(file)]
  return slides if len(slides) == count else []
