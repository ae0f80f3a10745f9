"""TFF types and small computations that several stages share."""

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.models.functional import FunctionalModel

KEY = tff.TensorType(keys.SPEC.dtype.as_numpy_dtype, keys.SPEC.shape)
ROUND = tff.TensorType(np.int32)
CLIENT = tff.TensorType(np.int32)
WEIGHT = tff.TensorType(np.float32)


def weights_type(model: FunctionalModel) -> tff.Type:
  """Type of a model's weights: `tff.learning.models.ModelWeights`, all of them trainable."""
  specs = tff.learning.models.ModelWeights(tuple(model.weight_specs()), ())
  return tff.types.tensorflow_to_type(specs)


def batch_type(model: FunctionalModel) -> tff.Type:
  """Type of a batch of a client's data set."""
  return tff.types.tensorflow_to_type(model.batch_spec())


def initial_weights(model: FunctionalModel, seed: int) -> tff.Computation:
  """-> `tff.learning.models.ModelWeights`, drawn from `seed`."""

  @tff.tensorflow.computation
  def initial():
    weights = model.init(keys.fold(keys.root(seed), keys.INIT))
    return tff.learning.models.ModelWeights(tuple(weights), ())

  return initial


def noise_key(noise_seed: int | None, seed: int, *, noisy: bool) -> tf.Tensor:
  """The key of all noise on uploads and copies, known to the server alone.

  Args:
    noise_seed: Its seed; None draws one from the system's entropy.
    seed: That of the run.
    noisy: Whether there is any noise: without, nothing has to be drawn.
  """
  if noise_seed is None:
    noise_seed = keys.drawn_seed() if noisy else 0
  return keys.noise_root(noise_seed, seed)


def stream(seed: int, purpose: int) -> tf.Tensor:
  """A seed's key for one side: `keys.CLIENT_STREAM`, or `SERVER_STREAM`, which no client sees."""
  return keys.fold(keys.root(seed), purpose)
