"""From a run's settings to the arguments of what a registry names."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from fedsafe_tff import lazy
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.config import Config


def changed(config: Config) -> frozenset[str]:
  """Names of the settings that are not at their defaults."""
  fields = dataclasses.fields(config)
  return frozenset(f.name for f in fields if getattr(config, f.name) != f.default)


def build(
  member: Callable[..., Any],
  config: Config,
  offered: Mapping[str, tuple[str, Any]],
  asked_by: str,
) -> Any:
  """Calls a member of a registry with those of the offered arguments that it takes.

  Args:
    member: What is called.
    config: The run's settings.
    offered: Argument to the flag that sets it and to its value.
    asked_by: Flag that names the member, for the message.

  Raises:
    UserError: A flag is not at its default, and the member does not take its argument.
  """
  taken = lazy.taken(member, {name: value for name, (_, value) in offered.items()})
  idle = [flag for name, (flag, _) in offered.items() if name not in taken]
  if lost := sorted(set(idle) & changed(config)):
    named = getattr(config, asked_by)
    default = {f.name: f.default for f in dataclasses.fields(config)}[lost[0]]
    raise UserError(
      f"--{lost[0]} has no effect: --{asked_by}={named} does not take it. Where a preset has it, "
      f"give --{lost[0]}={default}"
    )
  return lazy.loaded(member)(**taken)
