"""A model that answers by the mean of its logits over an image's views (test-time augmentation).

Of a tissue no side is up: what turns and mirrors make of its image is as likely as the image. A
network that was trained on all of them knows that only by and large; the mean knows it exactly, and
is smoother, so that an attacker, who climbs through the mean, needs more. What training follows
gradients of sees single views (`FunctionalModel.in_training`); to predict costs a view each.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff.data.augment import turned
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel

# Of these every pixel of a view is a pixel of the image.
OPS = ("flip", "flip_ud", "rot90")
_MARKED = np.arange(4).reshape(2, 2)


def parse_views(text: str) -> tuple[str, ...]:
  """Reads a comma-separated list of `OPS`; empty means none.

  Raises:
    UserError: One is unknown.
  """
  ops = tuple(op.strip() for op in text.split(",") if op.strip())
  for op in ops:
    if op not in OPS:
      raise UserError(f"--test_time_augment has unknown {op}: choose from {', '.join(OPS)}")
  return ops


def check_views(ops: Sequence[str], shape: Sequence[int]) -> None:
  """Refuses "rot90" of images (height, width, channels) that are not square.

  Raises:
    UserError: They are not.
  """
  height, width, _ = shape
  if "rot90" in ops and height != width:
    raise UserError(
      f"--test_time_augment=rot90 needs square images, and these have {height}x{width} pixels: "
      "give --image_size, or only flips"
    )


def views_of(ops: Sequence[str]) -> tuple[tuple[int, bool], ...]:
  """All views that `ops` in any order make of an image, itself first.

  Returns:
    (quarter turns counterclockwise, mirrored left to right before them) of each: 2 by "flip", 4 by
    "rot90" or by both flips, 8 by "rot90" and a flip.
  """
  changes = {"flip": np.fliplr, "flip_ud": np.flipud, "rot90": np.rot90}
  reached = [_MARKED]
  for image in reached:  # grows
    for op in ops:
      made = changes[op](image)
      if not any(np.array_equal(made, other) for other in reached):
        reached.append(made)
  every = [(turns, mirrored) for mirrored in (False, True) for turns in range(4)]
  return tuple(
    view for view in every if any(np.array_equal(_marked(*view), image) for image in reached)
  )


def _marked(turns: int, mirrored: bool) -> np.ndarray:
  return np.rot90(np.fliplr(_MARKED) if mirrored else _MARKED, turns)


def averaged(model: FunctionalModel, ops: Sequence[str]) -> FunctionalModel:
  """The model whose logits are the mean over views; in training it is `model`.

  Args:
    model: The model.
    ops: Names from `OPS`; none gives the model itself.

  Returns:
    The model; its `in_training` is `model`.

  Raises:
    UserError: "rot90" with images that are not square.
  """
  views = views_of(ops)
  if len(views) == 1:
    return model
  check_views(ops, model.input_shape)

  def apply(weights, images, key, training):
    if training:
      return model.apply_fn(weights, images, key, training)
    seen = tf.concat([_seen(images, *view) for view in views], 0)
    logits = model.apply_fn(weights, seen, key, training)
    return tf.reduce_mean(tf.reshape(logits, [len(views), -1, model.num_classes]), 0)

  return dataclasses.replace(
    model,
    apply_fn=apply,
    with_frozen_fn=lambda values: averaged(model.with_frozen(values), ops),
    single_view=model,
  )


def _seen(images: tf.Tensor, turns: int, mirrored: bool) -> tf.Tensor:
  return turned(tf.reverse(images, [2]) if mirrored else images, turns)
