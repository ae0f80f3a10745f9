"""Results by site and by patient of a run's attacked images."""

from typing import Any

import numpy as np

from fedsafe_tff.data import dealing
from fedsafe_tff.evaluation import strata as strata_lib
from fedsafe_tff.evaluation.transfer import AttackResult
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.prepare import Prepared


def _of(config: Config, prepared: Prepared, attacked: np.ndarray) -> strata_lib.Strata:
  """What images belong to."""
  images = prepared.image_set
  held = dealing.holdout_mask(images, config.holdout_sites)
  return strata_lib.Strata(
    labels=images.labels[attacked],
    sites=None if images.sites is None else [images.sites[i] for i in attacked],
    patients=None if images.patients is None else [images.patients[i] for i in attacked],
    held_out=frozenset() if held is None else frozenset(
      site for site, is_held in zip(images.sites, held) if is_held
    ),
  )  # fmt: skip


def rows(
  config: Config, prepared: Prepared, attacked: np.ndarray, result: AttackResult
) -> list[dict[str, Any]]:
  """Rows of `strata.csv` for one attack; none where neither sites nor patients are known.

  Args:
    config: The run's settings.
    prepared: Data and model.
    attacked: Indices of the attacked images.
    result: What came of the attack.
  """
  return strata_lib.tabulate(_of(config, prepared, attacked), result)
