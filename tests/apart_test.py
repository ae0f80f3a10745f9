import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from fedsafe_tff import keys
from fedsafe_tff.apart import call_apart
from fedsafe_tff.models.cnn import build_cnn
from fedsafe_tff.training import local
from fedsafe_tff.training.feeds import ImageFeed

MODEL = build_cnn(
  input_shape=(16, 16, 1), num_classes=2, conv_widths=(4,) * 6, dense_widths=(8,) * 4
)
IMAGES = tf.constant(np.random.default_rng(0).integers(0, 256, (16, 16, 16, 1)), tf.uint8)
LABELS = tf.range(16) % 2


def executed_ops(folder, function, *arguments):
  """Kinds of the operations that ran, after all of TensorFlow's rewrites."""
  tf.profiler.experimental.start(str(folder))
  function(*arguments)
  tf.profiler.experimental.stop()
  (file,) = folder.rglob("*.xplane.pb")
  planes = xplane_pb2.XSpace.FromString(file.read_bytes()).planes
  names = {m.name for plane in planes for m in plane.event_metadata.values()}
  return {name.rpartition(":")[2] for name in names if ":" in name}


def test_values_nests_and_surrounding_tensors():
  @tf.function
  def outer(x):
    scale = x + 1.0
    return call_apart(lambda pair: (pair[0] * scale, [pair[1]]), (x, 2.0 * x))

  first, (second,) = outer(tf.constant(3.0))
  assert (first.numpy(), second.numpy()) == (12.0, 6.0)
  eager, _ = call_apart(lambda x: (x * 2.0, x), tf.constant(3.0))
  assert eager.numpy() == 6.0


def test_a_loop_calls_it_and_does_not_swallow_it():
  @tf.function
  def outer(x):
    return tf.while_loop(lambda x: x < 100.0, lambda x: call_apart(lambda v: 2.0 * v, x), [x])

  graph = outer.get_concrete_function(tf.TensorSpec([], tf.float32)).graph.as_graph_def()
  marked = [f for f in graph.library.function if f.attr["_noinline"].b]
  assert len(marked) == 1 and outer(tf.constant(3.0))[0].numpy() == 192.0


def test_training_always_gets_onednns_gradient_of_pooling(tmp_path):
  optimizer = tff.learning.optimizers.build_sgdm(0.01)
  weights = MODEL.init(keys.root(0))
  for trace in range(6):  # each is traced anew, in an order that may differ

    @tf.function
    def train(weights, images, labels):
      feed = ImageFeed(images, labels, keys.root(1), batch_size=8)
      return local.train(MODEL, weights, feed, keys.root(1), optimizer)

    train(weights, IMAGES, LABELS)
    ops = executed_ops(tmp_path / f"{trace}", train, weights, IMAGES, LABELS)
    if trace == 0 and not any("MklNativeMaxPool" in op for op in ops):
      pytest.skip("this TensorFlow has no oneDNN, or it is switched off")
    assert "MaxPoolGrad" not in ops and "_MklNativeMaxPoolGrad" in ops
