"""PatchCamelyon through TensorFlow Datasets."""

import os
import pathlib

import numpy as np
import PIL.Image

from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.near_duplicates import hash_image, near_groups
from fedsafe_tff.errors import UserError


def folder() -> pathlib.Path:
  """Where TFDS keeps the data set, unless it was told another place in code."""
  root = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
  return pathlib.Path(root).expanduser() / "patch_camelyon"


def read_patch_camelyon(
  train_images: int, test_images: int, image_size: int, class_names: tuple[str, ...]
) -> ImageSet:
  """The first `train_images` and `test_images` of TFDS's `patch_camelyon` splits.

  Raises:
    UserError: The data set is neither prepared nor can it be downloaded.
  """
  pixels, labels, names, hashes, test = [], [], [], [], []
  try:
    import tensorflow_datasets as tfds  # slow to import, and needed for this data set alone

    for part, count in (("train", train_images), ("test", test_images)):
      data = tfds.load("patch_camelyon", split=f"{part}[:{count}]", shuffle_files=False)
      for index, example in enumerate(tfds.as_numpy(data.take(count))):
        image = PIL.Image.fromarray(example["image"])
        hashes.append(hash_image(image))
        way = PIL.Image.Resampling.BICUBIC  # `registry` tells of it
        pixels.append(np.asarray(image.resize((image_size, image_size), way)))
        labels.append(int(example["label"]))
        names.append(f"patch_camelyon/{part}/{index}")
        test.append(part == "test")
  except Exception as error:  # TFDS raises many kinds, from network errors to missing checksums
    reason = " ".join(str(error).split())[:200]
    raise UserError(
      f"tfds.load('patch_camelyon') failed ({type(error).__name__}: {reason}): give the patches "
      "as class folders with --data_dir, or prepare the data set with TFDS first"
    ) from error
  images = np.stack(pixels).astype(np.uint8)
  return ImageSet(
    images=images,
    labels=np.array(labels, np.int32),
    class_names=class_names,
    names=tuple(names),
    groups=near_groups(hashes),
    exact=np.unique(images.reshape(len(images), -1), axis=0, return_inverse=True)[1].ravel(),
    published_test=np.array(test),
    source_sizes=np.full([len(images), 2], 96, np.int32),
  )
