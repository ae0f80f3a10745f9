"""Near-duplicate images: by two perceptual hashes, then by a second look at the nearest ones.

Two images are linked when both their dHash and their pHash differ in at most 10 of 256 bits, or
when `aligned_copies` finds them to show the same; linked images form a group. The hashes are the
`imagehash` library's. Everything is computed on the source image, before the data set's resizing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import imagehash
import numpy as np
import PIL.Image
import scipy.sparse
import scipy.sparse.csgraph

from fedsafe_tff.data import aligned_copies

HASH_SIZE = 16
MAX_BITS = 10
_ROWS = 1024  # compared with all others at a time, so that memory grows with n and not n^2


class Fingerprint(NamedTuple):
  """What images are compared by.

  Attributes:
    dhash: bool [256].
    phash: bool [256].
    picture: The image as uint8 [aligned_copies.SIDE, aligned_copies.SIDE], gray.
  """

  dhash: np.ndarray
  phash: np.ndarray
  picture: np.ndarray


HashPair = Fingerprint  # its name while there were the two hashes alone


def hash_image(image: PIL.Image.Image) -> Fingerprint:
  """The fingerprint of an image of any size and mode of 8 bits."""
  gray = image.convert("L")
  side = (aligned_copies.SIDE, aligned_copies.SIDE)
  return Fingerprint(
    imagehash.dhash(gray, hash_size=HASH_SIZE).hash.ravel(),
    imagehash.phash(gray, hash_size=HASH_SIZE).hash.ravel(),
    np.asarray(gray.resize(side, PIL.Image.Resampling.BILINEAR)),
  )


def near_groups(prints: Sequence[Fingerprint], max_bits: int = MAX_BITS) -> np.ndarray:
  """Connected components of the images that are linked, int64 [n].

  The second look is at the first image of each group that the hashes make.
  """
  groups = _by_hashes(prints, max_bits)
  _, first = np.unique(groups, return_index=True)
  pairs = first[aligned_copies.find(np.stack([prints[index].picture for index in first]))]
  count = len(first)
  links = scipy.sparse.coo_matrix(
    (np.ones(len(pairs)), (groups[pairs[:, 0]], groups[pairs[:, 1]])), shape=(count, count)
  )
  _, joined = scipy.sparse.csgraph.connected_components(links, directed=False)
  return joined.astype(np.int64)[groups]


def _by_hashes(prints: Sequence[Fingerprint], max_bits: int) -> np.ndarray:
  kinds = [np.stack([pair[kind] for pair in prints]).astype(np.float32) for kind in range(2)]
  blocks = []
  for start in range(0, len(prints), _ROWS):
    linked = True
    for bits in kinds:
      rows = bits[start : start + _ROWS]
      # Bits that differ: those set in one of the two and not in the other.
      distance = rows @ (1.0 - bits).T + (1.0 - rows) @ bits.T
      linked = linked & (distance <= max_bits)
    blocks.append(scipy.sparse.csr_matrix(linked))
  _, groups = scipy.sparse.csgraph.connected_components(
    scipy.sparse.vstack(blocks, format="csr"), directed=False
  )
  return groups.astype(np.int64)
