"""Adversarial adaptation of the global model at the server (Algorithm 1, 10-11; Eq. 8-10).

The paper writes the loss for labels -1 and +1 and attacks only the images of class +1 (Eq. 9): the
sum runs over clean images of one class and adversarial images of the other. With more than two
classes there is no such side, and Algorithm 1 itself (line 11) minimises over D union D_adv. So
every image enters twice, clean and adversarial, each with its own label y in {0, ..., K-1}; -1 and
+1 are classes 0 and 1, and the logistic loss is the softmax cross-entropy of two logits. Eq. 10's
collective set N is the set of examples made so far, here those of the current epoch.

Another way of adapting takes the place of `Adaptation`: anything that is called like it.
"""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from fedsafe_tff import keys, lazy
from fedsafe_tff.attacks.registry import ATTACKS
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel, Weights
from fedsafe_tff.training.steps import sgd_step, training_gradient

# Columns of the metrics vector, in this order.
METRICS = ("adaptation_loss", "adaptation_accuracy", "adaptation_images")


@dataclasses.dataclass(frozen=True)
class Adaptation:
  """Fixed settings of the adaptation.

  Attributes:
    attack: A name of `attacks.registry.ATTACKS`, such as "fgsm" (Eq. 6) or "pgd" (Eq. 7).
    eps: Perturbation size, in pixels of [0, 1].
    steps: Steps of an attack that iterates.
    step_size: Its step alpha, in pixels of [0, 1]; 0 means eps / steps.
    random_start: Whether it starts at a random point of the ball.
    epochs: Epochs of fine-tuning.
    learning_rate: Of its SGD.
    batch_size: Clean images in a batch; as many adversarial ones join them.
    gradient_clip: L2 norm to which the gradient of every step is scaled down; 0 leaves it.
    share: Share of the server's images that is used, in (0, 1].
    each_epoch: Make the examples anew with the current weights before every epoch; otherwise
      once, with the aggregated model (Algorithm 1).

  Raises:
    UserError: The attack is unknown, or has no step size where one is given.
  """

  attack: str = "pgd"
  eps: float = 0.03
  steps: int = 6
  step_size: float = 0.0
  random_start: bool = True
  epochs: int = 5
  learning_rate: float = 0.01
  batch_size: int = 32
  gradient_clip: float = 0.0
  share: float = 1.0
  each_epoch: bool = False

  def __post_init__(self):
    if self.attack not in ATTACKS:
      raise UserError(
        f"the adaptation's attack {self.attack!r} is unknown: choose {lazy.listed(ATTACKS)}"
      )
    if self.step_size and "step_size" not in ATTACKS[self.attack].fields:
      raise UserError(f"the adaptation's attack {self.attack} has no step_size")

  def __call__(
    self,
    model: FunctionalModel,
    weights: Sequence[tf.Tensor],
    images: tf.Tensor,
    labels: tf.Tensor,
    key: tf.Tensor,
  ) -> tuple[Weights, tf.Tensor]:
    """The adapted weights and the metrics; see `adapt`."""
    return adapt(model, weights, images, labels, key, self)


def share_size(count: int, share: float) -> int:
  """How many of `count` images a share is: rounded, at least one."""
  return max(1, round(count * share))


def make_examples(
  model: FunctionalModel,
  weights: Sequence[tf.Tensor],
  images: tf.Tensor,
  labels: tf.Tensor,
  settings: Adaptation,
  key: tf.Tensor,
) -> tf.Tensor:
  """Adversarial examples of `images` (float32 in [0, 1]) for the model with these weights."""

  def logits_fn(inputs):
    return model.apply(weights, inputs)

  offered = {
    "steps": settings.steps,
    "step_size": settings.step_size or settings.eps / settings.steps,
    "random_start": settings.random_start,
    "key": key,
  }
  attack = ATTACKS[settings.attack].function
  taken = lazy.taken(attack, offered)
  made = attack(logits_fn, images, labels, eps=settings.eps, **taken)
  return made[0] if isinstance(made, tuple) else made  # less the queries


