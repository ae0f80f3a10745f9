"""A suite of attacks and attackers that somebody chose, from text.

An attack is written `NAME` or `NAME:field=value,...`: a name of `attacks.ATTACKS`, or `art:` and an
attack of the Adversarial Robustness Toolbox. Fields are those of `AttackSpec`, besides `step` for
its step in shares of eps and `eps` for sizes of its own, joined by `+`; whatever else is named is
an option of the attack. What is not said is as the suite `strong` has it where it has the attack.
"""

import ast
import dataclasses
from collections.abc import Sequence
from typing import Any

from fedsafe_tff.attackers.registry import ATTACKERS
from fedsafe_tff.attacks import art_adapter
from fedsafe_tff.attacks.registry import ATTACKS, SHARES
from fedsafe_tff.attacks.spec import ART, AttackSpec
from fedsafe_tff.data.limits import MOST
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.crafting import check_access
from fedsafe_tff.evaluation.suites import SUITES, Suite, Trial

NAME = "chosen"
# In no suite: a black box that answers with labels alone; clients who imitate together; one who
# imitates with the images of all.
LABELS = "black_box_labels"
COLLUDING_IMITATION = "colluding_imitation"
ALL_IMAGES = "imitation_all_images"
# What a number after an attacker's name counts, as in `colluding_mean:5`.
COUNTED = {
  "noise_ensemble": "draws",
  "averaging": "rounds",
  "colluding_mean": "colluders",
  "colluding_ensemble": "colluders",
  COLLUDING_IMITATION: "colluders",
  "imitation": "copies",
  ALL_IMAGES: "copies",
}
# Not to be written: the size of a step is a share of eps, and labels are a setting of the run.
_ELSEWHERE = {
  "name": "it stands before the colon",
  "step_size": "write step=SHARE, a share of eps",
  "labels": "they are --attack_labels of the run",
  "options": "write each option by its name",
}
_FIELDS = {
  field.name: field.type
  for field in dataclasses.fields(AttackSpec)
  if field.name not in (*_ELSEWHERE, "eps")
}
_IMAGES = SUITES["strong"].images
_OF_STRONG = SUITES["strong"].attackers
_TOLD = {"black_box": "scores", LABELS: "labels"}
# Known by how copies are pooled, and as the total; what to write instead.
_IN_PARTS = {
  "colluding": "write colluding_mean or colluding_ensemble",
  "worst": "all that are named are taken together, in the last rows, without being asked to",
}
_SIZE = 0.5  # any, for a look at what does not depend on it


def known() -> tuple[str, ...]:
  """Names of attackers that can be chosen."""
  return (*SUITES["strong"].attackers, LABELS, COLLUDING_IMITATION, ALL_IMAGES, *added())


def count_of(attacker: str) -> tuple[str, int | None]:
  """An attacker's name, and the number that was written after it.

  Raises:
    UserError: It takes none, or what stands there is no number above 0.
  """
  name, colon, number = attacker.partition(":")
  if not colon:
    return name, None
  if name not in COUNTED:
    raise UserError(f"attacker {attacker!r}: a number stands after {', '.join(COUNTED)} alone")
  if not number.isdecimal() or int(number) < 1:
    raise UserError(f"attacker {attacker!r}: write {name}:NUMBER, of its {COUNTED[name]}")
  return name, int(number)


def added() -> tuple[str, ...]:
  """Names of attackers of the registry that are in no suite: they need no settings."""
  return tuple(name for name in ATTACKERS if name not in (*_OF_STRONG, *_IN_PARTS))


def chosen(attackers: Sequence[str], attacks: Sequence[str]) -> Suite:
  """The suite.

  Args:
    attackers: Names, with `:NUMBER` where it is in `COUNTED`; none for the client on its own copy.
    attacks: As written, see above; none for those that `strong` has of each attacker.

  Raises:
    UserError: A name, field or value that there is not, or an attacker without any attack.
  """
  for name in attackers:
    if name in _IN_PARTS:
      raise UserError(f"attacker {name!r}: {_IN_PARTS[name]}")
    if count_of(name)[0] not in known():
      raise UserError(f"attacker {name!r} is unknown: choose of {', '.join(known())}")
  trials = []
  written = [trial(text) for text in dict.fromkeys(attacks)]
  for attacker in dict.fromkeys(attackers or ("own_copy",)):
    if attacks:
      for one in written:
        check_access(one.spec(_SIZE), _TOLD.get(attacker, "gradients"))
      trials += [dataclasses.replace(one, attacker=attacker) for one in written]
      continue
    name = count_of(attacker)[0]
    like = "imitation" if name in (COLLUDING_IMITATION, ALL_IMAGES) else name
    found = [one for one in SUITES["strong"].trials if one.attacker == like]
    if not found:
      raise UserError(
        f"{attacker} has no attack of its own: name one, as --attack="
        f"{'art:HopSkipJump' if name == LABELS else 'mi_fgsm'}"
      )
    trials += [dataclasses.replace(one, attacker=attacker) for one in found]
  if len({one.settings.get("norm", "linf") for one in trials}) > 1:
    raise UserError("sizes of two norms are no one scale: ask for the attacks of one at a time")
  return Suite(NAME, tuple(trials), images=_IMAGES)


