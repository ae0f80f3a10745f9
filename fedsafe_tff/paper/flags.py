"""From the command line of a table or figure to a `Request`.

A task's preset comes first, then other presets, then what is typed: a preset such as `paper`
so holds for all tasks what it names, and leaves the rest to each.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from fedsafe_tff import lazy, users_code
from fedsafe_tff.attacks.registry import ATTACKS
from fedsafe_tff.errors import UserError
from fedsafe_tff.paper.request import Request, Task
from fedsafe_tff.runs.config import GROUPS, Config
from fedsafe_tff.runs.config.sweep import AblationConfig, SweepConfig
from fedsafe_tff.runs.flags import command_line, define, presets

_KIND = "sweep"  # of the presets
_HELP = ("--help", "-h", "-help", "--helpfull", "--helpshort")

# Settings of a run that a table or figure sets itself, with what sets them instead.
_SET_HERE = {
  "seed": "--seeds",
  "run_dir": "--out and --cache",
  "keep_checkpoints": "--cache",
  "checkpoint_every": "--cache",
  "dataset": "--tasks",
  "task": "--tasks",
  "data_dir": "--brain_tumor_dir, --pathology_dir or the preset of a task",
  "defense": "the table or figure",
  "algorithm": "the table or figure",
}
_LETTER = "-paper"  # ends the name of a preset that has a task as the paper has it
_EVALUATION = "paper"  # the pages compare with the paper's values
_EVALUATION_HELP = (
  " Tables and figures have paper by default, because their pages compare with the paper's values."
)
_FOLDERS = ("brain_tumor_dir", "pathology_dir", "cache", "cache_dir", "out")


def parse(arguments: Sequence[str], doc: str, name: str) -> Request:
  """Parses the words after the program's name.

  Args:
    arguments: The command line without the program's name.
    doc: Text that `--help` prints above the flags.
    name: Name of the table or figure.

  Raises:
    UserError: An unknown flag or task, a value out of range, a flag that is set elsewhere.
    SystemExit: With code 0 after `--help`.
  """
  groups = (SweepConfig, AblationConfig) if name == "ablation" else (SweepConfig,)
  if any(argument in _HELP for argument in arguments):
    print(_help(doc, groups))
    sys.exit(0)
  ordered = command_line.presets_first(arguments, _KIND)
  values = _read(ordered, groups)
  typed = frozenset(command_line.typed_names(arguments, values))
  for flag in sorted(typed & set(_SET_HERE)):
    raise UserError(f"--{flag} is not for tables and figures: it is set by {_SET_HERE[flag]}")
  if values.evaluation != "paper" and name == "figure1":
    raise UserError("--evaluation is not for figure1: its pictures are the paper's FGSM")
  if name == "figure1" and (idle := sorted(typed & {"attacks", "attack_eps"})):
    raise UserError(f"--{idle[0]} is not for figure1: its pictures are FGSM at 0.03")
  if values.evaluation != "paper" and "attacks" in typed:
    raise UserError("--attacks has no effect here: it needs --evaluation=paper")
  own = {field.name: values[field.name].value for g in groups for field in dataclasses.fields(g)}
  attack = values.attacks if values["attacks"].present else "pgd"
  if attack not in ATTACKS:
    raise UserError(
      f"--attacks={attack}: a table or figure has one attack: choose {lazy.listed(ATTACKS)}"
    )
  methods = _words(own["methods"], "methods") if own["methods"] else []
  users = dict.fromkeys(word for word in methods if set(word) & {":", "+"})
  named = {users_code.short_name(word): word for word in users}
  if len(named) < len(users):
    raise UserError(f"--methods={own['methods']}: two defences of one name: rename a file")
  config_names = {f.name for group in GROUPS for f in dataclasses.fields(group)}
  tasks = tuple(_task(word, own, ordered, groups) for word in _words(own["tasks"], "tasks"))
  if len({task.name for task in tasks}) < len(tasks):
    raise UserError(
      f"--tasks={own['tasks']}: two presets of one name in tables (-paper is left out of it): give "
      "one of them, or rename a file of yours"
    )
  return Request(
    name=name,
    tasks=tasks,
    seeds=_seeds(own["seeds"]),
    out=pathlib.Path(own["out"] or f"results/{name}").expanduser(),
    cache=pathlib.Path(own["cache"]).expanduser(),
    evaluation=values.evaluation,
    attack=attack,
    eps=tuple(values.attack_eps) if values["attack_eps"].present else None,
    methods=tuple(users_code.short_name(word) for word in methods),
    defenses=named,
    dp=own["dp"],
    study=own.get("study", ""),
    only_cached=own["only_cached"],
    mixed_versions=own["mixed_versions"],
    typed=typed & config_names - {"attacks", "attack_eps"},
    command=_command(name, arguments),
  )


def _defined(groups: Sequence[type]) -> flags.FlagValues:
  values = flags.FlagValues()
  define.define_all(values)
  for group in groups:
    define.define_group(group, values)
  values.set_default("evaluation", _EVALUATION)
  return values


def _read(words: Sequence[str], groups: Sequence[type]) -> flags.FlagValues:
  values = _defined(groups)
  command_line.read_words(words, values)
  return values


def _words(text: str, flag: str) -> list[str]:
  words = [word.strip() for word in text.split(",") if word.strip()]
  if not words or len(set(words)) < len(words):
    raise UserError(f"--{flag}={text}: give one or more, each once, with commas between")
  return words


def _seeds(text: str) -> tuple[int, ...]:
  try:
    return tuple(int(word) for word in _words(text, "seeds"))
  except ValueError:
    raise UserError(f"--seeds={text}: seeds are whole numbers with commas between") from None


def _task(word: str, own: dict, ordered: Sequence[str], groups: Sequence[type]) -> Task:
  path = pathlib.Path(word).expanduser()
  if path.suffix != ".flags":
    path = presets.folder() / f"{word}.flags"
  if not path.is_file():
    raise UserError(
      f"task {word!r} is unknown: give the path of a preset, or one of {', '.join(presets.names())}"
    )
  values = _read([f"--flagfile={path}", *ordered], groups)
  settings = {f.name: values[f.name].value for group in GROUPS for f in dataclasses.fields(group)}
  dataset = settings["dataset"]
  if dataset == "brain_tumor":
    settings["data_dir"] = own["brain_tumor_dir"] or settings["data_dir"]
    if not settings["data_dir"]:
      raise UserError(f"task {path.stem} needs --brain_tumor_dir, the folder of the MRI scans")
  elif dataset == "pathology":
    settings["data_dir"] = own["pathology_dir"] or settings["data_dir"]
  # A user's file keeps its name.
  name = word.removesuffix(_LETTER) if word == path.stem else path.stem
  return Task(name, Config(**settings))


def _help(doc: str, groups: Sequence[type]) -> str:
  values = _defined(groups)
  for name in _SET_HERE:
    delattr(values, name)
  more = {"evaluation": _EVALUATION_HELP}
  return command_line.help_text(doc, values, (*groups, *GROUPS), _KIND, more)


def _command(name: str, arguments: Sequence[str]) -> str:
  """The command as anyone may repeat it: absolute folders are those of one machine."""
  shown, hide = [], False
  for argument in arguments:
    flag, equals, value = argument.partition("=")
    if flag.lstrip("-") == "methods":
      argument = f"{flag}=" + ",".join(users_code.short_name(w) for w in value.split(","))
    if hide:
      argument = "FOLDER" if argument.startswith(("/", "~")) else argument
    elif flag.lstrip("-") in _FOLDERS and value.startswith(("/", "~")):
      argument = f"{flag}=FOLDER"
    elif flag.lstrip("-") == "flagfile" and value.startswith(("/", "~")):
      argument = f"{flag}={pathlib.Path(value).name}"
    hide = argument.startswith("-") and not equals and flag.lstrip("-") in _FOLDERS
    shown.append(argument)
  return " ".join(["python", "-m", f"experiments.{name}", *shown])