def adapt(
  model: FunctionalModel,
  weights: Sequence[tf.Tensor],
  images: tf.Tensor,
  labels: tf.Tensor,
  key: tf.Tensor,
  settings: Adaptation,
) -> tuple[Weights, tf.Tensor]:
  """Fine-tunes the global model on D union D_adv.

  Args:
    model: The model.
    weights: The aggregated weights.
    images: The server's images, uint8 [n, height, width, channels], or float32 in [0, 1]; n must
      be known.
    labels: int32 [n].
    key: Decides order, dropout and random starts.
    settings: Fixed settings.

  Returns:
    The adapted weights, and loss and accuracy over the last epoch's batches with the number of
    images used, float32 [len(METRICS)].
  """
  used = share_size(int(labels.shape[0]), settings.share)
  # The share is the head of one fixed order, so that a larger share contains a smaller one.
  order = tf.random.experimental.stateless_shuffle(
    tf.range(labels.shape[0]), keys.fold(key, keys.SHUFFLE), alg=keys.ALG
  )[:used]
  clean = tf.gather(images, order)
  if clean.dtype == tf.uint8:
    clean = tf.cast(clean, tf.float32) / 255.0
  labels = tf.gather(labels, order)
  batch = settings.batch_size
  batches = -(-used // batch)

  def craft_all(weights, epoch):
    """Crafts batch by batch into one tensor, to bound the memory of the gradients."""

    def craft(index, made):
      start = index * batch
      examples = make_examples(
        model,
        weights,
        clean[start : start + batch],
        labels[start : start + batch],
        settings,
        keys.fold(key, keys.ATTACK, epoch, index),
      )
      return index + 1, made.write(index, examples)

    made = tf.TensorArray(
      tf.float32, batches, element_shape=[None, *clean.shape[1:]], infer_shape=False
    )
    _, made = tf.while_loop(
      lambda i, _: i < batches, craft, (tf.constant(0), made), parallel_iterations=1
    )
    return tf.ensure_shape(made.concat(), clean.shape)

  def body(step, adversarial, shuffled, weights, loss_sum, correct):
    epoch, position = step // batches, step % batches
    if settings.each_epoch:
      adversarial = tf.cond(
        tf.equal(position, 0) & (epoch > 0),
        lambda: craft_all(weights, epoch),
        lambda: adversarial,
      )
    shuffled = tf.cond(
      tf.equal(position, 0),
      lambda: tf.random.experimental.stateless_shuffle(
        tf.range(used), keys.fold(key, keys.ADAPTATION, epoch), alg=keys.ALG
      ),
      lambda: shuffled,
    )
    rows = shuffled[position * batch : (position + 1) * batch]
    x = tf.concat([tf.gather(clean, rows), tf.gather(adversarial, rows)], 0)
    y = tf.tile(tf.gather(labels, rows), [2])
    logits, losses, gradients = training_gradient(
      model, weights, x, y, keys.fold(key, keys.DROPOUT, step)
    )
    weights = sgd_step(
      weights,
      gradients,
      learning_rate=settings.learning_rate,
      gradient_clip=settings.gradient_clip,
    )
    last = tf.cast(tf.equal(epoch, settings.epochs - 1), tf.float32)
    loss_sum += last * tf.reduce_sum(losses)
    hits = tf.cast(tf.equal(tf.argmax(logits, 1, tf.int32), y), tf.float32)
    correct += last * tf.reduce_sum(hits)
    return step + 1, adversarial, shuffled, weights, loss_sum, correct

  weights = tuple(tf.convert_to_tensor(w) for w in weights)
  start = (
    tf.constant(0),
    craft_all(weights, 0),
    tf.range(used),
    weights,
    tf.constant(0.0),
    tf.constant(0.0),
  )
  _, _, _, weights, loss_sum, correct = tf.while_loop(
    lambda step, *_: step < settings.epochs * batches, body, start, parallel_iterations=1
  )
  return tuple(weights), tf.stack([loss_sum / (2 * used), correct / (2 * used), float(used)])
