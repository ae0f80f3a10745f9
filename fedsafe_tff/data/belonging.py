"""Who belongs together: near-duplicates, pages of a file and images of a patient form one group."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph


def join_groups(groups: np.ndarray, *keys: Sequence[str]) -> np.ndarray:
  """Connected components of images that share a group or a key, int64 [n].

  Args:
    groups: int [n].
    *keys: str [n] each, such as patients; images without a key ("") stand alone in it.

  Returns:
    `groups` itself where no key joins anything.
  """
  count = len(groups)
  rows, columns, nodes = [], [], count
  joins = False
  for key in (np.asarray(groups), *(np.asarray(k, str) for k in keys)):
    known = np.flatnonzero(key != "") if key.dtype.kind == "U" else np.arange(count)
    values, number = np.unique(key[known], return_inverse=True)
    joins |= key.dtype.kind == "U" and len(values) < len(known)
    rows.append(known)
    columns.append(nodes + number)
    nodes += len(values)
  if not joins:
    return np.asarray(groups, np.int64)
  rows, columns = np.concatenate(rows), np.concatenate(columns)
  links = scipy.sparse.csr_matrix((np.ones(len(rows), bool), (rows, columns)), (nodes, nodes))
  _, found = scipy.sparse.csgraph.connected_components(links, directed=False)
  return found[:count].astype(np.int64)
