import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.runs import runtimes
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runtime import gpus, registry
from fedsafe_tff.runtime.device import DeviceRuntime
from fedsafe_tff.runtime.native import NativeRuntime
from fedsafe_tff.runtime.ray_runtime import RayRuntime


@pytest.mark.parametrize(
  ("name", "kind"), [("native", NativeRuntime), ("device", DeviceRuntime), ("ray", RayRuntime)]
)
def test_the_flag_chooses(name, kind, tmp_path):
  config = Config(runtime=name)
  runtimes.configure(config)
  assert type(runtimes.open_runtime(config, tmp_path / "worker.log")) is kind


def test_what_a_user_should_know_is_said(tmp_path, monkeypatch):
  said = []
  monkeypatch.setattr(gpus, "visible", lambda: True)
  runtimes.open_runtime(Config(runtime="native"), tmp_path / "worker.log", said.append)
  assert len(said) == 1 and "--runtime=device" in said[0]


def test_bfloat16_is_told_where_the_processor_lacks_it(tmp_path, monkeypatch):
  def told(dtype, flags, gpu=False):
    said = []
    monkeypatch.setattr(runtimes, "_processor_flags", lambda: frozenset(flags))
    monkeypatch.setattr(gpus, "visible", lambda: gpu)
    runtimes.open_runtime(Config(compute_dtype=dtype), tmp_path / "worker.log", said.append)
    return said

  assert "--compute_dtype=float32" in told("bfloat16", ["avx2"])[0]
  assert not told("bfloat16", ["avx2", "amx_bf16"]) and not told("bfloat16", [])
  assert not told("float32", ["avx2"]) and not told("bfloat16", ["avx2"], gpu=True)


def test_an_idle_gpu_stops_a_run_before_it_prepares(monkeypatch):
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
  monkeypatch.setattr(gpus, "visible", lambda: False)
  monkeypatch.setattr(gpus, "driver_gpus", lambda: ["Big Card 9000"])
  if gpus.tf.config.list_physical_devices("GPU"):
    pytest.skip("TensorFlow sees a GPU here")
  with pytest.raises(UserError, match="Big Card 9000"):
    runtimes.configure(Config(runtime="device"))


def test_where_a_cluster_is_does_not_make_another_run():
  config = Config(runtime="ray")
  assert not config.differences(Config(runtime="ray", ray_address="auto").as_dict())
  assert config.differences(Config().as_dict())
  assert {"ray_address", "gpu_memory_limit"} <= set(Config(runtime="native").inapplicable())


def test_the_threads_of_a_run_are_the_clients_side_by_side(tmp_path):
  runtime = runtimes.open_runtime(Config(threads=5), tmp_path / "log")
  with runtime:
    assert gpus.visible() or len(runtime._lanes) == 5


def test_many_clients_do_not_all_begin_at_once(monkeypatch):
  monkeypatch.setattr(registry.os, "cpu_count", lambda: 16)
  assert [registry.clients_at_once(threads) for threads in (0, 1, 8)] == [32, 4, 16]
