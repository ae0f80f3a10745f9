import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

import fedsafe_tff
from fedsafe_tff.errors import UserError
from fedsafe_tff.runtime import registry


@tff.tensorflow.computation(np.int32)
def double(x):
  return 2 * x


@pytest.fixture(autouse=True)
def ended(runtime):
  """The runtime of the other tests is TFF's default again afterwards."""
  yield
  fedsafe_tff.runtime.stop()
  assert runtime.call(double, 2) == 4


def test_a_runtime_is_used_until_another_one_is():
  first = fedsafe_tff.runtime.use("device")
  assert double(3) == 6 and first.call(double, 4) == 8
  second = fedsafe_tff.runtime.use("device")
  assert double(3) == 6 and second is not first
  with pytest.raises(RuntimeError, match="not open"):
    first.call(double, 4)
  fedsafe_tff.runtime.stop()
  fedsafe_tff.runtime.stop()
  with pytest.raises(RuntimeError, match="not open"):
    second.call(double, 4)


def test_options_reach_the_runtime(tmp_path):
  runtime = fedsafe_tff.runtime.use("native", log_path=tmp_path / "worker.log", threads=1)
  assert double(3) == 6 and (tmp_path / "worker.log").is_file()
  assert runtime.devices == ["CPU (TFF's worker)"]


def test_an_unknown_runtime_leaves_none_open():
  with pytest.raises(UserError, match="runtime 'gpu' is unknown: choose native, device, ray"):
    fedsafe_tff.runtime.use("gpu")


def test_a_runtime_of_a_users_own_is_one_line(monkeypatch):
  class Own:
    def __init__(self, speed):
      self.speed, self.open = speed, False

    def __enter__(self):
      self.open = True
      return self

    def __exit__(self, *error):
      self.open = False

  monkeypatch.setitem(registry.RUNTIMES, "own", Own)
  own = fedsafe_tff.runtime.use("own", speed=3)
  assert own.open and own.speed == 3
  fedsafe_tff.runtime.stop()
  assert not own.open and tf.executing_eagerly()
