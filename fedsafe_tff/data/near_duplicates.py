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
HashPair = tuple[np.ndarray, np.ndarray]


def hash_image(image: PIL.Image.Image) -> HashPair:
  """DHash and pHash, each as bool [256]."""
  return (
    imagehash.dhash(image, hash_size=HASH_SIZE).hash.ravel(),
    imagehash.phash(image, hash_size=HASH_SIZE).hash.ravel(),
  )


def near_groups(hashes: Sequence[HashPair], max_bits: int = MAX_BITS) -> np.ndarray:
  """Connected components of the images linked by both hashes, int64 [n]."""
  linked = None
  for kind in range(2):
    bits = np.stack([pair[kind] for pair in hashes]).astype(np.float32)
    # Bits that differ: those set in one of the two and not in the other.
    distance = bits @ (1.0 - bits).T
    distance += distance.T
    near = distance <= max_bits
    linked = near if linked is None else linked & near
  _, groups = scipy.sparse.csgraph.connected_components(
    scipy.sparse.csr_matrix(linked), directed=False
  )
  return groups.astype(np.int64)
