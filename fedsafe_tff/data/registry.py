"""The data sets that there are: a new one takes a function and a line. It is imported on first use.

A data set is a function (spec, options) of a `DataSpec` and of `image_files.Options`, how files are
read, to an `ImageSet`. The spec names a task where the data set has tasks.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from fedsafe_tff import lazy

# Settings that not every data set has a use for.
USES = ("data_dir", "files", "layout", "num_images", "seed", "sites")


@dataclasses.dataclass(frozen=True)
class DataSet:
  """A data set.

  Attributes:
    load: See above; or a `lazy.Member` that imports it.
    help: What it is, in a few words for `--help`.
    uses: Of `USES`: a folder or file that is given, settings for files of images, those for what
      folders mean, a number of images to make or draw, the seed, names of sites.
    tasks: Class names by task, of which the first is the default, or a `lazy.Member` of these;
      None for a data set without tasks.
    source: A function to the folder that is read where none is given; None where there is none.
    resampling: How images are resized, a name of `PIL.Image.Resampling` in small letters.
    source_resampling: The same, of those from `source`.
    cached: Whether decoded images are kept for the next time.
  """

  load: Callable[..., Any]
  help: str
  uses: tuple[str, ...] = ()
  tasks: Mapping[str, Any] | lazy.Member | None = None
  source: Callable[[], Any] | None = None
  resampling: str = "bilinear"
  source_resampling: str = "bilinear"
  cached: bool = True

  @property
  def default_task(self) -> str:
    """The task that an empty one stands for; empty where there are none."""
    return next(iter(lazy.loaded(self.tasks))) if self.tasks is not None else ""


DATASETS: dict[str, DataSet] = {
  "phantom": DataSet(
    lazy.Member("fedsafe_tff.data.phantom", "from_spec"),
    "generated brain-like slices, of --task=two_class or four_class",
    uses=("num_images", "seed"),
    tasks=lazy.Member("fedsafe_tff.data.phantom", "TASKS"),
  ),
  "brain_tumor": DataSet(
    lazy.Member("fedsafe_tff.data.brain_tumor", "from_spec"),
    "MRI scans, of --task=meningioma, glioma or four_class",
    uses=("data_dir", "files"),
    tasks=lazy.Member("fedsafe_tff.data.brain_tumor", "TASKS"),
  ),
  "pathology": DataSet(
    lazy.Member("fedsafe_tff.data.pathology", "from_spec"),
    "PatchCamelyon, from TFDS without --data_dir",
    uses=("data_dir", "files", "num_images", "seed"),
    source=lazy.Member("fedsafe_tff.data.tfds_patches", "folder"),
    source_resampling="bicubic",
  ),
  "image_folder": DataSet(
    lazy.Member("fedsafe_tff.data.image_folder", "from_spec"),
    "your own files, a folder per class or a table",
    uses=("data_dir", "files", "layout", "sites"),
  ),
  "npz": DataSet(
    lazy.Member("fedsafe_tff.data.npz", "from_spec"),
    "your own arrays",
    uses=("data_dir", "sites"),
    cached=False,
    resampling="bicubic",
  ),
}


def using(setting: str) -> str:
  """The data sets that use a setting, for a message: a, b or c."""
  return lazy.listed(name for name, data_set in DATASETS.items() if setting in data_set.uses)
