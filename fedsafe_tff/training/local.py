"""What a client does in a round: local training, clipping to C, uplink noise (Eq. 1-3, 5)."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from fedsafe_tff.models.functional import FunctionalModel, Weights
from fedsafe_tff.training.feeds import BatchFeed, ImageFeed
from fedsafe_tff.training.gradients import LocalGradient, Plain, follow, memory_of
from fedsafe_tff.training.steps import clip_by_norm, decayed
from fedsafe_tff.training.upload import Upload

# Columns of the metrics vector that a client reports, in this order.
METRICS = (
  "num_examples",
  "loss",
  "accuracy",
  "norm",
  "clipped",
  "noise_to_signal",
)


class Optimizer(Protocol):
  """What local training asks of an optimizer: what `tff.learning.optimizers` make."""

  def initialize(self, specs: Any) -> Any:
    """The state before the first step."""

  def next(self, state: Any, weights: Any, gradients: Any) -> tuple[Any, Any]:
    """The state and the weights after a step."""

  def set_hparams(self, state: Any, hparams: Any) -> Any:
    """The state with other hyperparameters, such as the learning rate."""


class Trained(NamedTuple):
  """What comes of local training.

  Attributes:
    weights: The trained weights.
    count: Number of examples, float32.
    loss: Mean loss over the batches that count.
    accuracy: Mean accuracy over them.
  """

  weights: Weights
  count: tf.Tensor
  loss: tf.Tensor
  accuracy: tf.Tensor


def train(
  model: FunctionalModel,
  weights: Sequence[tf.Tensor],
  feed: ImageFeed | BatchFeed,
  key: tf.Tensor,
  optimizer: Optimizer,
  *,
  hparams: Any = None,
  gradient: LocalGradient = Plain(),
  gradient_clip: float = 0.0,
  weight_decay: float = 0.0,
  attack_eps: tf.Tensor | float = 0.0,
) -> Trained:
  """Local training (Eq. 1); on adversarial images where `gradient` makes them (Eq. 5).

  Args:
    model: The model to train.
    weights: Where to start.
    feed: The client's batches.
    key: The client's key of the round; decides dropout and random starts.
    optimizer: Takes the steps; its state begins anew in every round.
    hparams: Its hyperparameters; None leaves them as it was built.
    gradient: What the steps follow.
    gradient_clip: L2 norm to which the gradient of every step is scaled down; 0 leaves it.
    weight_decay: Share of a kernel that is added to its gradient after that, see `steps.decayed`.
    attack_eps: Perturbation in pixels of [0, 1].
  """
  weights = tuple(tf.convert_to_tensor(w) for w in weights)
  state = optimizer.initialize(tuple(tf.TensorSpec(w.shape, w.dtype) for w in weights))
  if hparams is not None:
    state = optimizer.set_hparams(state, hparams)
  state = tf.nest.map_structure(tf.convert_to_tensor, state)

  def step(number, x, y, counts, carry):
    weights, state, memory, seen, counted, loss_sum, correct = carry
    (logits, losses, gradients), memory = follow(
      gradient, model, weights, x, y, memory, key=key, step=number, attack_eps=attack_eps
    )
    gradients, _ = clip_by_norm(gradients, gradient_clip)
    gradients = decayed(weights, gradients, weight_decay)
    state, weights = optimizer.next(state, weights, gradients)
    hits = tf.cast(tf.equal(tf.argmax(logits, 1, tf.int32), y), tf.float32)
    loss_sum += counts * tf.reduce_sum(losses)
    correct += counts * tf.reduce_sum(hits)
    number = tf.shape(y)[0]
    counted += counts * tf.cast(number, tf.float32)
    return tuple(weights), state, memory, seen + number, counted, loss_sum, correct

  zero = tf.constant(0.0)
  carry = (weights, state, memory_of(gradient), tf.constant(0), zero, zero, zero)
  weights, _, _, seen, counted, loss_sum, correct = feed.fold(step, carry)
  count = tf.cast(seen if feed.count is None else feed.count, tf.float32)
  # Poisson batches hold more or fewer images than there are.
  counted = tf.maximum(counted, 1.0)
  return Trained(tuple(weights), count, loss_sum / counted, correct / counted)


def local_update(
  model: FunctionalModel,
  received: Sequence[tf.Tensor],
  feed: ImageFeed | BatchFeed,
  key: tf.Tensor,
  optimizer: Optimizer,
  upload: Upload,
  *,
  noise_key: tf.Tensor | None = None,
  **settings: Any,
) -> tuple[Weights, tf.Tensor]:
  """A client's round: train, clip, add noise.

  Args:
    model: The model to train.
    received: The copy of the global model that came down.
    feed: The client's batches.
    key: This client's key in this round.
    optimizer: Takes the local steps.
    upload: Clipping and uplink noise.
    noise_key: This client's key in this round of the noise; needed where there is any.
    **settings: More of `train`.

  Returns:
    The upload, shaped as the weights, and the metrics, float32 [len(METRICS)].
  """
  trained = train(model, received, feed, key, optimizer, **settings)
  made = upload(trained.weights, received, noise_key)
  metrics = [trained.count, trained.loss, trained.accuracy]
  return made.tensors, tf.stack([*metrics, made.norm, made.clipped, made.noise_to_signal])
