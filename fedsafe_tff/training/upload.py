"""What a client sends up: its weights or its update, clipped to C, with noise (Eq. 2, 3)."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import Weights
from fedsafe_tff.training.steps import clip_by_norm, gaussian_noise

KINDS = ("weights", "update")


class Uploaded(NamedTuple):
  """An upload and what clients tell about it.

  Attributes:
    tensors: Shaped as the weights.
    norm: L2 norm before clipping.
    clipped: 1.0 where it was above C.
    noise_to_signal: Norm of the noise over the norm of what it covers.
  """

  tensors: Weights
  norm: tf.Tensor
  clipped: tf.Tensor
  noise_to_signal: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Upload:
  """Clipping and noise of an upload.

  Attributes:
    kind: "weights" (the paper's Eq. 4 averages them), or "update": the copy received less the
      trained weights, which has the sign of a gradient, as TFF's server optimizers want it.
    clip_norm: Norm C to which the upload is clipped; 0 does not clip.
    sigma: Standard deviation of the noise on every uploaded coordinate.

  Raises:
    UserError: An unknown kind, or a number below 0.
  """

  kind: str = "update"
  clip_norm: float = 0.0
  sigma: float = 0.0

  def __post_init__(self):
    if self.kind not in KINDS:
      raise UserError(f"an upload of kind {self.kind!r} is unknown: choose {' or '.join(KINDS)}")
    for name in ("clip_norm", "sigma"):
      if not getattr(self, name) >= 0:
        raise UserError(f"the upload's {name} is {getattr(self, name)}, but must be at least 0")

  def __call__(
    self, trained: Sequence[tf.Tensor], received: Sequence[tf.Tensor], key: tf.Tensor | None
  ) -> Uploaded:
    """Makes the upload.

    Args:
      trained: The weights after local training.
      received: The copy of the global model that came down.
      key: Of the noise, this client's in this round; needed where there is any. Whoever knows it
        can subtract the noise.
    """
    if self.sigma and key is None:
      raise ValueError("noise on uploads needs a key")
    if self.kind == "update":
      trained = tuple(old - new for new, old in zip(trained, received))
    upload, norm = clip_by_norm(trained, self.clip_norm)
    clipped = tf.cast(norm > self.clip_norm, tf.float32) if self.clip_norm else tf.constant(0.0)
    ratio = tf.constant(0.0)
    if self.sigma:
      noise = gaussian_noise(upload, self.sigma, key)
      signal = tf.maximum(tf.linalg.global_norm(upload), 1e-12)
      ratio = tf.linalg.global_norm(noise) / signal
      if self.kind == "weights":
        upload = tuple(u + n for u, n in zip(upload, noise))
      else:  # it is the trained weights that are noised, which have the minus here
        upload = tuple(u - n for u, n in zip(upload, noise))
    return Uploaded(upload, norm, clipped, ratio)
