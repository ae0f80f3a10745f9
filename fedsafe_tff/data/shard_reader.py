"""Reads shards inside a TensorFlow graph, on whatever machine it runs."""

import tensorflow as tf


def read_named(
  directory: str, name: str | tf.Tensor, image_shape: tuple[int, int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
  """Reads a shard by name.

  Args:
    directory: Folder of the shards.
    name: The shard, a string or a scalar string tensor.
    image_shape: (height, width, channels).

  Returns:
    Images, uint8 [n, height, width, channels], and labels, int32 [n].
  """
  prefix = tf.strings.join([directory, "/", name])
  images = tf.io.decode_raw(tf.io.read_file(prefix + ".images"), tf.uint8)
  labels = tf.io.decode_raw(tf.io.read_file(prefix + ".labels"), tf.uint8)
  return tf.reshape(images, [-1, *image_shape]), tf.cast(labels, tf.int32)


def read_client(
  directory: str, client: tf.Tensor, image_shape: tuple[int, int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
  """Reads the shard of a client, an int32 scalar tensor; returns as `read_named`."""
  name = tf.strings.join(["client_", tf.strings.as_string(client, width=5, fill="0")])
  return read_named(directory, name, image_shape)
