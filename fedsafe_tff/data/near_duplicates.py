"""Near-duplicate images, by two perceptual hashes of 256 bits each.

Two images are linked when both their dHash and their pHash differ in at most 10 bits; linked images
form a group. The hashes are the `imagehash` library's, on the source image before resizing.
"""

from collections.abc import Sequence

import imagehash
import numpy as np
import PIL.Image
import scipy.sparse
import scipy.sparse.csgraph

HASH_SIZE = 16
MAX_BITS = 10
_ROWS = 1024  # compared with all others at a time, so that memory grows with n and not n^2
HashPair = tuple[np.ndarray, np.ndarray]


def hash_image(image: PIL.Image.Image) -> HashPair:
  """DHash and pHash, each as bool [256]."""
  return (
    imagehash.dhash(image, hash_size=HASH_SIZE).hash.ravel(),
    imagehash.phash(image, hash_size=HASH_SIZE).hash.ravel(),
  )


def near_groups(hashes: Sequence[HashPair], max_bits: int = MAX_BITS) -> np.ndarray:
  """Connected components of the images linked by both hashes, int64 [n]."""
  kinds = [np.stack([pair[kind] for pair in hashes]).astype(np.float32) for kind in range(2)]
  blocks = []
  for start in range(0, len(hashes), _ROWS):
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
