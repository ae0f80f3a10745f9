"""Iterated retraining: the adaptation of the paper's proof (Eq. 8-10; Li and Vorobeychik, 2016).

Algorithm 1 shows one pass. The proof that the retraining risk L_N^R bounds the adversarial risk L_A
is about retraining until the attack finds nothing new:

  N = {}
  repeat: train on D and N; for every x that the attack changes into an x' that the current model
  errs on, add x' to N unless it is there; until none was added

Then every successful example is in N, so that L_A, the loss of all images after the attack, is at
most L_N^R, the loss of D and N; both are told per pass, as sums over images divided by the size of
D. Before that end there is no such bound: the table shows how far it is away.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.models.functional import FunctionalModel, Weights, cross_entropy
from fedsafe_tff.training.server_examples import make_all, used_images
from fedsafe_tff.training.steps import sgd_step, training_gradient

# Columns of the table of passes, in this order.
PASSES = ("new_examples", "collected_examples", "retraining_risk", "adversarial_risk")
_HASH_KEY = (7, 11)


class Carried(NamedTuple):
  """What goes from one pass to the next: whoever keeps it can go on after a stop.

  Attributes:
    number: Passes that were made, int32.
    step: Number of the next step of training, int32.
    weights: The weights, one tensor each.
    images: N, uint8 [m, height, width, channels].
    labels: Of N, int32 [m].
    hashes: Of its images, int64 [m].
    table: A row of `PASSES` per pass, float32 [passes, 4]; -1 in those that were not made.
    metrics: Loss and accuracy on D and N over the last epoch, and the images of D, float32 [3].
    added: Examples that the last pass found new, int32; 1 before the first.
  """

  number: tf.Tensor
  step: tf.Tensor
  weights: Weights
  images: tf.Tensor
  labels: tf.Tensor
  hashes: tf.Tensor
  table: tf.Tensor
  metrics: tf.Tensor
  added: tf.Tensor


def begin(weights: Sequence[tf.Tensor], image_shape: Sequence[int], passes: int) -> Carried:
  """What the first pass begins with: N is empty.

  Args:
    weights: The aggregated weights.
    image_shape: Height, width, channels.
    passes: At most so many passes are made.
  """
  return Carried(
    number=tf.constant(0),
    step=tf.constant(0),
    weights=tuple(tf.convert_to_tensor(w) for w in weights),
    images=tf.zeros([0, *image_shape], tf.uint8),
    labels=tf.zeros([0], tf.int32),
    hashes=tf.zeros([0], tf.int64),
    table=tf.fill([passes, len(PASSES)], -1.0),
    metrics=tf.zeros([3]),
    added=tf.constant(1),
  )


def specs(weights: Sequence[tf.TensorSpec], image_shape: Sequence[int], passes: int) -> Carried:
  """Shapes and types of what is carried."""
  return Carried(
    number=tf.TensorSpec([], tf.int32),
    step=tf.TensorSpec([], tf.int32),
    weights=tuple(weights),
    images=tf.TensorSpec([None, *image_shape], tf.uint8),
    labels=tf.TensorSpec([None], tf.int32),
    hashes=tf.TensorSpec([None], tf.int64),
    table=tf.TensorSpec([passes, len(PASSES)], tf.float32),
    metrics=tf.TensorSpec([3], tf.float32),
    added=tf.TensorSpec([], tf.int32),
  )


def is_over(carried: Carried) -> tf.Tensor:
  """Whether the last pass found nothing new, or was the last that is allowed; bool."""
  return (carried.added <= 0) | (carried.number >= carried.table.shape[0])


def one_pass(
  model: FunctionalModel,
  carried: Carried,
  images: tf.Tensor,
  labels: tf.Tensor,
  key: tf.Tensor,
  settings: Any,
) -> Carried:
  """Trains on D and N, then adds to N what the attack finds new.

  Examples are kept as their 8-bit pixels, rounded towards the clean image so that none leaves the
  ball, in memory of at most `passes` times the server's images.

  Args:
    model: The model.
    carried: What the pass before left, or `begin`.
    images: The server's images, as in `adaptation.adapt`.
    labels: int32 [n].
    key: Decides order, dropout and random starts; the same in all passes.
    settings: An `adaptation.Adaptation`; in each pass there are `epochs` epochs, with batches of
      2 `batch_size` images of D and N.
  """
  clean, labels = used_images(images, labels, key, settings.share)
  return _one_pass(model, carried, clean, labels, key, settings)


def _one_pass(model, carried, clean, labels, key, settings):
  used, pool = int(labels.shape[0]), (carried.images, carried.labels, carried.hashes)
  weights, step, metrics = _train(
    model, carried.weights, clean, labels, pool, key, carried.step, settings
  )
  made = make_all(
    model, weights, clean, labels, settings, keys.fold(key, keys.ATTACK, carried.number)
  )
  made = tf.cast(tf.clip_by_value(_to_pixels(clean, made), 0, 255), tf.uint8)
  losses, wrong = _judge(model, weights, _to_unit(made), labels, settings.batch_size)
  of_clean, _ = _judge(model, weights, clean, labels, settings.batch_size)
  of_pool, _ = _judge(model, weights, _to_unit(pool[0]), pool[1], settings.batch_size)
  hashes = _hashes(made)
  new = wrong & ~_among(hashes, pool[2])
  new &= _first_where(new, hashes)
  added = tf.reduce_sum(tf.cast(new, tf.int32))
  row = [
    tf.cast(added, tf.float32),
    tf.cast(tf.shape(pool[1])[0] + added, tf.float32),
    (tf.reduce_sum(of_clean) + tf.reduce_sum(of_pool)) / used,
    tf.reduce_mean(tf.where(wrong, losses, of_clean)),
  ]
  grown = (
    tf.concat([old, tf.boolean_mask(more, new)], 0)
    for old, more in zip(pool, (made, labels, hashes))
  )
  return Carried(
    carried.number + 1,
    step,
    weights,
    *grown,
    tf.tensor_scatter_nd_update(carried.table, [[carried.number]], [tf.stack(row)]),
    tf.concat([metrics, [float(used)]], 0),
    added,
  )


def adapt_until_none_is_new(
  model: FunctionalModel,
  weights: Sequence[tf.Tensor],
  images: tf.Tensor,
  labels: tf.Tensor,
  key: tf.Tensor,
  settings: Any,
) -> tuple[Weights, tf.Tensor, tf.Tensor]:
  """Makes passes until no example is new or a limit is met, see `one_pass`.

  Args:
    model: The model.
    weights: The aggregated weights.
    images: The server's images, as in `adaptation.adapt`.
    labels: int32 [n].
    key: Decides order, dropout and random starts.
    settings: An `adaptation.Adaptation`.

  Returns:
    The adapted weights; loss and accuracy on D and N over the last epoch, with the number of images
    of D, float32 [3]; and a row of `PASSES` per pass, float32 [passes, 4], -1 in passes that were
    not needed.
  """
  clean, labels = used_images(images, labels, key, settings.share)
  start = begin(weights, clean.shape[1:], settings.passes)
  shapes = specs(start.weights, clean.shape[1:], settings.passes)
  made = Carried(
    *tf.while_loop(
      lambda *carried: ~is_over(Carried(*carried)),
      lambda *carried: tuple(_one_pass(model, Carried(*carried), clean, labels, key, settings)),
      tuple(start),
      shape_invariants=tuple(tf.nest.map_structure(lambda spec: spec.shape, tuple(shapes))),
      parallel_iterations=1,
    )
  )
  return tuple(made.weights), made.metrics, made.table


def _train(model, weights, clean, labels, pool, key, step, settings):
  """Epochs over D and N; the weights, the number of the next step, mean loss and accuracy."""
  x = tf.concat([clean, _to_unit(pool[0])], 0)
  y = tf.concat([labels, pool[1]], 0)
  count, batch = tf.shape(y)[0], 2 * settings.batch_size
  batches = (count + batch - 1) // batch

  def body(index, step, order, weights, loss_sum, correct):
    epoch, position = index // batches, index % batches
    order = tf.cond(
      tf.equal(position, 0),
      lambda: tf.random.experimental.stateless_shuffle(
        tf.range(count), keys.fold(key, keys.ADAPTATION, step), alg=keys.ALG
      ),
      lambda: order,
    )
    rows = order[position * batch : (position + 1) * batch]
    of_rows = tf.gather(y, rows)
    logits, losses, gradients = training_gradient(
      model, weights, tf.gather(x, rows), of_rows, keys.fold(key, keys.DROPOUT, step)
    )
    weights = sgd_step(
      weights,
      gradients,
      learning_rate=settings.learning_rate,
      gradient_clip=settings.gradient_clip,
    )
    last = tf.cast(tf.equal(epoch, settings.epochs - 1), tf.float32)
    hits = tf.cast(tf.equal(tf.argmax(logits, 1, tf.int32), of_rows), tf.float32)
    loss_sum += last * tf.reduce_sum(losses)
    correct += last * tf.reduce_sum(hits)
    return index + 1, step + 1, order, weights, loss_sum, correct

  zero = tf.constant(0.0)
  start = (tf.constant(0), step, tf.range(count), weights, zero, zero)
  _, step, _, weights, loss_sum, correct = tf.while_loop(
    lambda index, *_: index < settings.epochs * batches, body, start, parallel_iterations=1
  )
  return tuple(weights), step, tf.stack([loss_sum, correct]) / tf.cast(count, tf.float32)


def _to_pixels(clean: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
  """Pixels of 0 to 255, float32; the change is cut to whole ones, so that it stays in the ball."""
  # A little more than nothing lest 3.06 - 0.06 become 2 by rounding.
  change = (made - clean) * 255.0
  return tf.round(clean * 255.0) + tf.sign(change) * tf.floor(tf.abs(change) + 1e-3)


def _to_unit(pixels: tf.Tensor) -> tf.Tensor:
  return tf.cast(pixels, tf.float32) / 255.0


def _judge(model, weights, images, labels, batch):
  """Losses, float32 [n], and whether the model errs, bool [n], batch by batch.

  The risks of Eq. 9 and 10 are sums over images: where the model's own loss is a mean over a batch,
  they are of the cross-entropy.
  """
  count = tf.shape(labels)[0]

  def body(index, losses, wrong):
    rows = tf.range(index * batch, tf.minimum((index + 1) * batch, count))
    logits = model.in_training.apply(weights, tf.gather(images, rows))
    of_rows = tf.gather(labels, rows)
    here = model.losses(logits, of_rows)
    if here.shape.rank == 0:
      here = cross_entropy(logits, of_rows)
    errs = tf.not_equal(tf.argmax(logits, 1, tf.int32), of_rows)
    return index + 1, tf.concat([losses, here], 0), tf.concat([wrong, errs], 0)

  any_number = tf.TensorShape([None])
  _, losses, wrong = tf.while_loop(
    lambda index, *_: index * batch < count,
    body,
    (tf.constant(0), tf.zeros([0]), tf.zeros([0], tf.bool)),
    shape_invariants=(tf.TensorShape([]), any_number, any_number),
    parallel_iterations=1,
  )
  return losses, wrong


def _hashes(images: tf.Tensor) -> tf.Tensor:
  """int64 [n]: sums of the pixels times random 64-bit numbers, so that equal means the same."""
  pixels = tf.reshape(tf.cast(images, tf.int64), [tf.shape(images)[0], -1])
  factors = tf.random.stateless_uniform(
    [pixels.shape[1] or images.shape[1:].num_elements()],
    tf.constant(_HASH_KEY, tf.int64),
    None,
    None,
    tf.int64,
    alg=keys.ALG,
  )
  return tf.reduce_sum(pixels * factors, axis=1)


def _among(values: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
  """Whether each of `values` is one of `known`, bool [n]."""
  ordered = tf.concat([tf.sort(known), [tf.int64.max]], 0)
  return tf.equal(tf.gather(ordered, tf.searchsorted(ordered, values)), values)


def _first_where(mask: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
  """Whether each of `values` is the first of its kind among those of the mask, bool [n]."""
  count = tf.size(values)
  places = tf.where(mask, tf.range(count), count)
  indices = tf.unique(values)[1]
  first = tf.math.unsorted_segment_min(places, indices, count)
  return tf.equal(tf.gather(first, indices), places)
