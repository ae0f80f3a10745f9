"""Copies that are adapted after they were noised, each on its own.

Independent noise alone hides a copy only from who does not know of it: an attacker draws noise of
his own around his copy. Where the noise is so large that it hurts, and the server then heals each
copy on its own images, an attacker would have to heal his draws as well, with other images, and
finds other copies. docs/defences.md says what has been measured of it and what has not.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel, Weights
from fedsafe_tff.training.copies import Noise
from fedsafe_tff.training.server_data import server_data


@dataclasses.dataclass(frozen=True, eq=False)
class Healed:
  """A copy gets N(0, sigma^2), then its own adaptation (Eq. 8-10) at the server.

  It costs clients times adaptation. A key decides the noise, the order of the images, dropout and
  the starts of the attack.

  Attributes:
    model: The model.
    adaptation: How a copy is adapted: what is called as `adaptation.Adaptation` is.
    data: The images and labels that it is adapted on, in any form that `server_data` takes.
    sigma: Standard deviation of the noise per weight.

  Raises:
    UserError: Sigma is below 0, or the data don't fit the model.
  """

  model: FunctionalModel
  adaptation: Callable[..., Any]
  data: Any
  sigma: float = 0.03

  def __post_init__(self):
    if not self.sigma >= 0:
      raise UserError(f"the sigma of copies is {self.sigma}, but must be at least 0")
    object.__setattr__(self, "_read", server_data(self.data, self.model))

  def __call__(self, weights: Sequence[tf.Tensor], key: tf.Tensor) -> Weights:
    """See `copies.Copies`."""
    noised = Noise(self.sigma)(weights, key)
    images, labels = self._read()
    own = keys.fold(key, keys.ADAPTATION)
    return self.adaptation(self.model, noised, images, labels, own)[0]

  def with_data(self, data: Any) -> "Healed":
    """The same way of making copies with other images: what an attacker can do who knows it."""
    return dataclasses.replace(self, data=data)
