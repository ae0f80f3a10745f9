import io

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import scipy.ndimage

from fedsafe_tff.data import aligned_copies, phantom
from fedsafe_tff.data.near_duplicates import hash_image, near_groups

SIDE = 160  # of the images that are compared, in pixels


@pytest.fixture(scope="module")
def heads():
  return [head(seed) for seed in range(8)]


def head(seed):
  return PIL.Image.fromarray(phantom.draw_slice(np.random.default_rng(seed), SIDE, "none"))


def recompressed(image):
  stored = io.BytesIO()
  image.save(stored, "JPEG", quality=25)
  return PIL.Image.open(stored)


def shifted(image):
  pixels = np.zeros([SIDE, SIDE], np.uint8)
  pixels[1:, 1:] = np.asarray(image)[:-1, :-1]
  return PIL.Image.fromarray(pixels)


def next_slice(image):
  """The same head, its insides a little elsewhere, as the scan beside it shows them."""
  rng = np.random.default_rng(0)
  moves = scipy.ndimage.gaussian_filter(rng.standard_normal([2, SIDE, SIDE]), (0, 14, 14))
  places = np.mgrid[:SIDE, :SIDE] + 1.2 * moves / moves.std()
  pixels = scipy.ndimage.map_coordinates(np.asarray(image, float), places, order=1, mode="nearest")
  return PIL.Image.fromarray(pixels.astype(np.uint8))


def pictures(images):
  return np.stack([hash_image(image).picture for image in images])


COPIES = {
  "smaller": lambda image: image.resize((90, 90), PIL.Image.Resampling.LANCZOS),
  "of another shape": lambda image: image.resize((200, 189), PIL.Image.Resampling.BICUBIC),
  "with a border": lambda image: PIL.ImageOps.expand(image, 1, 255),
  "its edge painted": lambda image: PIL.ImageOps.expand(image.crop((1, 1, 159, 159)), 1, 255),
  "shifted": shifted,
  "cropped": lambda image: image.crop((2, 3, SIDE - 1, SIDE - 4)),
  "recompressed": recompressed,
  "darker": lambda image: image.point(lambda value: 0.6 * value + 12),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_shares_its_group_and_no_other(heads, kind):
  copies = [COPIES[kind](image) for image in heads]
  groups = near_groups([hash_image(image) for image in (*heads, *copies)])
  np.testing.assert_array_equal(groups[: len(heads)], groups[len(heads) :])
  assert len(set(groups)) == len(heads)


@pytest.mark.parametrize("kind", COPIES)
def test_pairs_are_the_copies(heads, kind):
  count = len(heads)
  found = aligned_copies.find(pictures([*heads, *(COPIES[kind](image) for image in heads)]))
  assert found.dtype == np.int64
  assert found.tolist() == [[index, index + count] for index in range(count)]


def test_the_slice_beside_is_no_copy(heads, monkeypatch):
  both = pictures([*heads, *map(next_slice, heads)])
  assert len(aligned_copies.find(both)) == 0
  monkeypatch.setattr(aligned_copies, "MIN_DETAIL", 0.8)
  assert len(aligned_copies.find(both)) == len(heads)  # as whole pictures they are alike


def test_a_speck_on_nothing_is_not_enough():
  blank = np.full([3, 64, 64], 220, np.uint8)
  blank[0, 30:33, 30:33] = 90
  blank[1, 32:35, 31:34] = 90
  assert len(aligned_copies.find(blank)) == 0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_pictures(heads, count):
  assert aligned_copies.find(pictures(heads[:count])).shape == (0, 2)
  assert near_groups([hash_image(image) for image in heads[:count]]).tolist() == list(range(count))


def test_batches_and_blocks_do_not_matter(heads, monkeypatch):
  all_copies = pictures([*heads, *map(shifted, heads), *map(recompressed, heads)])
  whole = aligned_copies.find(all_copies)
  monkeypatch.setattr(aligned_copies, "_ROWS", 5)
  monkeypatch.setattr(aligned_copies, "_PIXELS", 3 * 64**2)
  np.testing.assert_array_equal(aligned_copies.find(all_copies), whole)
  assert len(whole) == 3 * len(heads)
