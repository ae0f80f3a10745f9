"""Runs attacks one by one; what was made lies on disk, and a session that is stopped goes on.

Attacks of one attacker at one size are run one after the other, and each tells what the attacker
got so far: an image that fools all its victims is attacked no more, as AutoAttack has it.
"""

import dataclasses
import hashlib
import json
import pathlib
import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fedsafe_tff.attackers.attacker import Attacker
from fedsafe_tff.attackers.holding import digest
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.data import sums
from fedsafe_tff.errors import Notice
from fedsafe_tff.evaluation import definitions, stored
from fedsafe_tff.evaluation.result import AttackResult
from fedsafe_tff.evaluation.suites import Suite, gradients
from fedsafe_tff.evaluation.transfer import Evaluator
from fedsafe_tff.evaluation.worst import worst
from fedsafe_tff.runs import run_dir
from fedsafe_tff.runs.report.progress import duration

_TRIALS = 2  # what a kept result means: by itself (1, before), or with those before it


@dataclasses.dataclass(frozen=True)
class Attempt:
  """An attack at one size under an attacker.

  Attributes:
    spec: The attack.
    label: What it is called in tables.
    attacker: The attacker's name in tables; "" for that of the result.
    who: The attacker; None for the evaluator's own.
    after: The attacks that this attacker ran at this size before, whose results are in this one's.
    models: How many models it goes through, for the time left.
  """

  spec: AttackSpec
  label: str
  attacker: str = ""
  who: Attacker | None = None
  after: tuple[AttackSpec, ...] = ()
  models: int = 1

  @property
  def cost(self) -> float:
    """About how many gradients of a model it takes for an image."""
    return self.models * gradients(self.spec)


