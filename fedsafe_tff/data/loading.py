"""From the name of a data set to its images, through a cache of decoded ones."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable

from fedsafe_tff.data import (
  brain_tumor,
  image_cache,
  image_folder,
  inventory,
  npz,
  pathology,
  phantom,
  tfds_patches,
)
from fedsafe_tff.data.formats import window
from fedsafe_tff.data.formats.frame import Reading
from fedsafe_tff.data.image_files import Options
from fedsafe_tff.data.image_folder import Meaning
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.errors import UserError

# Part of every key: raise it when decoding, resizing, hashing or drawing changes.
_VERSION = 4
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
    reading: How files are read.
    meaning: What tells class, patient, site and split, of an image folder.
  """

  dataset: str
  task: str = ""
  data_dir: str = ""
  image_size: int = 0
  num_images: int = 0
  skip_bad_images: bool = False
  seed: int = 0
  reading: Reading = Reading()
  meaning: Meaning = Meaning()


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
  window.parse(spec.reading.window)
  if spec.dataset == "npz":
    return npz.load(spec.data_dir, image_size=spec.image_size, reading=spec.reading)
  path = pathlib.Path(cache_dir).expanduser() / "images" / f"{_key(spec)}.npz"
  cached = image_cache.read(path, cache_dir)
  if cached is not None:
    return cached
  if progress:
    progress(f"reading {spec.dataset} {spec.task}".rstrip())
  image_set = _load(spec, image_cache.scratch(path), progress)
  image_cache.write(path, image_set, cache_dir)
  return image_cache.read(path, cache_dir) or image_set


def _load(spec: DataSpec, scratch: pathlib.Path, progress) -> ImageSet:
  if spec.dataset == "phantom":
    size = spec.image_size
    return phantom.load(task=spec.task, num_images=spec.num_images, seed=spec.seed, image_size=size)
  options = Options(spec.image_size, spec.skip_bad_images, spec.reading, scratch, progress)
  if spec.dataset == "brain_tumor":
    return brain_tumor.load(spec.data_dir, task=spec.task, options=options)
  if spec.dataset == "pathology":
    return pathology.load(
      spec.data_dir, num_images=spec.num_images, seed=spec.seed, options=options
    )
  return image_folder.load(spec.data_dir, options=options, meaning=spec.meaning)


def relevant(spec: DataSpec) -> DataSpec:
  """The spec without what does not change its images: those must not be decoded again for it."""
  spec = dataclasses.replace(spec, task=spec.task or _DEFAULT_TASKS.get(spec.dataset, ""))
  if spec.dataset in ("brain_tumor", "image_folder", "npz"):
    return dataclasses.replace(spec, seed=0, num_images=0)
  if spec.dataset == "pathology" and not (spec.data_dir and spec.num_images):
    return dataclasses.replace(spec, seed=0)
  return spec


def _key(spec: DataSpec) -> str:
  """Hash of the spec and of the path, size and times of every file below its folder."""
  facts = dataclasses.asdict(relevant(spec)) | {"version": _VERSION}
  root = None
  if spec.data_dir:
    root = pathlib.Path(spec.data_dir).expanduser().resolve()
    facts["data_dir"] = str(root)  # as typed, it may mean another folder elsewhere
  elif spec.dataset == "pathology":
    root = tfds_patches.folder()
  if root is not None and root.is_dir():
    facts["files"] = inventory.stamp(root)
  table = spec.meaning.metadata
  if table and pathlib.Path(table).is_file():
    facts["metadata"] = hashlib.sha256(pathlib.Path(table).read_bytes()).hexdigest()
  return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
