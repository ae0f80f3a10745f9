"""The paper's defence, with an adaptation that draws the copies' noise in its own steps."""

import dataclasses

from fedsafe_tff import keys
from fedsafe_tff.training import Adaptation, Defense, Noise
from fedsafe_tff.training.steps import gaussian_noise


@dataclasses.dataclass(frozen=True)
class NoisyAdaptation(Adaptation):
  """Every gradient is taken at weights with noise of this size, drawn anew in each step.

  The size is that of the paper's copies, 0.01, whatever --downlink_sigma is.
  """

  drawn_sigma: float = 0.01

  def __call__(self, model, weights, images, labels, key):
    def noised(weights, x, seed, training):
      if training:
        noise = gaussian_noise(weights, self.drawn_sigma, keys.fold(seed, keys.MODEL_DRAW))
        weights = tuple(w + n for w, n in zip(weights, noise))
      return model.apply_fn(weights, x, seed, training)

    flat = dataclasses.replace(model, apply_fn=noised)
    return super().__call__(flat, weights, images, labels, key)


def at_sigma():
  return Defense(
    adaptation=NoisyAdaptation, copies=Noise, help="adaptation under the copies' noise"
  )
