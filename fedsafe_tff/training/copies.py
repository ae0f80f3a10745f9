"""How the copies that clients receive are made different from one another (Algorithm 1, 12-15).

The copy of client k in round t is made with a key derived from (noise key, round t, client k), so
that no two clients and no two rounds share any randomness, and a client's identifier must be
unique in a round.

When clients upload *weights* (the paper, Eq. 4), the noise that they started from stays in the
average; when they upload *updates* against the noised copy, the server adds those to its own
clean weights, and only the noise's effect on the training remains.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import Weights
from fedsafe_tff.training.steps import gaussian_noise


class Copies(Protocol):
  """A way of making a client's copy of the global model."""

  def __call__(self, weights: Sequence[tf.Tensor], key: tf.Tensor) -> Weights:
    """The copy that belongs to `key`, which differs by client and round."""


@dataclasses.dataclass(frozen=True)
class Noise:
  """Independent Gaussian noise: g^(k) = g + N(0, sigma^2).

  Attributes:
    sigma: Standard deviation per weight.

  Raises:
    UserError: It is below 0.
  """

  sigma: float

  def __post_init__(self):
    if not self.sigma >= 0:
      raise UserError(f"the sigma of copies is {self.sigma}, but must be at least 0")

  def __call__(self, weights: Sequence[tf.Tensor], key: tf.Tensor) -> Weights:
    """See `Copies`."""
    if not self.sigma:
      return tuple(weights)
    return tuple(w + n for w, n in zip(weights, gaussian_noise(weights, self.sigma, key)))


def round_key(noise_key: tf.Tensor, round_number: tf.Tensor | int) -> tf.Tensor:
  """The key of all copies of a round; with a client's identifier folded in, of that client's."""
  return keys.fold(noise_key, keys.DOWNLINK_NOISE, round_number)


def noisy_copy(
  weights: Sequence[tf.Tensor],
  sigma: float,
  noise_key: tf.Tensor,
  round_number: tf.Tensor | int,
  client: tf.Tensor | int,
) -> Weights:
  """The noised copy of `weights` for one client in one round.

  Args:
    weights: The global model.
    sigma: Standard deviation per weight; 0 returns the weights unchanged.
    noise_key: A key known to the server alone.
    round_number: The round.
    client: The client's identifier.
  """
  return Noise(sigma)(weights, keys.fold(round_key(noise_key, round_number), client))