def trial(text: str, attacker: str = "own_copy") -> Trial:
  """An attack as it is written, under an attacker.

  Raises:
    UserError: It is none, see `chosen`.
  """
  name, step, settings, options, sizes = *_as_in_strong(_name(text)), {}, ()
  used = _used(name)
  for field, value in _pairs(text):
    if field in ("step", *_FIELDS) and field not in used:
      raise UserError(f"attack {text!r}: {name} has no {field}, but {', '.join(sorted(used))}")
    if field == "eps":
      sizes = tuple(_number(part, text, field) for part in value.split("+"))
    elif (field, value) == ("target", "given"):
      raise UserError(f"attack {text!r}: targets can't be given: write least_likely or runner_up")
    elif field == "step":
      step = _number(value, text, field)
    elif field in _FIELDS:
      settings[field] = _typed(value, _FIELDS[field], text, field)
    elif field in _ELSEWHERE:
      raise UserError(f"attack {text!r}: {field} can't be set so: {_ELSEWHERE[field]}")
    else:
      options[field] = _option(name, field, value, text)
  if options:
    settings["options"] = dict(settings.get("options", {})) | options
  made = Trial(text, {"name": name, **settings}, attacker, step, sizes)
  if settings.get("norm", "linf") != "linf" and not sizes:
    raise UserError(f"attack {text!r}: sizes of {settings['norm']} are its own: write eps=0.5+1")
  for eps in sizes or (_SIZE,):
    made.spec(eps)  # refuses what the attack does not have
  if made.spec(_SIZE).from_art:
    art_adapter.find(name)
  return made


def _used(name: str) -> set[str]:
  """What can be said of an attack of that name besides its options."""
  if name.startswith(ART):
    return {"norm", "target"}
  if name not in ATTACKS:
    return {*_FIELDS, "step"}  # the spec says that there is none of that name
  fields = ATTACKS[name].fields
  return {"target", *(field for field in _FIELDS if field in fields)} | (
    {"step"} if "step_size" in fields else set()
  )


def _option(name: str, field: str, value: str, text: str) -> Any:
  """An option of one of our attacks is a number like its default; of ART's whatever it is."""
  if name.startswith(ART) or field not in ATTACKS[name].options:
    return _literal(value)
  number, default = _number(value, text, field), ATTACKS[name].options[field]
  if number < 0 or (isinstance(default, int) and (number != int(number) or number < 1)):
    kind = "a whole number from 1" if isinstance(default, int) else "a number from 0"
    raise UserError(f"attack {text!r}: {field} is {kind}, not {value}")
  if field in SHARES and not 0 < number <= 1:
    raise UserError(f"attack {text!r}: {field} is a number above 0, 1 at most, not {value}")
  return int(number) if isinstance(default, int) else number


def _name(text: str) -> str:
  """What stands before the fields: `art:` belongs to the name."""
  parts = text.split(":")
  return ":".join(parts[: 2 if parts[0] == "art" else 1])


def _pairs(text: str) -> list[tuple[str, str]]:
  rest = text[len(_name(text)) + 1 :]
  pairs = [part.partition("=") for part in rest.split(",")] if rest else []
  for field, equals, value in pairs:
    if not (field and equals and value):
      raise UserError(f"attack {text!r}: write NAME:field=value,field=value")
  if len({field for field, _, _ in pairs}) < len(pairs):
    raise UserError(f"attack {text!r}: a field is written twice")
  return [(field, value) for field, _, value in pairs]


def _as_in_strong(name: str) -> tuple[str, float, dict[str, Any]]:
  """Name, step and settings of the first attack of that name in `strong`; else the defaults."""
  for one in SUITES["strong"].trials:
    if one.settings["name"] == name:
      settings = {key: value for key, value in one.settings.items() if key != "name"}
      return name, one.step, settings
  return name, 0.0, {}


def _typed(value: str, kind: Any, text: str, field: str) -> Any:
  if kind is str:
    return value
  if kind is bool:
    if value.lower() not in ("true", "false"):
      raise UserError(f"attack {text!r}: {field} is true or false, not {value}")
    return value.lower() == "true"
  number = _number(value, text, field)
  if number != int(number):
    raise UserError(f"attack {text!r}: {field} is a whole number, not {value}")
  if abs(number) > MOST:
    raise UserError(f"attack {text!r}: {field} is at most {MOST}, not {value}")
  return int(number)


def _number(value: str, text: str, field: str) -> float:
  try:
    made = float(value)
  except ValueError:
    made = float("nan")
  if not abs(made) < float("inf"):
    raise UserError(f"attack {text!r}: {field} is a number, not {value}")
  return made


def _literal(value: str) -> Any:
  """An option: a number, true or false, or text."""
  try:
    return ast.literal_eval({"true": "True", "false": "False"}.get(value.lower(), value))
  except (ValueError, SyntaxError, TypeError):
    return value
