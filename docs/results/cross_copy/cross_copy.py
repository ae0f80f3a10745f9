"""Healed copies that also learn what fools other copies (DVERGE's idea, Yang et al. 2020)."""

import dataclasses

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.training import Defense, Healed, Noise
from fedsafe_tff.training.server_examples import make_all


@dataclasses.dataclass(frozen=True, eq=False)
class CrossHealed(Healed):
  """A copy's adaptation also sees perturbations that were made on copies which it is not.

  Others' copies are not to be had where one is made: each is made from its own key alone. So the
  server makes others from that key, in the same way, as an attacker who imitates would.

  Attributes:
    others: How many other copies; each makes a perturbation of every image of the server's.
  """

  others: int = 2

  def __call__(self, weights, key):
    images, labels = self._read()
    if images.dtype == tf.uint8:
      images = tf.cast(images, tf.float32) / 255.0
    seen = [images]
    for number in range(self.others):
      its_key = keys.fold(key, keys.MODEL_DRAW, number)
      other = self._healed(weights, its_key, images, labels)
      own_key = keys.fold(its_key, keys.ATTACK)
      seen.append(make_all(self.model, other, images, labels, self.adaptation, own_key))
    return self._healed(weights, key, tf.concat(seen, 0), tf.tile(labels, [len(seen)]))

  def _healed(self, weights, key, images, labels):
    noised = Noise(self.sigma)(weights, key)
    return self.adaptation(self.model, noised, images, labels, keys.fold(key, keys.ADAPTATION))[0]


def cross():
  return Defense(copies=CrossHealed, adapts_copies=True, help="copies healed across")
