"""Notices a model that gives probabilities where logits are needed."""

import weakref

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel

_IMAGES = 4
_checked: weakref.WeakSet[FunctionalModel] = weakref.WeakSet()


def check_logits(model: FunctionalModel) -> None:
  """Applies a model to random images, once, and looks at what comes out.

  Cross-entropy takes logits. A softmax at the end would be taken twice: training hardly moves, and
  attacks meet a gradient that is nearly zero where the model is sure.

  Raises:
    UserError: All outputs lie in [0, 1] and add up to 1.
  """
  if model in _checked:
    return

  @tf.function(autograph=False)
  def outputs(images):
    return model.apply(model.init(keys.root(0)), images)

  images = tf.random.stateless_uniform([_IMAGES, *model.input_shape], keys.root(1), alg=keys.ALG)
  found = outputs(images).numpy().astype(np.float64)
  sums = found.sum(axis=1)
  if (found >= 0).all() and (found <= 1).all() and np.allclose(sums, 1.0, atol=1e-2):
    raise UserError(
      f"the model {model.name} ends in probabilities (its outputs lie in [0, 1] and add up to 1), "
      "but logits are needed: leave out the last softmax, activation=None"
    )
  _checked.add(model)
