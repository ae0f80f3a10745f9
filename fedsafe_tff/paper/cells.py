"""Cells of a table or figure: each is a whole configuration, with what it is called there."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from fedsafe_tff.errors import UserError
from fedsafe_tff.paper.request import Request, Task
from fedsafe_tff.runs.config import Config

# Settings of a method, and its name in tables. "Adversarial training" in the paper's tables is
# that of the server: it differs from distributed noise in the downlink alone.
METHODS = {
  "none": ("undefended", {"defense": "none"}),
  "local_adversarial_training": (
    "local adversarial training",
    {"defense": "local_adversarial_training"},
  ),
  "server_adversarial_training": (
    "adversarial training",
    {"defense": "server_adversarial_training"},
  ),
  "distributed_noise": ("distributed noise", {"defense": "distributed_noise"}),
  "noise_only": ("noise without adaptation", {"defense": "noise_only"}),
  "combined": ("combined", {"defense": "combined"}),
}


def method_name(method: str) -> str:
  """A method as tables call it; a defence that a user named keeps its name."""
  return METHODS[method][0] if method in METHODS else method


def methods_of(request: Request, methods: Sequence[str]) -> tuple[str, ...]:
  """The methods of a table or figure, and the defences that the user named besides."""
  return (*methods, *request.defenses)


ADVERSARIAL_TRAINING = "server_adversarial_training"
DISTRIBUTED_NOISE = "distributed_noise"

_WITHOUT_DP = {"clip_norm": 0.0, "uplink_sigma": 0.0, "uplink_epsilon": 0.0}


@dataclasses.dataclass(frozen=True)
class Cell:
  """One trained, defended and attacked federation.

  Attributes:
    task: Name of the task.
    method: Key of `METHODS`, or of `Request.defenses`.
    variant: What sets it apart from other cells of its method, such as "20 %"; "" for nothing.
    seed: The seed.
    config: All settings; `attack_eps` holds the sizes that are attacked with.
    eps: Sizes as the table names them, one per entry of `config.attack_eps`.
    examples: Whether Figure 1's example images are made instead of attacks on all images.
  """

  task: str
  method: str
  variant: str
  seed: int
  config: Config
  eps: tuple[float, ...]
  examples: bool = False

  def title(self) -> str:
    """Task, method, variant and seed in words."""
    parts = [self.task, method_name(self.method), self.variant, f"seed {self.seed}"]
    return ", ".join(part for part in parts if part)


def make_cell(
  request: Request,
  task: Task,
  method: str,
  seed: int,
  *,
  eps: Sequence[float],
  variant: str = "",
  changes: dict[str, Any] | None = None,
  dp: bool | None = None,
  eps_scale: float = 1.0,
  examples: bool = False,
) -> Cell:
  """A cell from a task's settings.

  Args:
    request: What is asked for; its sizes win over `eps`.
    task: The task.
    method: Key of `METHODS`.
    seed: The seed.
    eps: Sizes as the table names them.
    variant: See `Cell`.
    changes: Settings that differ from the task's.
    dp: Whether uploads are clipped and noised; None takes what `request` says.
    eps_scale: What a size is multiplied by to give pixels of [0, 1].
    examples: See `Cell`.

  Raises:
    UserError: A combination of settings that can't be, or that the cache can't share.
  """
  eps = tuple(request.eps or eps)
  values = {
    "seed": seed,
    "run_dir": "",
    # The pictures of Figure 1 are the paper's, whatever the numbers are of.
    "evaluation": "paper" if examples else request.evaluation,
    "attacks": request.attack,
    "attack_eps": tuple(min(1.0, size * eps_scale) for size in eps),
  }
  with_dp = request.dp if dp is None else dp
  if not with_dp:
    values |= _WITHOUT_DP
  settings = {"defense": request.defenses[method]} if method in request.defenses else {}
  values |= (settings or METHODS[method][1]) | (changes or {})
  if with_dp and not (values.get("clip_norm") or task.config.clip_norm):
    raise UserError("cells with DP need --clip_norm above 0")
  config = dataclasses.replace(task.config, **values)
  if with_dp and not config.noised_uploads:
    raise UserError("cells with DP need --uplink_sigma or --uplink_epsilon above 0")
  if config.adaptation_every and config.adapts:
    raise UserError(
      "--adaptation_every: tables and figures adapt once, after the last round, so that methods "
      "share a training: leave it at 0"
    )
  if config.downlink_schedule == "every" and config.noisy_downlink:
    raise UserError(
      "--downlink_schedule=every: tables and figures noise the last distribution only, so that "
      "methods share a training: leave it at last"
    )
  if config.stop_at_epsilon:
    raise UserError(
      "--stop_at_epsilon is for single runs: the rounds of a table or figure are those of --rounds"
    )
  if config.draws_noise and config.noise_seed < 0:
    raise UserError(
      "tables and figures are made to be repeated: give the seed of their noise, --noise_seed, as "
      "flags/presets/sweep/*.flags do"
    )
  return Cell(
    task=task.name,
    method=method,
    variant=variant,
    seed=seed,
    config=config.normalized(),
    eps=eps,
    examples=examples,
  )


def of_methods(request: Request, cells: Sequence[Cell]) -> list[Cell]:
  """The cells of the methods that are asked for.

  Raises:
    UserError: A method has no cell here.
  """
  there = dict.fromkeys(cell.method for cell in cells)
  for method in request.methods:
    if method not in there:
      raise UserError(
        f"--methods: {request.name} has no method {method!r}: choose of {', '.join(there)}"
      )
  return [cell for cell in cells if not request.methods or cell.method in request.methods]


def check_typed(request: Request, cells: Sequence[Cell]) -> None:
  """Refuses a flag that was typed and has no effect in any cell.

  Raises:
    UserError: There is one.
  """
  idle = [cell.config.inapplicable() for cell in cells]
  for name in sorted(request.typed):
    if idle and all(name in here for here in idle):
      raise UserError(f"--{name} has no effect here: it needs {idle[0][name]}")
  if not any(cell.config.noised_uploads for cell in cells):
    for name in sorted(request.typed & set(_WITHOUT_DP)):
      raise UserError(f"--{name} has no effect here: it needs --dp")
  for name in sorted(request.typed):
    asked = [getattr(task.config, name) for task in request.tasks]
    if cells and not any(getattr(cell.config, name) in asked for cell in cells):
      raise UserError(
        f"--{name} has no effect here: {request.study or request.name} sets it itself, leave it out"
      )
