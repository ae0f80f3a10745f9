"""The server's images and labels, in whatever form they are given."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel

# Images, uint8 or float32 in [0, 1], and labels, int32; n and the rest of the shapes are known.
ServerData = Callable[[], tuple[tf.Tensor, tf.Tensor]]


def server_data(data: Any, model: FunctionalModel) -> ServerData:
  """The server's data as a function that a computation calls.

  Args:
    data: (images, labels) as arrays; a `tf.data.Dataset` of (image, label) examples or batches of
      them; or a function without arguments that makes either, which is called where the server
      computes, and once here, to learn the shapes: so give what is large or stays in a file.
    model: The model that they must fit.

  Raises:
    UserError: There are no images, or they don't fit the model.
  """
  with tf.init_scope():
    images, labels = _tensors(data() if callable(data) else data, model)
    _check(images, labels, model)
  if not callable(data):
    arrays = images.numpy(), labels.numpy()
    return lambda: tuple(tf.constant(array) for array in arrays)
  shapes = images.shape, labels.shape

  def read():
    found = _tensors(data(), model)
    return tuple(tf.ensure_shape(tensor, shape) for tensor, shape in zip(found, shapes))

  return read


def _tensors(data: Any, model: FunctionalModel) -> tuple[tf.Tensor, tf.Tensor]:
  if isinstance(data, tf.data.Dataset):
    image = _pair(data.element_spec)[0]
    if image.shape.rank == len(model.input_shape) + 1:
      data = data.unbatch()
    # All in one batch; a data set without examples has none.
    whole = data.batch(np.iinfo(np.int64).max)
    try:
      data = whole.get_single_element()
    except tf.errors.InvalidArgumentError:
      raise UserError("the server's data set is empty: give images to adapt on") from None
  images, labels = (tf.convert_to_tensor(part) for part in _pair(data))
  return images, tf.reshape(tf.cast(labels, tf.int32), [-1])


def _pair(data: Any) -> tuple[Any, Any]:
  if isinstance(data, Mapping) and {"x", "y"} <= set(data):
    return data["x"], data["y"]
  if isinstance(data, (tuple, list)) and len(data) == 2:
    return tuple(data)
  raise UserError(
    "the server's data must be images and labels: two arrays, a data set of such pairs, or a "
    f"function that makes them, not {type(data).__name__}"
  )


def _check(images: tf.Tensor, labels: tf.Tensor, model: FunctionalModel) -> None:
  if images.dtype not in (tf.uint8, tf.float32):
    raise UserError(
      f"the server's images are {images.dtype.name}: give uint8, or float32 in [0, 1]"
    )
  shape = images.shape.as_list()
  if shape[1:] != list(model.input_shape) or not shape[0]:
    raise UserError(
      f"the server's images have shape {shape}, but the model takes some of {model.input_shape}"
    )
  if labels.shape[0] != shape[0]:
    raise UserError(f"the server has {shape[0]} images, but {labels.shape[0]} labels")
