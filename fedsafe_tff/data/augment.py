"""Stateless augmentation inside the client computation (4.1: rotation, flips)."""

import math

import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError

OPS = ("flip", "flip_ud", "rotate", "rot90", "color")
MAX_ANGLE = 15.0  # degrees


def parse_ops(text: str) -> tuple[str, ...]:
  """Reads a comma-separated list of augmentations; empty means none."""
  ops = tuple(op.strip() for op in text.split(",") if op.strip())
  for op in ops:
    if op not in OPS:
      raise UserError(f"--augment has unknown {op}: choose from {', '.join(OPS)}")
  return ops


def augment(images: tf.Tensor, key: tf.Tensor, ops: tuple[str, ...]) -> tf.Tensor:
  """Changes every image on its own.

  Args:
    images: float32 [n, height, width, channels] in [0, 1].
    key: int64 [2].
    ops: Names from `OPS`, applied in that order; "rot90" needs square images.

  Returns:
    Images of the same shape in [0, 1].
  """
  for number, op in enumerate(ops):
    images = _OPS[op](images, keys.fold(key, number))
  return images


def turned(images: tf.Tensor, turns: int) -> tf.Tensor:
  """Images (square where `turns` is odd) after 0 to 3 quarter turns counterclockwise.

  `tf.image.rot90` makes a branch of each turn, whatever the number.
  """
  if turns == 2:
    return tf.reverse(images, [1, 2])
  if turns:
    return tf.reverse(tf.transpose(images, [0, 2, 1, 3]), [1 if turns == 1 else 2])
  return images


def _uniform(images, key, low=0.0, high=1.0, shape=()):
  return tf.random.stateless_uniform([tf.shape(images)[0], *shape], key, low, high, alg=keys.ALG)


def _where(chosen, changed, images):
  return tf.where(chosen[:, tf.newaxis, tf.newaxis, tf.newaxis], changed, images)


def _flip(images, key):
  return _where(_uniform(images, key) < 0.5, tf.reverse(images, [2]), images)


def _flip_ud(images, key):
  return _where(_uniform(images, key) < 0.5, tf.reverse(images, [1]), images)


def _rot90(images, key):
  turns = tf.cast(tf.floor(_uniform(images, key, 0.0, 4.0)), tf.int32)
  upright = images
  for number in (1, 2, 3):
    images = _where(tf.equal(turns, number), turned(upright, number), images)
  return images


def _rotate(images, key):
  limit = math.radians(MAX_ANGLE)
  angle = _uniform(images, key, -limit, limit)
  height = tf.cast(tf.shape(images)[1], tf.float32) - 1.0
  width = tf.cast(tf.shape(images)[2], tf.float32) - 1.0
  cos, sin = tf.cos(angle), tf.sin(angle)
  zeros = tf.zeros_like(angle)
  # Output pixel to input pixel, about the centre.
  transforms = tf.stack(
    [
      cos,
      -sin,
      (width - (cos * width - sin * height)) / 2.0,
      sin,
      cos,
      (height - (sin * width + cos * height)) / 2.0,
      zeros,
      zeros,
    ],
    axis=1,
  )
  return tf.raw_ops.ImageProjectiveTransformV3(
    images=images,
    transforms=transforms,
    output_shape=tf.shape(images)[1:3],
    interpolation="BILINEAR",
    fill_mode="CONSTANT",
    fill_value=0.0,
  )


def _color(images, key):
  channels = images.shape[-1]
  contrast = _uniform(images, keys.fold(key, 0), 0.8, 1.2, (1, 1, 1))
  shift = _uniform(images, keys.fold(key, 1), -0.1, 0.1, (1, 1, channels))
  mean = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
  return tf.clip_by_value((images - mean) * contrast + mean + shift, 0.0, 1.0)


_OPS = {
  "flip": _flip,
  "flip_ud": _flip_ud,
  "rotate": _rotate,
  "rot90": _rot90,
  "color": _color,
}
