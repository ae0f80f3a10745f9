"""A user's own defence: `PATH/file.py:factory`, where factory returns a `registry.Defense`.

`PATH/file.py:factory@gradient` is that part of it alone, as a training has it that several defences
share; a part is one of gradient, adaptation and copies.
"""

import dataclasses
import functools
import hashlib
import pathlib
import types
from typing import Any

from fedsafe_tff import users_code
from fedsafe_tff.errors import UserError

SLOTS = ("gradient", "adaptation", "copies")
_PART = "@"


def is_own(name: str) -> bool:
  """Whether a name is that of a user's defence, or of a part of one."""
  return ":" in name


def load(name: str, choices: str) -> Any:
  """What the user's factory makes, or the part of it that is named.

  Args:
    name: See above.
    choices: The defences that there are, in words, for a message.

  Raises:
    UserError: It can't be loaded, or makes something else.
  """
  factory, _, part = name.partition(_PART)
  made = _load(factory, _version(factory), choices)[1]
  if not part:
    return made
  if part not in SLOTS:
    raise UserError(f"--defense={name}: a defence has {', '.join(SLOTS)}, and no {part!r}")
  others = {slot: None for slot in SLOTS if slot != part}
  if part != "copies":
    others |= {"adapts_copies": False, "imitation": None}
  return dataclasses.replace(made, **others)


def slots_of(name: str) -> dict[str, str]:
  """The places of a defence that users' parts take, with the name of each of these alone."""
  found = {}
  for term in filter(is_own, name.split("+")):
    factory, _, part = term.partition(_PART)
    made = load(term, "")
    for slot in (part,) if part else SLOTS:
      if getattr(made, slot) is not None:
        found[slot] = f"{factory}{_PART}{slot}"
  return found


def fingerprint(name: str) -> str:
  """sha256, as hex, of the sources of the users' defences in a name; empty where there are none.

  They cover the module of the factory and the modules of the user's that it imports.
  """
  factories = sorted({n.partition(_PART)[0] for n in name.split("+") if is_own(n)})
  if not factories:
    return ""
  digest = hashlib.sha256()
  for factory in factories:
    module, _ = _load(factory, _version(factory), "")
    one = hashlib.sha256(factory.rpartition(":")[2].encode())
    digest.update(users_code.with_sources(one, module).encode())
  return digest.hexdigest()


def _version(factory: str) -> tuple[int, int] | None:
  """Changes with the file: what was loaded before is then loaded again."""
  try:
    facts = pathlib.Path(factory.rpartition(":")[0]).expanduser().stat()
  except OSError:
    return None
  return facts.st_mtime_ns, facts.st_size


@functools.cache
def _load(
  factory: str, version: tuple[int, int] | None, choices: str
) -> tuple[types.ModuleType, Any]:
  del version
  module, make = users_code.load_function(
    factory, flag="defense", choices=choices, takes="nothing and returns a Defense", arguments=()
  )
  made = users_code.call(make, (), flag="defense", name=factory)
  # By its places: the registry, which has the class, asks this module.
  if not (dataclasses.is_dataclass(made) and all(hasattr(made, slot) for slot in SLOTS)):
    raise UserError(
      f"--defense={factory} returns {type(made).__name__}: return a "
      "fedsafe_tff.training.registry.Defense"
    )
  return module, made
