"""From the name of a data set to its images, through a cache of decoded ones."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable

import numpy as np

from fedsafe_tff.data import brain_tumor, image_folder, npz, pathology, phantom
from fedsafe_tff.data.files import atomic_path
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.errors import UserError

# Part of every key: raise it when decoding, resizing, hashing or drawing changes.
_VERSION = 2
_DEFAULT_TASKS = {"brain_tumor": brain_tumor.DEFAULT_TASK, "phantom": phantom.DEFAULT_TASK}
DATASETS = ("phantom", "brain_tumor", "pathology", "image_folder", "npz")


@dataclasses.dataclass(frozen=True)
class DataSpec:
  """Which images.

  Attributes:
    dataset: One of `DATASETS`.
    task: Task of the data set; empty takes its default.
    data_dir: Folder (file, for npz) of the images.
    image_size: Side in pixels; 0 takes the data set's own.
    num_images: How many to make or draw; 0 takes the default.
    skip_bad_images: Go on without images that can't be read.
    seed: Of what is drawn.
  """

  dataset: str
  task: str = ""
  data_dir: str = ""
  image_size: int = 0
  num_images: int = 0
  skip_bad_images: bool = False
  seed: int = 0


def load(
  spec: DataSpec, *, cache_dir: str, progress: Callable[[str], None] | None = None
) -> ImageSet:
  """Loads the images of `spec`; the second time from the cache.

  Args:
    spec: Which images.
    cache_dir: Folder of the cache; keyed by what is read, safe to delete.
    progress: Is told how far it is.

  Raises:
    UserError: Whatever is wrong with the folder, the images or the task.
  """
  if spec.dataset not in DATASETS:
    raise UserError(f"--dataset={spec.dataset} is unknown: choose one of {', '.join(DATASETS)}")
  spec = dataclasses.replace(spec, task=spec.task or _DEFAULT_TASKS.get(spec.dataset, ""))
  if spec.dataset == "npz":
    return npz.load(spec.data_dir, image_size=spec.image_size)
  path = pathlib.Path(cache_dir).expanduser() / "images" / f"{_key(spec)}.npz"
  if path.is_file():
    cached = _read(path)
    if cached is not None:
      return cached
  if progress:
    progress(f"reading {spec.dataset} {spec.task}".rstrip())
  image_set = _load(spec, progress)
  _write(path, image_set)
  return image_set


def _load(spec: DataSpec, progress) -> ImageSet:
  common = {"image_size": spec.image_size}
  if spec.dataset == "phantom":
    return phantom.load(task=spec.task, num_images=spec.num_images, seed=spec.seed, **common)
  common |= {"skip_bad_images": spec.skip_bad_images, "progress": progress}
  if spec.dataset == "brain_tumor":
    return brain_tumor.load(spec.data_dir, task=spec.task, **common)
  if spec.dataset == "pathology":
    return pathology.load(spec.data_dir, num_images=spec.num_images, seed=spec.seed, **common)
  return image_folder.load(spec.data_dir, **common)


def _key(spec: DataSpec) -> str:
  """Hash of the spec and of the name, size and time of every file below its folder."""
  # What does not change the images must not make them be decoded again.
  if spec.dataset in ("brain_tumor", "image_folder"):
    spec = dataclasses.replace(spec, seed=0, num_images=0)
  elif spec.dataset == "pathology" and not (spec.data_dir and spec.num_images):
    spec = dataclasses.replace(spec, seed=0)
  facts = dataclasses.asdict(spec) | {"version": _VERSION}
  root = pathlib.Path(spec.data_dir).expanduser() if spec.data_dir else None
  if root is not None and root.is_dir():
    facts["files"] = [
      (str(p.relative_to(root)), p.stat().st_size, p.stat().st_mtime_ns)
      for p in sorted(root.rglob("*"))
      if p.is_file()
    ]
  return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def _write(path: pathlib.Path, image_set: ImageSet) -> None:
  values = {
    name: np.array(value)
    for name, value in dataclasses.asdict(image_set).items()
    if value is not None
  }
  values["names"] = np.array(image_set.names, str)
  values["skipped"] = np.array(image_set.skipped, str)
  with atomic_path(path) as temporary, temporary.open("wb") as file:
    np.savez(file, **values)


def _read(path: pathlib.Path) -> ImageSet | None:
  try:
    with np.load(path, allow_pickle=False) as archive:
      values = dict(archive)
    for name in ("class_names", "names", "skipped"):
      values[name] = tuple(str(entry) for entry in values[name])
    return ImageSet(**({"published_test": None} | values))
  except Exception:  # a damaged cache entry is as good as none
    path.unlink(missing_ok=True)
    return None
