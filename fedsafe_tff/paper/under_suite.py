"""A cell's copies under a suite, size by size: what each attacker gets, and all of them together.

Every trial's result is kept image by image beside the training, so that a sweep that is stopped
goes on with the next trial, and suites that attack the same images share trials.
"""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fedsafe_tff.attackers.holding import digest
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.result import AttackResult
from fedsafe_tff.evaluation.transfer import Evaluator
from fedsafe_tff.paper.rows import BY_IMAGE
from fedsafe_tff.runs import evaluate, targets, trials
from fedsafe_tff.runs.attackers import Attackers
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.prepare import Prepared

# Of the checks for masking: one size for all cells, so that what is stored at one size of a cell
# does not depend on which others were asked for.
_MASKING_EPS = 0.03
Weights = Sequence[np.ndarray]


class UnderSuite:
  """The copies of a cell, attacked by the attackers of `config.evaluation`."""

  def __init__(
    self,
    config: Config,
    prepared: Prepared,
    weights: Weights,
    copies: Sequence[Weights],
    evaluator: Evaluator,
    folder: pathlib.Path,
    *,
    sigma: float,
    history: Sequence[Weights],
    surrogates: pathlib.Path,
    log: Callable[[str], None],
  ):
    """Opens the folder of the trials.

    Args:
      config: The cell's settings, under another evaluation than the paper's.
      prepared: Data and model.
      weights: The global model.
      copies: What the clients received.
      evaluator: Of these copies on the images that are attacked.
      folder: Where trials are kept.
      sigma: Of the copies' noise; 0 for none.
      history: Global models of earlier rounds.
      surrogates: Folder where models that attackers trained by themselves are kept.
      log: Is told of each trial, and may raise to stop between two.
    """
    suite = targets.suite_of(config)
    if suite is None:
      raise UserError("the paper's evaluation is no suite")
    self._suite, self._evaluator, self._log = suite, evaluator, log
    self._images = digest(targets.attacked_images(config, prepared)).hex()
    self._who = Attackers(
      config, prepared, weights, copies, sigma=sigma, history=history, surrogates=surrogates
    )
    self._kept = evaluate.kept_results(
      folder, config, prepared, copies, sigma=sigma, history=history
    )

  def at(self, eps: float) -> dict[str, Any]:
    """What the suite finds at a size, as the cell's evaluation holds it.

    Returns:
      `result` of all attackers together, `results` of each attacker (all together last), `trials`,
      `left_out` with the reasons, `notes` on what attackers hold, `masking`, `by_image` (a 1 for
      every image that the first client's copy, or another's, is right on in the end, and which
      images they are) and the rows of the `transfer_matrix`.

    Raises:
      UserError: An attacker needs more clients than there are.
    """
    attempts, left_out = self._who.attempts(self._suite, (eps,))
    made = trials.make(attempts, self._evaluator, self._kept, self._log)
    results = trials.worst_of(made)
    full = "surrogate" in self._suite.attackers
    masking = self._kept.remember(
      self._who.masking_name(_MASKING_EPS, full),
      lambda: self._who.masking(_MASKING_EPS, self._log, full),
    )
    return {
      "result": results[-1].summary(),
      "results": [result.summary() for result in results],
      "trials": [result.summary() for result in made],
      "left_out": left_out,
      "notes": self._who.notes(self._suite),
      "masking": masking,
      BY_IMAGE: _by_image(results[-1]) | {"images": self._images},
      "transfer_matrix": [row for result in results for row in result.rows()],
    }


def _by_image(result: AttackResult) -> dict[str, str]:
  rows = result.by_image()
  return {
    side: "".join(str(int(row[f"one_{side}"])) for row in rows)
    for side in ("self", "avg")
    if all(row[f"one_{side}"] is not None for row in rows)
  }
