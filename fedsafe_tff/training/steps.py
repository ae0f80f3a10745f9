"""What every training has in common: a gradient, a clipped norm, Gaussian noise, a step."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.apart import call_apart
from fedsafe_tff.models.functional import FunctionalModel, Weights


def sgd_step(
  weights: Sequence[tf.Tensor],
  gradients: Sequence[tf.Tensor],
  *,
  learning_rate: tf.Tensor | float,
  gradient_clip: float = 0.0,
) -> Weights:
  """One step of plain SGD.

  Args:
    weights: Where it starts.
    gradients: One per weight.
    learning_rate: The step's size.
    gradient_clip: L2 norm to which the gradient is scaled down; 0 leaves it.
  """
  gradients, _ = clip_by_norm(gradients, gradient_clip)
  return tuple(w - learning_rate * g for w, g in zip(weights, gradients))


def training_gradient(
  model: FunctionalModel,
  weights: Sequence[tf.Tensor],
  images: tf.Tensor,
  labels: tf.Tensor,
  seed: tf.Tensor,
  *,
  losses: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
) -> tuple[tf.Tensor, tf.Tensor, Weights]:
  """Logits and losses of a training batch, and the gradient of the mean loss by the weights.

  Args:
    model: The model.
    weights: Where the gradient is taken.
    images: float32 [n, height, width, channels] in [0, 1].
    labels: int32 [n].
    seed: A key, of the dropout.
    losses: (logits, labels) to losses of which the mean is taken; None for the model's own.

  Returns:
    Logits, float32 [n, classes]; losses, float32 [n]; one gradient per weight.
  """

  def forward_and_back(weights, images, labels, seed):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(weights)
      logits = model.apply(weights, images, seed=seed, training=True)
      values = (losses or model.losses)(logits, labels)
      loss = tf.reduce_mean(values)
    if values.shape.rank == 0:
      values = tf.fill(tf.shape(labels), values)
    return logits, values, tuple(tape.gradient(loss, weights))

  return call_apart(forward_and_back, tuple(weights), images, labels, seed)


def clip_by_norm(tensors: Sequence[tf.Tensor], clip_norm: float) -> tuple[Weights, tf.Tensor]:
  """Scales `tensors` jointly to at most L2 norm C (Eq. 2, 3); returns them and the norm before."""
  norm = tf.linalg.global_norm(tensors)
  if not clip_norm:
    return tuple(tensors), norm
  scale = tf.minimum(1.0, clip_norm / tf.maximum(norm, 1e-12))
  return tuple(t * scale for t in tensors), norm


def decayed(
  weights: Sequence[tf.Tensor], gradients: Sequence[tf.Tensor], weight_decay: float
) -> Weights:
  """Gradients with that of `weight_decay` / 2 times the squared norm of all matrices and kernels.

  Tensors of one dimension are left out, as biases and the scales and offsets of a normalization
  are. Kernels before a normalization keep a length of their own then, at which steps of a given
  rate turn them further: decay acts as a rate that does not die down (van Laarhoven, 1706.05350).
  """
  if not weight_decay:
    return tuple(gradients)
  return tuple(
    g + weight_decay * w if len(w.shape) > 1 else g
    for w, g in zip(weights, gradients, strict=True)
  )


def gaussian_noise(tensors: Sequence[tf.Tensor], sigma: float, key: tf.Tensor) -> Weights:
  """Independent N(0, sigma^2) for every coordinate of `tensors`, keyed per tensor."""
  return tuple(
    tf.random.stateless_normal(t.shape, keys.fold(key, index), stddev=sigma, alg=keys.ALG)
    for index, t in enumerate(tensors)
  )
