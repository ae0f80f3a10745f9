"""Generators keyed by (seed, purpose), for everything random outside TensorFlow."""

import hashlib

import numpy as np


def generator(seed: int, purpose: str) -> np.random.Generator:
  """A Philox generator whose stream depends on `seed` and on `purpose` alone."""
  key = hashlib.sha256(f"{purpose}/{seed}".encode()).digest()[:16]
  return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
