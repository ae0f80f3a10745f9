"""Adversarial adaptation of the global model at the server (Algorithm 1, 10-11; Eq. 8-10).

The paper writes the loss for labels -1 and +1 and attacks only the images of class +1 (Eq. 9): the
sum runs over clean images of one class and adversarial images of the other. With more than two
classes there is no such side, and Algorithm 1 itself (line 11) minimises over D union D_adv. So
every image enters twice, clean and adversarial, each with its own label y in {0, ..., K-1}; -1 and
+1 are classes 0 and 1, and the logistic loss is the softmax cross-entropy of two logits. Eq. 10's
collective set N is the set of examples made so far, here those of the current epoch; only where
examples are "iterated" is it what the paper's proof needs, see `training.iterated`.

Another way of adapting takes the place of `Adaptation`: anything that is called like it.
"""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from fedsafe_tff import keys, lazy
from fedsafe_tff.attacks.registry import ATTACKS
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel, Weights
from fedsafe_tff.training import iterated
from fedsafe_tff.training.server_examples import make_all, used_images
from fedsafe_tff.training.steps import sgd_step, training_gradient

# Columns of the metrics vector, in this order.
METRICS = ("adaptation_loss", "adaptation_accuracy", "adaptation_images")
EXAMPLES = ("once", "each_epoch", "iterated")


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
    examples: One of `EXAMPLES`: "once", with the aggregated model (Algorithm 1); "each_epoch", anew
      with the current weights before every epoch; "iterated", as the paper's proof has it, see
      `iterated`.
    passes: At most so many passes of `epochs` epochs each where it is iterated.

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
  examples: str = "once"
  passes: int = 8

  def __post_init__(self):
    if self.attack not in ATTACKS:
      raise UserError(
        f"the adaptation's attack {self.attack!r} is unknown: choose {lazy.listed(ATTACKS)}"
      )
    if self.step_size and "step_size" not in ATTACKS[self.attack].fields:
      raise UserError(f"the adaptation's attack {self.attack} has no step_size")
    if self.examples not in EXAMPLES:
      raise UserError(
        f"the adaptation's examples {self.examples!r} are unknown: choose {lazy.listed(EXAMPLES)}"
      )

  @property
  def table_rows(self) -> int:
    """Rows of `PASSES` that it tells of."""
    return self.passes if self.examples == "iterated" else 0

  def __call__(
    self,
    model: FunctionalModel,
    weights: Sequence[tf.Tensor],
    images: tf.Tensor,
    labels: tf.Tensor,
    key: tf.Tensor,
  ) -> tuple[Weights, tf.Tensor] | tuple[Weights, tf.Tensor, tf.Tensor]:
    """The adapted weights and the metrics, see `adapt`; iterated, a row per pass as well."""
    if self.examples == "iterated":
      return iterated.adapt_until_none_is_new(model, weights, images, labels, key, self)
    return adapt(model, weights, images, labels, key, self)

  def begin(self, weights: Sequence[tf.Tensor], image_shape: Sequence[int]) -> iterated.Carried:
    """What `one_pass` is given first; for those that are iterated alone."""
    return iterated.begin(weights, image_shape, self.passes)

  def one_pass(
    self,
    model: FunctionalModel,
    carried: iterated.Carried,
    images: tf.Tensor,
    labels: tf.Tensor,
    key: tf.Tensor,
  ) -> iterated.Carried:
    """A pass of an iterated adaptation; as many as it takes give the bits of a whole call."""
    return iterated.one_pass(model, carried, images, labels, key, self)


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
  clean, labels = used_images(images, labels, key, settings.share)
  used, batch = int(labels.shape[0]), settings.batch_size
  batches = -(-used // batch)

  def craft_all(weights, epoch):
    return make_all(model, weights, clean, labels, settings, keys.fold(key, keys.ATTACK, epoch))

  def body(step, adversarial, shuffled, weights, loss_sum, correct):
    epoch, position = step // batches, step % batches
    if settings.examples == "each_epoch":
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
