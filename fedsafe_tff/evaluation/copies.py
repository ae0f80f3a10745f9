"""Which of the clients' copies are one and the same model: those need work only once."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff.attackers.holding import digest


def first_equal(copies: Sequence[Sequence[tf.Tensor | np.ndarray]]) -> list[int]:
  """For each copy, the index of the first one whose weights are equal to its own, bit for bit."""
  first: dict[bytes, int] = {}
  return [first.setdefault(digest(copy), index) for index, copy in enumerate(copies)]
