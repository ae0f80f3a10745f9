"""What a user's own model is: its source, and the weights that it comes with.

Its name says neither: the function behind it may be another one tomorrow, or in another folder.
"""

import hashlib
import sys

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys, lazy, users_code
from fedsafe_tff.models import registry
from fedsafe_tff.models.functional import FunctionalModel


def fingerprint(name: str, *, input_shape: tuple[int, int, int], num_classes: int) -> str:
  """sha256, as hex, of a user's model; empty for a model of this package.

  It covers the module that defines the function and the modules of the user's that this one
  imports, and the weights that the model comes with, such as pretrained ones: those that two seeds
  agree on. What is drawn follows from the source and the run's seed.

  Args:
    name: As `build_model` takes it.
    input_shape: (height, width, channels).
    num_classes: Number of logits.

  Raises:
    UserError: The name can't be resolved.
  """
  if name in registry.MODELS:
    module = sys.modules[lazy.loaded(registry.MODELS[name]).__module__]
    digest = hashlib.sha256(name.encode())
    return "" if users_code.is_ours(module.__name__) else users_code.with_sources(digest, module)
  module, build = registry.load_function(name)
  function = name.rpartition(":")[2]
  digest = hashlib.sha256(f"{function} {tuple(input_shape)} {num_classes}".encode())
  drawn = [
    _weights(registry.call_function(build, input_shape, num_classes, seed), seed)
    for seed in (0, 1)
  ]
  for index, (first, second) in enumerate(zip(*drawn)):
    same = first.shape == second.shape and first.tobytes() == second.tobytes()
    digest.update(f"/{index} {first.dtype}{first.shape}{same}".encode())
    digest.update(first.tobytes() if same else b"")
  return users_code.with_sources(digest, module)


def _weights(made: object, seed: int) -> list[np.ndarray]:
  """All weights, frozen ones too; none where `build_model` will refuse what was made."""
  if isinstance(made, FunctionalModel):
    drawn = made.init(keys.fold(keys.root(seed), keys.INIT))
    return [np.asarray(w) for w in (*drawn, *(value for _, value in made.frozen))]
  if isinstance(made, tf.keras.Model):
    return [np.asarray(w) for w in made.get_weights()]
  return []
