"""Near-duplicates among very many images: the hashes' links of `near_duplicates`, sooner.

The same links as there: both hashes differ in at most `max_bits` bits. Every pair is compared once,
by one product of matrices of the first hash; only the few pairs that it links are looked up in the
second.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from fedsafe_tff.data.near_duplicates import MAX_BITS, near_groups

MANY = 20_000  # images; more are compared by their hashes alone
_ROWS, _COLUMNS = 2048, 8192


def groups_of(fingerprints: Sequence) -> np.ndarray:
  """Groups of near-duplicates, int64 [n], of what `hash_image` gave of each image."""
  if len(fingerprints) <= MANY:
    return near_groups(fingerprints)
  return linked_groups(np.stack([np.stack(parts[:2]) for parts in fingerprints]))


def linked_groups(hashes: np.ndarray, max_bits: int = MAX_BITS) -> np.ndarray:
  """Connected components of the images linked by both hashes, int64 [n].

  Args:
    hashes: bool [n, 2, b].
    max_bits: Most bits that differ.
  """
  count = len(hashes)
  # Bits that differ are |a| + |b| - 2 a.b; with signs, b - 2 (bits that differ) is one product.
  signs = hashes[:, 0].astype(np.float32) * 2.0 - 1.0
  least = signs.shape[1] - 2 * max_bits
  left, right = [], []
  for start in range(0, count, _ROWS):
    rows = signs[start : start + _ROWS]
    for other in range(start, count, _COLUMNS):
      near = rows @ signs[other : other + _COLUMNS].T >= least
      i, j = np.nonzero(near)
      i, j = i + start, j + other
      i, j = i[i < j], j[i < j]
      second = (hashes[i, 1] != hashes[j, 1]).sum(1) <= max_bits
      left.append(i[second])
      right.append(j[second])
  i, j = np.concatenate(left), np.concatenate(right)
  links = scipy.sparse.coo_matrix((np.ones(len(i), bool), (i, j)), (count, count))
  _, groups = scipy.sparse.csgraph.connected_components(links.tocsr(), directed=False)
  return groups.astype(np.int64)
