"""A clipping norm that follows a quantile of the gradients' norms, privately.

Andrew et al., *Differentially Private Learning with Adaptive Clipping* (arXiv:1905.03871), with the
geometric update, per step of DP-SGD. It is told the number of units whose norm was at most C, less
half the number of units, with noise: a unit more or less moves that by 1/2, and an example more or
less in a microbatch, whose norm may cross C, by 1. `accountant.dp_sgd_releases` composes the two
releases of a step into one.
"""

import dataclasses

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError


@dataclasses.dataclass(frozen=True)
class AdaptiveClip:
  """How C moves.

  Attributes:
    initial: C of the first step.
    quantile: Share of the units that shall stay unclipped.
    learning_rate: Of log C.
    count_stddev: Standard deviation of the noise on the number of unclipped units; 0 for none.

  Raises:
    UserError: A value is out of range.
  """

  initial: float = 1.0
  quantile: float = 0.5
  learning_rate: float = 0.2
  count_stddev: float = 0.0

  def __post_init__(self):
    if not self.initial > 0:
      raise UserError(f"the first clipping norm is {self.initial}, but must be above 0")
    if not 0 <= self.quantile <= 1:
      raise UserError(f"the clipping quantile is {self.quantile}, but must lie in [0, 1]")
    if not (self.learning_rate >= 0 and self.count_stddev >= 0):
      raise UserError("adaptive clipping's learning rate and noise must be at least 0")

  @property
  def noise_multiplier(self) -> float:
    """Noise of the count over what one unit moves it by."""
    return 2.0 * self.count_stddev

  def initialize(self) -> tf.Tensor:
    """C of the first step, float32 []."""
    return tf.constant(self.initial, tf.float32)

  def next(
    self,
    clip_norm: tf.Tensor,
    norms: tf.Tensor,
    key: tf.Tensor,
    expected_units: tf.Tensor | float,
  ) -> tf.Tensor:
    """C of the next step.

    Args:
      clip_norm: C of this step.
      norms: Norms before clipping, float32 [units].
      key: int64 [2], of this step.
      expected_units: What the noised count is divided by: a number that does not depend on who
        was drawn.
    """
    above_half = tf.where(norms <= clip_norm, 0.5, -0.5)  # NaN counts as clipped
    total = tf.reduce_sum(above_half)
    if self.count_stddev:
      noise = tf.random.stateless_normal([], keys.fold(key, keys.CLIP_NOISE), alg=keys.ALG)
      total += self.count_stddev * noise
    unclipped = total / expected_units + 0.5
    return clip_norm * tf.exp(-self.learning_rate * (unclipped - self.quantile))
