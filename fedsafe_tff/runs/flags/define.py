"""Makes one absl flag per setting, grouped by topic; the settings stay the only source."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from absl import flags

from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.config import GROUPS
from fedsafe_tff.runs.config.setting import setting_of


class FloatList(flags.ArgumentParser):
  """Comma-separated numbers as a tuple of floats."""

  syntactic_help = "comma-separated numbers"

  def parse(self, argument: Any) -> tuple[float, ...]:
    """Returns the numbers; raises ValueError, which absl turns into a message."""
    if not isinstance(argument, str):
      return tuple(argument)
    if not argument.strip():
      return ()
    entries = [entry.strip() for entry in argument.split(",")]
    if "" in entries:
      raise ValueError(f"number {entries.index('') + 1} of {len(entries)} is empty")
    return tuple(float(entry) for entry in entries)

  def flag_type(self) -> str:
    """Name of the type for `--help`."""
    return "comma separated list of floats"


class _FloatListSerializer(flags.ArgumentSerializer):
  """The inverse of `FloatList`."""

  def serialize(self, value: Sequence[float]) -> str:
    """Returns the numbers with commas between."""
    return ",".join(f"{entry:g}" for entry in value)


def define_group(group: type, values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines the flags of one config group; its docstring is the heading in `--help`."""
  topic = (group.__doc__ or group.__name__).strip().rstrip(".")
  for field in dataclasses.fields(group):
    setting = setting_of(field)
    keywords = {"flag_values": values, "module_name": topic}
    if setting.choices is not None:
      flags.DEFINE_enum(field.name, field.default, setting.choices, setting.help, **keywords)
    elif isinstance(field.default, bool):
      flags.DEFINE_boolean(field.name, field.default, setting.help, **keywords)
    elif isinstance(field.default, int):
      flags.DEFINE_integer(field.name, field.default, setting.help, **keywords)
    elif isinstance(field.default, float):
      flags.DEFINE_float(field.name, field.default, setting.help, **keywords)
    elif isinstance(field.default, str):
      flags.DEFINE_string(field.name, field.default, setting.help, **keywords)
    elif isinstance(field.default, tuple):
      flags.DEFINE(
        FloatList(),
        field.name,
        field.default,
        setting.help,
        serializer=_FloatListSerializer(),
        **keywords,
      )
    else:
      raise UserError(f"no flag type for {field.name}")


def define_all(values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines every flag of a run; a second call does nothing."""
  for group in GROUPS:
    first = dataclasses.fields(group)[0].name
    if first not in values:
      define_group(group, values)
