"""What a manifest tells of a run's data, model and noise."""

import os
from typing import Any

from fedsafe_tff import versions
from fedsafe_tff.data import dealing
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.noise import Noise
from fedsafe_tff.runs.prepare import Prepared


def manifest_facts(config: Config, prepared: Prepared, noise: Noise) -> dict[str, Any]:
  """Facts for `run_dir.write_manifest` that are known before the first round."""
  return {
    "seeds": {"seed": config.seed, "noise_seed": noise.seed},
    "result_versions": versions.current(),
    **prepared.inputs.facts(),
    "data": {
      "images": len(prepared.image_set),
      "shape": list(prepared.image_set.image_shape),
      "parts": prepared.parts.sizes(),
      "class_names": list(prepared.image_set.class_names),
      "skipped": list(prepared.image_set.skipped),
      "inventory": prepared.image_set.inventory,
      "partition_version": dealing.VERSION,
      "sites": list(prepared.sites) if prepared.sites else None,
      "leaks": prepared.leaks.sentence() if prepared.leaks else None,
    },
    "trivial_baselines": prepared.trivial,
    "noise": {"uplink_sigma": noise.uplink_sigma, "downlink_sigma": noise.downlink_sigma},
    "privacy": noise.statement(config.rounds),
    "model": prepared.model.name,
    # 0 leaves it to TensorFlow, which takes all cores there are; last bits depend on it.
    "threads": config.threads or len(os.sched_getaffinity(0)),
  }
