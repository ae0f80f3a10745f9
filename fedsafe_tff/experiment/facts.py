"""What a manifest tells of a run's data, model and noise."""

import os
from collections.abc import Mapping
from typing import Any

from fedsafe_tff import keys
from fedsafe_tff.config import Config
from fedsafe_tff.experiment.noise import Noise
from fedsafe_tff.experiment.prepare import Prepared


def has_other_keys(manifest: Mapping[str, Any]) -> bool:
  """Whether the run that `manifest` tells of drew from keys that this version has no more.

  It can't be continued: neither its states nor its bits fit. Before version 2 none was recorded.
  """
  return bool(manifest) and manifest.get("seeds", {}).get("keys", 1) != keys.VERSION


def manifest_facts(config: Config, prepared: Prepared, noise: Noise) -> dict[str, Any]:
  """Facts for `run_dir.write_manifest` that are known before the first round."""
  return {
    "seeds": {"seed": config.seed, "noise_seed": noise.seed, "keys": keys.VERSION},
    "data_hash": prepared.data_hash,
    "data": {
      "images": len(prepared.image_set),
      "shape": list(prepared.image_set.image_shape),
      "parts": prepared.parts.sizes(),
      "class_names": list(prepared.image_set.class_names),
      "skipped": list(prepared.image_set.skipped),
      "leaks": prepared.leaks.sentence() if prepared.leaks else None,
    },
    "trivial_baselines": prepared.trivial,
    "noise": {"uplink_sigma": noise.uplink_sigma, "downlink_sigma": noise.downlink_sigma},
    "privacy": noise.statement(config.rounds),
    "model": prepared.model.name,
    # 0 leaves it to TensorFlow, which takes all cores there are; last bits depend on it.
    "threads": config.threads or len(os.sched_getaffinity(0)),
  }
