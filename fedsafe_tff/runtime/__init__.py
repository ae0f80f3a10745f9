"""Where TFF computations run. `native` is TFF's own C++ worker, started and ended by us."""

from fedsafe_tff import lazy

__getattr__, __dir__ = lazy.attach(
  __name__,
  {
    "use": "registry",
    "stop": "registry",
    "NativeRuntime": "native",
    "DeviceRuntime": "device",
    "RayRuntime": "ray_runtime",
  },
)
