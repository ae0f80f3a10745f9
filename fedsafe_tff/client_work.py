"""What a client does in a round: local SGD, clipping to C, uplink noise (Eq. 1-3).

Pure TensorFlow: functions on tensors that run alone, in a `tf.function` or in a TFF computation.
"""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.apart import call_apart
from fedsafe_tff.attacks.pgd import pgd
from fedsafe_tff.data.augment import augment
from fedsafe_tff.models.functional import FunctionalModel, Weights

# Columns of the metrics vector that a client reports, in this order.
METRICS = (
  "num_examples",
  "loss",
  "accuracy",
  "norm",
  "clipped",
  "noise_to_signal",
)


@dataclasses.dataclass(frozen=True)
class ClientWork:
  """Fixed settings of the local work.

  Attributes:
    epochs: Local epochs E.
    batch_size: Local batch size; the last batch of an epoch may be smaller.
    momentum: Momentum of SGD; its buffer starts at zero in every round.
    gradient_clip: L2 norm to which the gradient of every step is scaled down; 0 leaves it.
    augment: Names of the augmentations, see `data.augment`.
    shuffle: Whether every epoch has its own order.
    upload: "weights" (the paper) or "update", the weights less the copy received.
    clip_norm: Norm C to which the upload is clipped; 0 does not clip.
    uplink_sigma: Standard deviation of the noise on every uploaded coordinate.
    attack_steps: PGD steps of local adversarial training (Eq. 5); 0 trains on clean images.
  """

  epochs: int = 1
  batch_size: int = 32
  momentum: float = 0.0
  gradient_clip: float = 0.0
  augment: tuple[str, ...] = ()
  shuffle: bool = True
  upload: str = "weights"
  clip_norm: float = 0.0
  uplink_sigma: float = 0.0
  attack_steps: int = 0


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
  """Cross-entropy of each image, float32 [n]."""
  return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def sgd_step(
  weights: Sequence[tf.Tensor],
  velocity: Sequence[tf.Tensor],
  gradients: Sequence[tf.Tensor],
  *,
  learning_rate: tf.Tensor | float,
  momentum: float = 0.0,
  gradient_clip: float = 0.0,
) -> tuple[Weights, Weights]:
  """One step of SGD with (heavy-ball) momentum; returns new weights and velocity.

  A `gradient_clip` above 0 is the L2 norm to which the gradient is scaled down.
  """
  gradients, _ = clip_by_norm(gradients, gradient_clip)
  if momentum:
    velocity = tuple(momentum * v + g for v, g in zip(velocity, gradients))
    gradients = velocity
  return tuple(w - learning_rate * g for w, g in zip(weights, gradients)), tuple(velocity)


def training_gradient(
  model: FunctionalModel,
  weights: Sequence[tf.Tensor],
  images: tf.Tensor,
  labels: tf.Tensor,
  seed: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, Weights]:
  """Logits and losses of a training batch, and the gradient of the mean loss by the weights.

  Args:
    model: The model.
    weights: Where the gradient is taken.
    images: float32 [n, height, width, channels] in [0, 1].
    labels: int32 [n].
    seed: int64 [2], of the dropout.
  """

  def forward_and_back(weights, images, labels, seed):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(weights)
      logits = model.apply(weights, images, seed=seed, training=True)
      losses = cross_entropy(logits, labels)
      loss = tf.reduce_mean(losses)
    return logits, losses, tuple(tape.gradient(loss, weights))

  return call_apart(forward_and_back, tuple(weights), images, labels, seed)


