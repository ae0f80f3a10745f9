"""Settings of the run itself: seed, folder, threads."""

import dataclasses

from fedsafe_tff.config.setting import setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
  """Run."""

  seed: int = setting(0, "Seed of everything random.", low=0, high=2**53)
  run_dir: str = setting("", "Run folder; by default a new one under runs/.")
  threads: int = setting(
    0, "Threads of TensorFlow; 0: all cores. The last bits of a result depend on it.", low=0
  )
  keep_checkpoints: int = setting(3, "How many of the newest checkpoints are kept.", low=1)
