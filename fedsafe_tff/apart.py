"""Gradients inside a loop, as fast as outside of one.

On a CPU TensorFlow replaces the gradient of max-pooling by oneDNN's, many times faster, provided it
has replaced the forward operation before. It goes through a graph's nodes in an order that, in the
cycle of a `while_loop`, may begin anywhere: the same loop, traced twice, gets the fast operations
once and the slow ones the other time, and all of a training then takes up to 1.7 times as long. A
function that is not inlined is a graph without a cycle, where the order is always the right one.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def call_apart(function: Callable[..., Any], *arguments: Any) -> Any:
  """Calls a function of tensors so that it stays a graph of its own.

  Args:
    function: Forward and backward pass together; it may use tensors of its surroundings.
    *arguments: Tensors, or nests of them.

  Returns:
    What the function returns, nests of tensors.
  """
  if tf.executing_eagerly():
    return function(*arguments)
  apart = tf.function(function, autograph=False, experimental_attributes={"_noinline": True})
  return apart(*arguments)