class Kept:
  """Results in a folder, as long as it is of the same models and images."""

  def __init__(self, folder: pathlib.Path, identity: Mapping[str, Any]):
    """Opens the folder; what it holds of other models or images is deleted.

    Args:
      folder: The folder.
      identity: What results depend on besides attack and attacker, as JSON has it.
    """
    self._folder = folder
    file, wanted = folder / "identity.json", dict(identity) | {"definitions": definitions.VERSION}
    try:
      same = json.loads(sums.read(file)) == wanted
    except FileNotFoundError:
      same = False
    except (OSError, ValueError, sums.Damaged):
      warnings.warn(f"{file} is damaged: its attacks are made again", Notice, stacklevel=2)
      same = False
    if not same:
      shutil.rmtree(folder, ignore_errors=True)
      folder.mkdir(parents=True)
      run_dir.write_json(file, wanted)

  @property
  def folder(self) -> pathlib.Path:
    """Where it is."""
    return self._folder

  def _file(self, attempt: Attempt) -> pathlib.Path:
    name = "\n".join([attempt.attacker, *(repr(spec) for spec in (attempt.spec, *attempt.after))])
    return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.npz"

  def find(self, attempt: Attempt) -> AttackResult | None:
    """What an attempt gave; None where it was not made."""
    return stored.load(self._file(attempt), attempt.spec)

  def add(self, attempt: Attempt, result: AttackResult) -> None:
    """Keeps a result."""
    stored.save(self._file(attempt), result)

  def remember(self, name: str, make: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """What `make` gives, as JSON has it; it is called where nothing of that name is kept."""
    file = self._folder / f"{name}.json"
    try:
      return json.loads(sums.read(file))
    except FileNotFoundError:
      pass
    except (OSError, ValueError, sums.Damaged):
      warnings.warn(f"{file} is damaged: it is made again", Notice, stacklevel=2)
    made = make()
    run_dir.write_json(file, made)
    return made

  def forget(self) -> None:
    """Deletes all of them."""
    shutil.rmtree(self._folder, ignore_errors=True)


def identity(copies: Sequence[Sequence[np.ndarray]], rows: np.ndarray, **more: Any) -> dict:
  """What the results of attacks depend on: the models that are attacked, the images, and `more`."""
  known: dict[int, str] = {}
  names = [known.setdefault(id(copy), digest(copy).hex()) for copy in copies]
  images = hashlib.sha256(np.asarray(rows, np.int64).tobytes()).hexdigest()
  return {"copies": names, "images": images, "trials": _TRIALS, **more}


def of_suite(
  suite: Suite,
  attackers: Mapping[str, Attacker | None],
  sizes: Sequence[float],
  labels: str = "true",
  models: Mapping[str, int] | None = None,
) -> list[Attempt]:
  """The attempts of a suite, attacker by attacker: one that is finished is finished at all sizes.

  Args:
    suite: The suite.
    attackers: By name those that there are; the others' trials are left out.
    sizes: Perturbation sizes.
    labels: Those that the adversary uses, "true" or "predicted".
    models: By attacker how many models it attacks through, where it is not one.
  """
  models = models or {}
  made, run = [], {}
  for name in suite.attackers:
    for trial in suite.possible(attackers):
      for eps in (trial.sizes or sizes) if trial.attacker == name else ():
        spec, who = trial.spec(eps, labels), attackers[name]
        before = run.setdefault((name, eps), ())
        called = name if who is not None else ""
        made.append(Attempt(spec, trial.attack, called, who, before, models.get(name, 1)))
        run[name, eps] = (*before, spec)
  return made


def make(
  attempts: Sequence[Attempt], evaluator: Evaluator, kept: Kept, log: Callable[[str], None]
) -> list[AttackResult]:
  """Makes what is not there yet, and tells of each attempt and of the time left.

  Raises:
    UserError: An attack or attacker that fits neither clients nor model.
  """
  results, seconds, spent = [], 0.0, 0.0
  so_far: dict[tuple, AttackResult] = {}  # of each attacker, after how many attacks
  left = sum(attempt.cost for attempt in attempts if kept.find(attempt) is None)
  for number, attempt in enumerate(attempts, 1):
    result = kept.find(attempt)
    if result is None:
      started = time.monotonic()
      before = so_far.get((attempt.attacker, attempt.after)) if attempt.after else None
      result = evaluator.attack(attempt.spec, attempt.who, before)
      result = dataclasses.replace(
        result, label=attempt.label, attacker=attempt.attacker or result.attacker
      )
      kept.add(attempt, result)
      seconds, spent = seconds + time.monotonic() - started, spent + attempt.cost
      left -= attempt.cost
    results.append(result)
    so_far[attempt.attacker, (*attempt.after, attempt.spec)] = result
    log(_line(number, len(attempts), result, seconds / spent * left if spent else None))
  return results


def _line(number: int, count: int, result: AttackResult, left: float | None) -> str:
  numbers = result.summary()
  other = numbers["asr_avg"]
  return (
    f"attack {number}/{count}: {result.attacker}, {result.label} eps {result.spec.eps:g}, "
    f"ASR self {numbers['asr_self']:.3f}"
    + ("" if other is None else f", avg {other:.3f}")
    + ("" if left is None else f", left {duration(left)}")
  )


def worst_of(results: Sequence[AttackResult]) -> list[AttackResult]:
  """What each attacker gets at each size, image by image, then what all of them get together."""
  by: dict[str, dict[float, list[AttackResult]]] = {}
  for result in results:
    by.setdefault(result.attacker, {}).setdefault(result.spec.eps, []).append(result)
  made = [_worst(group, name) for name, sizes in by.items() for group in sizes.values()]
  if len(by) > 1:
    sizes = dict.fromkeys(result.spec.eps for result in results)
    made += [_worst([r for r in results if r.spec.eps == eps], "worst") for eps in sizes]
  return made


def _worst(group: Sequence[AttackResult], attacker: str) -> AttackResult:
  if len(group) == 1:
    return dataclasses.replace(group[0], attacker=attacker)
  # An attacker's last result holds what it asked in those before: only attackers are added up.
  last = {result.attacker: result for result in group}
  asked = [result.queries for result in last.values() if result.queries is not None]
  return dataclasses.replace(
    worst(group, attacker),
    label=f"worst of {len(group)}",
    queries=np.sum(asked, axis=0) if asked else None,
  )
