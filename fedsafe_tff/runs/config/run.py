"""Settings of the run itself: seed, folder, where its computations run."""

import dataclasses

from fedsafe_tff import lazy
from fedsafe_tff.runs.config.setting import setting
from fedsafe_tff.runtime.registry import RUNTIMES
from fedsafe_tff.training.registry import having

_RAY = {"applies": lambda c: c.runtime == "ray", "needs": "--runtime=ray"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
  """Run."""

  seed: int = setting(0, "Seed of everything random but the noise.", low=0, high=2**63 - 1)
  noise_seed: int = setting(
    -1,
    "Seed of the noise on uploads and copies, which whoever knows it can subtract; -1 draws it "
    "from the system's entropy. The same bits twice need both seeds.",
    low=-1,
    high=2**63 - 1,
    applies=lambda c: c.draws_noise,
    needs=f"--privacy, --uplink_sigma, --uplink_epsilon, --defense={having('copies')}",
  )
  run_dir: str = setting("", "Run folder; by default a new one under runs/.")
  threads: int = setting(
    0,
    "Threads of TensorFlow, and clients that --runtime=device trains side by side on a CPU, eight "
    "at most; 0: all cores. The last bits of a result depend on it.",
    low=0,
  )
  keep_checkpoints: int = setting(3, "How many of the newest checkpoints are kept.", low=1)
  checkpoint_every: int = setting(
    1,
    "A checkpoint after every this many rounds, after the last and when the run is asked to stop; "
    "a run that is killed goes on from the last one.",
    low=1,
  )
  runtime: str = setting(
    "device",
    f"Where TFF's computations run. {lazy.helps(RUNTIMES)}. The last bits of a result depend on "
    "it; all but native draw the downlink noise by --downlink=map, whose bits are those of select.",
    choices=tuple(RUNTIMES),
  )
  gpu_memory_limit: int = setting(
    0,
    "MiB that TensorFlow takes of each GPU; 0: as much as it comes to need.",
    low=0,
    applies=lambda c: c.runtime == "device",
    needs="--runtime=device",
  )
  ray_address: str = setting(
    "",
    "Address of a running Ray cluster, such as auto or HOST:PORT; empty starts Ray on this "
    "machine for the run.",
    **_RAY,
  )
  ray_cpus_per_client: int = setting(
    1, "CPUs, and threads of TensorFlow, for the work of one client.", low=1, **_RAY
  )
  ray_gpus_per_client: float = setting(
    0.0, "GPUs for the work of one client; 0.5 lets two clients share one.", low=0.0, **_RAY
  )
