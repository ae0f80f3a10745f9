"""What an attacker holds: models to attack through, and whom that is for."""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff.attacks.ensemble import Redraw
from fedsafe_tff.models.functional import FunctionalModel

Weights = Sequence[tf.Tensor | np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Holding:
  """Models that one attack goes through, as one.

  Attributes:
    models: Their weights; the loss that is climbed is the mean of their losses.
    redraw: Makes new models from them at every step of an attack, by a key; None for none.
    draws: New ones per model and step.
    victims: The clients to whom the images are shown; None for all.
    stream: The client whose random starts these are, so that one image shown to all is drawn once.
    access: What the attacker sees of the models, one of `attacks.registry.ACCESS`.
    model: Their architecture, where it is not the victims'.
  """

  models: tuple[Weights, ...]
  redraw: Redraw | None = None
  draws: int = 1
  victims: tuple[int, ...] | None = None
  stream: int = 0
  access: str = "gradients"
  model: FunctionalModel | None = None

  def identity(self) -> tuple:
    """Equal for holdings that differ in their stream and victims at most; hashable."""
    weights = tuple(digest(model) for model in self.models)
    return weights, self.redraw, self.draws, self.access, id(self.model)


def digest(weights: Weights) -> bytes:
  """Equal for weights that are equal bit for bit, and only for them."""
  sha = hashlib.sha256()
  for weight in weights:
    array = np.asarray(weight)
    sha.update(f"{array.dtype}{array.shape}".encode())
    sha.update(array.tobytes())
  return sha.digest()


def mean(models: Sequence[Weights]) -> Weights:
  """The mean of models, weight by weight; the first itself where all are equal."""
  if len({digest(model) for model in models}) == 1:
    return models[0]
  return tuple(tf.add_n(list(tensors)) / len(models) for tensors in zip(*models))
