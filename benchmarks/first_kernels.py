"""Whether TensorFlow finds the GPU and computes on it, and how long the first kernels take.

python -m benchmarks.first_kernels

TensorFlow 2.14 has no machine code for cards newer than Turing; the driver translates its PTX when
a kernel is first used and keeps the result in CUDA_CACHE_PATH. Run it twice: the second start is
what every later one takes. Exit code 1 where there is no GPU.
"""

import time
from collections.abc import Sequence

from fedsafe_tff.commands import main

_STEPS = 50


def first_kernels(arguments: Sequence[str]) -> int:
  """Prints the figures; returns the exit code."""
  del arguments
  begun = time.monotonic()
  import numpy as np
  import tensorflow as tf

  from fedsafe_tff.runtime import gpus

  print(f"import: {time.monotonic() - begun:.1f} s, TensorFlow {tf.__version__}")
  if not gpus.visible():
    print("TensorFlow sees no GPU")
    return 1
  gpus.configure()
  print(f"devices: {', '.join(gpus.describe(name) for name in gpus.device_names())}")
  for dtype in (tf.float32, tf.bfloat16):
    step = _step(dtype)
    begun = time.monotonic()
    first = [np.asarray(value, np.float32) for value in step()]
    finite = all(np.isfinite(value).all() for value in first)
    print(f"{dtype.name}: first step {time.monotonic() - begun:.1f} s, finite {finite}", flush=True)
    begun = time.monotonic()
    for _ in range(_STEPS):
      last = step()
    np.asarray(last[0])
    print(f"{dtype.name}: {(time.monotonic() - begun) / _STEPS * 1e3:.2f} ms a step", flush=True)
  return 0


def _step(dtype):
  """Forward and backward pass of a convolution, a ReLU and a pooling."""
  import tensorflow as tf

  x = tf.cast(tf.random.stateless_normal([64, 100, 100, 16], [1, 2]), dtype)
  kernel = tf.cast(tf.random.stateless_normal([3, 3, 16, 32], [3, 4]), dtype)

  @tf.function
  def step():
    with tf.GradientTape() as tape:
      tape.watch([x, kernel])
      y = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")), 2, 2, "SAME")
      total = tf.reduce_sum(tf.cast(y, tf.float32))
    by_kernel, by_image = tape.gradient(total, [kernel, x])
    return total, tf.reduce_sum(tf.cast(by_kernel, tf.float32)), tf.sign(by_image)

  return step


if __name__ == "__main__":
  main.run(first_kernels)
