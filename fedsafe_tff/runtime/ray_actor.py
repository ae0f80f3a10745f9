"""What runs on the machines of a Ray cluster: one process that does clients' work.

It needs TensorFlow but not TFF, and reads a client's shard where it runs: the folder of shards must
be at the same path on every machine.
"""

import socket
from collections.abc import Hashable, Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff.runtime import gpus
from fedsafe_tff.runtime.failures import operation_message
from fedsafe_tff.runtime.parts import LoadedPart, Part


class ClientActor:
  """Does the work of one client at a time."""

  def __init__(self, threads: int, needs_gpu: bool):
    """Takes the machine's share that Ray gave to this process.

    Args:
      threads: Threads of TensorFlow; 0 means all cores.
      needs_gpu: Whether it must have a GPU.
    """
    if threads:
      tf.config.threading.set_intra_op_parallelism_threads(threads)
      tf.config.threading.set_inter_op_parallelism_threads(threads)
    gpus.configure()
    tf.config.set_soft_device_placement(True)
    self._device = tf.config.list_logical_devices("GPU" if needs_gpu else "CPU")[:1]
    self._loaded: dict[Hashable, LoadedPart] = {}

  def where(self) -> str | None:
    """The machine and the device; None where TensorFlow has no such device."""
    if not self._device:
      return None
    return f"{socket.gethostname()} {gpus.describe(self._device[0].name)}"

  def sign_of_life(self) -> None:
    """Answers, in a thread of its own while `run` computes."""

  def run(
    self,
    key: Hashable,
    part: Part,
    client: Sequence[np.ndarray],
    received: Sequence[np.ndarray],
  ) -> tuple[str, list[np.ndarray]]:
    """Runs a part for one client.

    Args:
      key: Names the part among those that this process has loaded.
      part: The part.
      client: The flat values of the client's arguments.
      received: What the server sent.

    Returns:
      ("", the flat result), or (what went wrong, []).
    """
    if key not in self._loaded:
      self._loaded[key] = LoadedPart(part)
    try:
      result = self._loaded[key]([*client, *received], self._device[0].name)
      return "", [tensor.numpy() for tensor in result]
    except tf.errors.OpError as error:  # it could not be unpickled everywhere
      return f"{type(error).__name__}: {operation_message(error.message)}", []
