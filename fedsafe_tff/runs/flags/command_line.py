"""From a command line to a `Config`: presets first, then what was typed, then the checks.

A flag typed on the command line wins over the preset wherever it stands. A typed flag without
effect under the chosen data set, defence or algorithm is an error; a preset may carry settings
for several defences, of which those that apply are used.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Mapping, Sequence

from absl import flags

from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.config import GROUPS, Config
from fedsafe_tff.runs.config.setting import setting_of
from fedsafe_tff.runs.flags import define, presets

_HELP = ("--help", "-h", "-help", "--helpfull", "--helpshort")


def presets_first(arguments: Sequence[str], kind: str = "") -> list[str]:
  """Moves every `--preset` and `--flagfile` to the front, so that typed flags override it.

  Args:
    arguments: The command line without the program's name.
    kind: Of the presets that go by name, see `presets.find`.

  Raises:
    UserError: A `--flagfile` is no file, or a preset is unknown.
  """
  files, others = [], []
  waiting = ""
  for argument in arguments:
    name, equals, value = argument.partition("=")
    name = name.lstrip("-")
    if waiting:
      files.append((waiting, argument))
      waiting = ""
    elif argument.startswith("-") and name in ("flagfile", "preset"):
      if equals:
        files.append((name, value))
      else:
        waiting = name
    else:
      others.append(argument)
  if waiting:
    what = "PATH" if waiting == "flagfile" else "NAME"
    raise UserError(f"--{waiting} has no {what.lower()}: write --{waiting}={what}")
  return [f"--flagfile={_preset_file(name, value, kind)}" for name, value in files] + others


def _preset_file(flag: str, value: str, kind: str) -> pathlib.Path | str:
  if flag == "preset":
    return presets.find(value, kind)
  try:
    known = pathlib.Path(value).expanduser().is_file()
  except (OSError, RuntimeError, ValueError):  # too long a name, or no such home
    known = False
  if not known:
    raise UserError(
      f"--flagfile={value} is not a file: --preset=NAME takes one of "
      + ", ".join(presets.names(kind))
    )
  return value


def typed_names(arguments: Sequence[str], values: flags.FlagValues) -> set[str]:
  """Names of the flags that stand on the command line itself, not in a preset."""
  names = set()
  for argument in arguments:
    if not argument.startswith("-"):
      continue
    name = argument.lstrip("-").split("=")[0]
    if name not in values and name.startswith("no"):
      name = name[2:]
    names.add(name)
  return names


def help_text(
  binary_doc: str,
  values: flags.FlagValues = flags.FLAGS,
  groups: Sequence[type] = GROUPS,
  kind: str = "",
  more: Mapping[str, str] | None = None,
) -> str:
  """All flags by topic, with ranges, defaults and what they need to have an effect.

  `more` is what to add to the help of some of them, by name.
  """
  lines = [binary_doc.strip(), ""]
  for group in groups:
    lines += [(group.__doc__ or "").strip().rstrip(".") + ":"]
    for field in dataclasses.fields(group):
      if field.name not in values:
        continue
      setting = setting_of(field)
      default = values[field.name].default_as_str or "''"
      facts = [f"default {default}"]
      if setting.choices:
        facts.append("one of " + ", ".join(setting.choices))
      if setting.low is not None or setting.high is not None:
        facts.append("in " + setting.interval())
      if setting.needs:
        facts.append("needs " + setting.needs)
      told = setting.help + (more or {}).get(field.name, "")
      lines += [f"  --{field.name}", f"      {told}", f"      ({'; '.join(facts)})"]
    lines.append("")
  lines.append(
    f"--preset=NAME takes the flags of a preset ({', '.join(presets.names(kind))}), "
    "--flagfile=PATH those of a file; a flag typed here wins over both."
  )
  return "\n".join(lines)


def parse(arguments: Sequence[str], binary_doc: str = "") -> Config:
  """Parses the words after the program's name into a checked, normalized `Config`.

  Args:
    arguments: The command line without the program's name.
    binary_doc: Text that `--help` prints above the flags.

  Returns:
    The config; settings without effect are at their defaults.

  Raises:
    UserError: An unknown flag, a value out of range, a typed flag without effect.
    SystemExit: With code 0 after `--help`.
  """
  values = flags.FlagValues()
  define.define_all(values)
  if any(argument in _HELP for argument in arguments):
    print(help_text(binary_doc, values))
    sys.exit(0)
  config, typed = _read(arguments, values)
  without_effect = config.inapplicable()
  for name in sorted(typed & set(without_effect)):
    raise UserError(f"--{name} has no effect here: it needs {without_effect[name]}")
  _tell_what_a_baseline_lacks(config)
  return config.normalized()


def parse_variants(
  arguments: Sequence[str], variants: Sequence[Sequence[str]]
) -> list[Config]:
  """The same for several runs; see `parse`.

  Args:
    arguments: The command line of all of them.
    variants: What stands before it for each, such as another preset.

  Raises:
    UserError: As in `parse`; a typed flag must have an effect in one of them.
  """
  configs, idle, names = [], [], set()
  for variant in variants:
    values = flags.FlagValues()
    define.define_all(values)
    config, _ = _read([*variant, *arguments], values)
    names = set(typed_names(arguments, values))
    idle.append(config.inapplicable())
    configs.append(config.normalized())
  for name in sorted(names):
    if all(name in here for here in idle):
      raise UserError(f"--{name} has no effect here: it needs {idle[0][name]}")
  return configs


def _read(arguments: Sequence[str], values: flags.FlagValues) -> tuple[Config, set[str]]:
  """All settings, and the names of those that were typed."""
  read_words(presets_first(arguments), values)
  names = [field.name for group in GROUPS for field in dataclasses.fields(group)]
  config = Config(**{name: values[name].value for name in names})
  return config, set(typed_names(arguments, values))


def read_words(words: Sequence[str], values: flags.FlagValues) -> None:
  """Parses words of a command line, presets put first, into defined flags.

  Raises:
    UserError: An unknown flag, a value that none may have, a flag file that can't be read, a word
      that is no flag.
  """
  for argument in words:
    if argument.startswith("-") and argument.lstrip("-").split("=")[0] == "undefok":
      raise UserError("--undefok would hide misspelt flags: leave it out")
  try:
    rest = values(["fedsafe", *words])[1:]
  except flags.Error as error:
    raise UserError(" ".join(str(error).split())) from None
  except (OSError, ValueError) as error:  # bytes that are no text, or a file that can't be read
    named = [a for a in words if a.lstrip("-").startswith("flagfile=")]
    raise UserError(
      f"{' '.join(named) or 'a flag file'} can't be read ({error}): give a text file with a "
      "--name=value on each line"
    ) from None
  if rest:
    raise UserError(
      f"unexpected words on the command line: {' '.join(rest)}: flags are written --name=value"
    )
  for name in values:
    if isinstance(values[name].value, str) and "\0" in values[name].value:
      raise UserError(f"--{name} holds a NUL character, which no path or name may: leave it out")


def _tell_what_a_baseline_lacks(config: Config) -> None:
  """A preset's settings that the algorithm ignores: else it would be compared on other terms."""
  ours = dataclasses.replace(config, algorithm="fedsafe")
  lost = sorted(set(config.inapplicable()) - set(ours.inapplicable()))
  normalized, values = config.normalized().as_dict(), config.as_dict()
  named = [f"--{name}={values[name]}" for name in lost if values[name] != normalized[name]]
  if named:
    print(f"--algorithm={config.algorithm} does not use {', '.join(named)}", file=sys.stderr)
