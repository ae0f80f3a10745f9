"""Brain Tumor Classification (MRI), in the layout that Kaggle serves; also the one of 2021."""

import dataclasses

from fedsafe_tff.data.image_files import Options, list_parts, read_files, require_folder
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.spec import DataSpec
from fedsafe_tff.errors import UserError

LAYOUT = "{Training,Testing}/{glioma_tumor,meningioma_tumor,no_tumor,pituitary_tumor}/*.jpg"
PARTS = (("Training", False), ("Testing", True))
# The first is the default.
TASKS = {
  "meningioma": ("no_tumor", "meningioma_tumor"),
  "glioma": ("no_tumor", "glioma_tumor"),
  "four_class": ("no_tumor", "glioma_tumor", "meningioma_tumor", "pituitary_tumor"),
}
# The set of 2021 of the same kind names its folders in short.
_ALSO = {
  "no_tumor": ("notumor", "no"),
  "glioma_tumor": ("glioma",),
  "meningioma_tumor": ("meningioma",),
  "pituitary_tumor": ("pituitary",),
}
DEFAULT_SIZE = 100


def load(data_dir: str, *, task: str, options: Options) -> ImageSet:
  """Reads one task, gray, resized to squares; both published parts are pooled.

  Raises:
    UserError: Unknown task, missing folders, an unreadable image.
  """
  if task not in TASKS:
    raise UserError(f"--task={task} is unknown for brain_tumor: choose one of {', '.join(TASKS)}")
  root = require_folder(data_dir, LAYOUT)
  return read_files(
    list_parts(root, PARTS, [(name, *_ALSO[name]) for name in TASKS[task]], LAYOUT),
    class_names=TASKS[task],
    channels=1,
    options=dataclasses.replace(options, image_size=options.image_size or DEFAULT_SIZE),
  )


def from_spec(spec: DataSpec, options: Options) -> ImageSet:
  """Loads what a spec says; see `load`."""
  return load(spec.data_dir, task=spec.task, options=options)