def train(
  model: FunctionalModel,
  weights: Sequence[tf.Tensor],
  images: tf.Tensor,
  labels: tf.Tensor,
  key: tf.Tensor,
  work: ClientWork,
  *,
  learning_rate: tf.Tensor | float,
  attack_eps: tf.Tensor | float = 0.0,
) -> tuple[Weights, tf.Tensor, tf.Tensor]:
  """Local SGD on cross-entropy (Eq. 1), on adversarial images if `work.attack_steps` > 0 (Eq. 5).

  Args:
    model: The model to train.
    weights: Where to start.
    images: uint8 [n, height, width, channels].
    labels: int32 [n].
    key: int64 [2]; decides order, augmentation, dropout and random starts.
    work: Fixed settings.
    learning_rate: Of SGD.
    attack_eps: Perturbation in pixels of [0, 1].

  Returns:
    The trained weights, and the mean loss and accuracy over the last epoch's training batches.
  """
  count = tf.shape(labels)[0]
  steps_per_epoch = (count + work.batch_size - 1) // work.batch_size
  total_steps = work.epochs * steps_per_epoch

  def body(step, order, weights, velocity, loss_sum, correct):
    epoch, position = step // steps_per_epoch, step % steps_per_epoch
    if work.shuffle:
      order = tf.cond(
        tf.equal(position, 0),
        lambda: tf.random.experimental.stateless_shuffle(
          tf.range(count), keys.fold(key, keys.SHUFFLE, epoch), alg=keys.ALG
        ),
        lambda: order,
      )
    rows = order[position * work.batch_size : (position + 1) * work.batch_size]
    y = tf.gather(labels, rows)
    x = tf.cast(tf.gather(images, rows), tf.float32) / 255.0
    if work.augment:
      x = augment(x, keys.fold(key, keys.AUGMENT, step), work.augment)
    if work.attack_steps:
      start = weights
      x = pgd(
        lambda inputs: model.apply(start, inputs),
        x,
        y,
        eps=attack_eps,
        # 2.5 eps / steps reaches the border of the ball from anywhere in it (Madry et al.)
        step_size=tf.minimum(2.5 / work.attack_steps, 1.0) * attack_eps,
        steps=work.attack_steps,
        random_start=work.attack_steps > 1,
        key=keys.fold(key, keys.ATTACK, step),
      )
    logits, losses, gradients = training_gradient(
      model, weights, x, y, keys.fold(key, keys.DROPOUT, step)
    )
    weights, velocity = sgd_step(
      weights,
      velocity,
      gradients,
      learning_rate=learning_rate,
      momentum=work.momentum,
      gradient_clip=work.gradient_clip,
    )
    last = tf.cast(tf.equal(epoch, work.epochs - 1), tf.float32)
    hits = tf.cast(tf.equal(tf.argmax(logits, 1, tf.int32), y), tf.float32)
    loss_sum += last * tf.reduce_sum(losses)
    correct += last * tf.reduce_sum(hits)
    return step + 1, order, weights, velocity, loss_sum, correct

  weights = tuple(tf.convert_to_tensor(w) for w in weights)
  velocity = tuple(tf.zeros_like(w) for w in weights) if work.momentum else ()
  start = (tf.constant(0), tf.range(count), weights, velocity, tf.constant(0.0), tf.constant(0.0))
  _, _, weights, _, loss_sum, correct = tf.while_loop(
    lambda step, *_: step < total_steps,
    body,
    start,
    shape_invariants=tf.nest.map_structure(lambda t: t.shape, start[:1])
    + (tf.TensorShape([None]),)
    + tf.nest.map_structure(lambda t: t.shape, start[2:]),
    parallel_iterations=1,
  )
  return tuple(weights), loss_sum / tf.cast(count, tf.float32), correct / tf.cast(count, tf.float32)


def clip_by_norm(tensors: Sequence[tf.Tensor], clip_norm: float) -> tuple[Weights, tf.Tensor]:
  """Scales `tensors` jointly to at most L2 norm C (Eq. 2, 3); returns them and the norm before."""
  norm = tf.linalg.global_norm(tensors)
  if not clip_norm:
    return tuple(tensors), norm
  scale = tf.minimum(1.0, clip_norm / tf.maximum(norm, 1e-12))
  return tuple(t * scale for t in tensors), norm


def gaussian_noise(tensors: Sequence[tf.Tensor], sigma: float, key: tf.Tensor) -> Weights:
  """Independent N(0, sigma^2) for every coordinate of `tensors`, keyed per tensor."""
  return tuple(
    tf.random.stateless_normal(t.shape, keys.fold(key, index), stddev=sigma, alg=keys.ALG)
    for index, t in enumerate(tensors)
  )


def local_update(
  model: FunctionalModel,
  received: Sequence[tf.Tensor],
  images: tf.Tensor,
  labels: tf.Tensor,
  key: tf.Tensor,
  work: ClientWork,
  *,
  learning_rate: tf.Tensor | float,
  attack_eps: tf.Tensor | float = 0.0,
  noise_key: tf.Tensor | None = None,
) -> tuple[Weights, tf.Tensor]:
  """A client's round: train, clip, add noise.

  Args:
    model: The model to train.
    received: The copy of the global model that came down.
    images: uint8 [n, height, width, channels].
    labels: int32 [n].
    key: int64 [2], this client's in this round.
    work: Fixed settings.
    learning_rate: Of local SGD.
    attack_eps: Perturbation of local adversarial training, in pixels of [0, 1].
    noise_key: int64 [2], this client's in this round, of the noise on what it uploads; needed where
      `work.uplink_sigma` is above 0. Whoever knows it can subtract the noise.

  Returns:
    The upload, shaped as the weights, and the metrics, float32 [len(METRICS)].
  """
  if work.uplink_sigma and noise_key is None:
    raise ValueError("noise on uploads needs a key")
  trained, loss, accuracy = train(
    model, received, images, labels, key, work, learning_rate=learning_rate, attack_eps=attack_eps
  )
  if work.upload == "update":
    trained = tuple(new - old for new, old in zip(trained, received))
  upload, norm = clip_by_norm(trained, work.clip_norm)
  ratio = tf.constant(0.0)
  if work.uplink_sigma:
    noise = gaussian_noise(upload, work.uplink_sigma, noise_key)
    signal = tf.maximum(tf.linalg.global_norm(upload), 1e-12)
    ratio = tf.linalg.global_norm(noise) / signal
    upload = tuple(u + n for u, n in zip(upload, noise))
  clipped = tf.cast(norm > work.clip_norm, tf.float32) if work.clip_norm else tf.constant(0.0)
  count = tf.cast(tf.shape(labels)[0], tf.float32)
  return upload, tf.stack([count, loss, accuracy, norm, clipped, ratio])
