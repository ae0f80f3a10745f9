"""PatchCamelyon patches of lymph nodes: tumour in the centre 32x32 pixels, or not.

From class folders, or from TFDS when no folder is given. The paper takes 2150 patches, 62 % for
training and 38 % for testing, and does not say which.
"""

import numpy as np

from fedsafe_tff.data import seeds
from fedsafe_tff.data.image_files import Progress, list_parts, read_files, require_folder
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.tfds_patches import read_patch_camelyon

LAYOUT = "{train,test}/{0,1}/*.jpg"
CLASS_NAMES = ("normal", "tumour")
DEFAULT_SIZE = 96
PAPER_IMAGES = 2150
PAPER_TRAIN_SHARE = 0.62


def load(
  data_dir: str,
  *,
  num_images: int,
  image_size: int,
  skip_bad_images: bool,
  seed: int,
  progress: Progress | None = None,
) -> ImageSet:
  """Reads patches as RGB squares.

  Args:
    data_dir: Class folders `{train,test}/{0,1}`; empty takes TFDS.
    num_images: How many to draw, keeping the folders' proportions; 0: all (folders) or the
      paper's 2150 (TFDS).
    image_size: Side in pixels; 0: 96.
    skip_bad_images: Go on without images that can't be read.
    seed: Of the draw.
    progress: Is told how far it is.

  Raises:
    UserError: Missing folders, an unreadable image, no TFDS data.
  """
  size = image_size or DEFAULT_SIZE
  if not data_dir:
    total = num_images or PAPER_IMAGES
    train = round(total * PAPER_TRAIN_SHARE)
    return read_patch_camelyon(train, total - train, size, CLASS_NAMES)
  root = require_folder(data_dir, LAYOUT)
  files = list_parts(root, (("train", False), ("test", True)), ("0", "1"), LAYOUT)
  if num_images and num_images < len(files):
    # Within each cell (part, label) a random order; files are taken by their rank in the cell, so
    # that any number of them keeps the cells' proportions.
    rng = seeds.generator(seed, "pathology/draw")
    cells = np.array([2 * file.test + file.label for file in files])
    rank = np.empty(len(files))
    for cell in np.unique(cells):
      members = np.flatnonzero(cells == cell)
      rank[members] = (rng.permutation(len(members)) + 0.5) / len(members)
    files = [files[i] for i in np.sort(np.argsort(rank, kind="stable")[:num_images])]
  return read_files(
    files,
    class_names=CLASS_NAMES,
    image_size=size,
    channels=3,
    skip_bad_images=skip_bad_images,
    progress=progress,
  )
