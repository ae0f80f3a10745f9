"""From a spec of a data set to its images, through a cache of decoded ones."""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable, Iterator

from fedsafe_tff import lazy
from fedsafe_tff.data import files, image_cache, inventory
from fedsafe_tff.data.formats import window
from fedsafe_tff.data.image_files import Options
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.registry import DATASETS, DataSet
from fedsafe_tff.data.spec import DataSpec
from fedsafe_tff.errors import UserError

# Part of every key: raise it when decoding, resizing, hashing or drawing changes.
_VERSION = 5


def load(
  spec: DataSpec, *, cache_dir: str, progress: Callable[[str], None] | None = None
) -> ImageSet:
  """Loads the images of `spec`; the second time from the cache.

  Args:
    spec: Which images.
    cache_dir: Folder of the cache; keyed by what is read, safe to delete.
    progress: Is told how far it is.

  Raises:
    UserError: Whatever is wrong with the name, the folder, the images or the task.
  """
  data_set = _known(spec)
  spec = _with_task(spec)
  window.parse(spec.reading.window)

  def options(scratch: pathlib.Path | None = None) -> Options:
    return Options(spec.image_size, spec.skip_bad_images, spec.reading, scratch, progress)

  if not data_set.cached:
    return data_set.load(spec, options())
  path = pathlib.Path(cache_dir).expanduser() / "images" / f"{_key(spec)}.npz"
  cached = image_cache.read(path, cache_dir)
  if cached is not None:
    return cached
  with _alone(path, progress or (lambda text: None)):
    cached = image_cache.read(path, cache_dir)  # by the process that was waited for
    if cached is not None:
      return cached
    if progress:
      progress(f"reading {spec.dataset} {spec.task}".rstrip())
    image_set = data_set.load(spec, options(image_cache.scratch(path)))
    image_cache.write(path, image_set, cache_dir)
    return image_cache.read(path, cache_dir) or image_set


@contextlib.contextmanager
def _alone(path: pathlib.Path, say: Callable[[str], None]) -> Iterator[None]:
  """Two processes that decode into one folder would take each other's chunks away."""
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(
      f"--cache_dir: {path.parent} can't be made ({error.strerror}): choose another folder"
    ) from None
  taken = f"another process reads these images into {path.parent}: waiting for it"
  with files.locked(path.parent / f".{path.stem}.lock", taken, wait=say):
    yield


def resampling(spec: DataSpec) -> str:
  """How the images of `spec` are resized, as `decoding.decode_files` takes it.

  Raises:
    UserError: The data set is unknown.
  """
  known = _known(spec)
  return known.source_resampling if known.source and not spec.data_dir else known.resampling


def _known(spec: DataSpec) -> DataSet:
  if spec.dataset not in DATASETS:
    raise UserError(f"--dataset={spec.dataset} is unknown: choose one of {', '.join(DATASETS)}")
  return DATASETS[spec.dataset]


def _with_task(spec: DataSpec) -> DataSpec:
  return dataclasses.replace(spec, task=spec.task or _known(spec).default_task)


def relevant(spec: DataSpec) -> DataSpec:
  """The spec without what does not change its images: those must not be decoded again for it."""
  uses = _known(spec).uses
  spec = _with_task(spec)
  if "num_images" not in uses:
    spec = dataclasses.replace(spec, num_images=0)
  # What is read and not made is drawn only where it is more than is asked for.
  drawn = "data_dir" not in uses or (spec.data_dir and spec.num_images)
  return spec if "seed" in uses and drawn else dataclasses.replace(spec, seed=0)


def _key(spec: DataSpec) -> str:
  """Hash of the spec and of the path, size and times of every file below its folder."""
  facts = dataclasses.asdict(relevant(spec)) | {"version": _VERSION}
  root = None
  if spec.data_dir:
    root = pathlib.Path(spec.data_dir).expanduser().resolve()
    facts["data_dir"] = str(root)  # as typed, it may mean another folder elsewhere
  elif source := _known(spec).source:
    root = lazy.loaded(source)()
  if root is not None and root.is_dir():
    facts["files"] = inventory.stamp(root)
  table = spec.meaning.metadata
  if table and pathlib.Path(table).is_file():
    facts["metadata"] = hashlib.sha256(pathlib.Path(table).read_bytes()).hexdigest()
  return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
