"""PatchCamelyon patches of lymph nodes: tumour in the centre 32x32 pixels, or not.

From class folders, from the authors' HDF5 files, or from TFDS when no folder is given. The paper
takes 2150 patches, 62 % for training and 38 % for testing, and does not say which.
"""

import dataclasses

import numpy as np

from fedsafe_tff.data import patch_camelyon, seeds
from fedsafe_tff.data.image_files import Options, list_parts, read_files, require_folder
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.spec import DataSpec
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
  seed: int,
  options: Options,
) -> ImageSet:
  """Reads patches as RGB squares.

  Args:
    data_dir: Class folders `{train,test}/{0,1}`; empty takes TFDS.
    num_images: How many to draw, keeping the folders' proportions; 0: all (folders) or the
      paper's 2150 (TFDS).
    seed: Of the draw.
    options: How files are read; `image_size` 0 is 96 pixels.

  Raises:
    UserError: Missing folders, an unreadable image, no TFDS data.
  """
  size = options.image_size or DEFAULT_SIZE
  if not data_dir:
    total = num_images or PAPER_IMAGES
    train = round(total * PAPER_TRAIN_SHARE)
    return read_patch_camelyon(train, total - train, size, CLASS_NAMES)
  root = require_folder(data_dir, LAYOUT)
  if patch_camelyon.files(root):
    return patch_camelyon.load(
      root, num_images=num_images, image_size=size, seed=seed, class_names=CLASS_NAMES,
      reading=options.reading,
    )  # fmt: skip
  listing = list_parts(root, (("train", False), ("test", True)), (("0",), ("1",)), LAYOUT)
  files = listing.files
  facts = {}
  if num_images and num_images < len(files):
    # Within each cell (part, label) a random order; files are taken by their rank in the cell, so
    # that any number of them keeps the cells' proportions.
    rng = seeds.generator(seed, "pathology/draw")
    cells = np.array([2 * file.test + file.label for file in files])
    rank = np.empty(len(files))
    for cell in np.unique(cells):
      members = np.flatnonzero(cells == cell)
      rank[members] = (rng.permutation(len(members)) + 0.5) / len(members)
    chosen = tuple(files[i] for i in np.sort(np.argsort(rank, kind="stable")[:num_images]))
    facts["not_drawn"] = len(files) - len(chosen)
    listing = dataclasses.replace(listing, files=chosen)
  return read_files(
    listing,
    class_names=CLASS_NAMES,
    channels=3,
    options=dataclasses.replace(options, image_size=size),
    facts=facts,
  )


def from_spec(spec: DataSpec, options: Options) -> ImageSet:
  """Loads what a spec says; see `load`."""
  return load(
    spec.data_dir, num_images=spec.num_images, seed=spec.seed, options=options
  )
