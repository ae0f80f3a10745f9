"""The steps that a sweep has to take, and how long the ones left will take."""

import collections
import dataclasses
from collections.abc import Iterable, Sequence

from fedsafe_tff.paper import identity
from fedsafe_tff.paper.cache import Cache, read_json
from fedsafe_tff.paper.cells import Cell

TRAIN, ADAPT, ATTACK, EXAMPLES = "train", "adapt", "attack", "examples"


@dataclasses.dataclass(frozen=True)
class Step:
  """A step, described by what decides how long it takes.

  Attributes:
    kind: `TRAIN`, `ADAPT`, `ATTACK` or `EXAMPLES`.
    task: The task.
    detail: Of a training its defence and algorithm, of an attack the method.
  """

  kind: str
  task: str
  detail: str = ""


def train_step(cell: Cell) -> Step:
  """The training of a cell."""
  wanted = identity.training_config(cell.config)
  return Step(TRAIN, cell.task, f"{wanted.algorithm} {wanted.defense} {wanted.num_clients}")


def adapt_step(cell: Cell) -> Step:
  """The adaptation of a cell."""
  return Step(ADAPT, cell.task, f"{cell.config.adaptation_share:g}")


def attack_step(cell: Cell) -> Step:
  """A cell's attack at one size; copies that are all alike are attacked once."""
  config = cell.config
  what = config.attack_steps if config.evaluation == "paper" else config.evaluation
  return Step(ATTACK, cell.task, f"{config.noisy_downlink} {what}")


def plan(cells: Sequence[Cell], cache: Cache) -> list[list[Cell]]:
  """The cells with something to do, by training, in the order of the first cell of each.

  Within a training, cells with downlink noise come first: what they set up adapts and distributes,
  and others that need the adapted model alone then find it in the cache.
  """
  groups: dict[str, list[Cell]] = {}
  for cell in cells:
    if cache.to_do(cell):
      groups.setdefault(str(cache.training(cell.config)), []).append(cell)
  return [sorted(group, key=lambda c: not c.config.noisy_downlink) for group in groups.values()]


def steps_of(group: Sequence[Cell], cache: Cache) -> list[Step]:
  """The steps that a group of cells of one training still needs."""
  steps = [] if cache.is_trained(group[0].config) else [train_step(group[0])]
  adapted, attacked = set(), set()
  for cell in group:
    file = cache.adapted(cell.config)
    if cell.config.adapts and file not in adapted and not cache.has_adapted(cell.config):
      adapted.add(file)
      steps.append(adapt_step(cell))
    for eps in cache.to_do(cell):
      file = cache.examples(cell.config) if cell.examples else cache.evaluation(cell.config, eps)
      if file not in attacked:
        attacked.add(file)
        steps.append(Step(EXAMPLES, cell.task) if cell.examples else attack_step(cell))
  return steps


def measured(cells: Iterable[Cell], cache: Cache) -> list[tuple[Step, float]]:
  """Steps of cells that were taken before, with their seconds."""
  found: dict[str, tuple[Step, float]] = {}
  for cell in cells:
    files = [(train_step(cell), cache.training(cell.config) / "manifest.json", "training_seconds")]
    if cell.config.adapts:
      facts = cache.adapted(cell.config).with_suffix(".json")
      files.append((adapt_step(cell), facts, "seconds"))
    if not cell.examples:
      for eps in cell.config.attack_eps:
        files.append((attack_step(cell), cache.evaluation(cell.config, eps), "seconds"))
    for step, file, name in files:
      seconds = read_json(file).get(name)
      if seconds is not None:
        found[str(file)] = (step, seconds)
  return list(found.values())


class Estimate:
  """Seconds of steps to come, from those taken: the likest ones known."""

  def __init__(self, taken: Iterable[tuple[Step, float]] = ()):
    self._seconds: dict[tuple[str, ...], list[float]] = collections.defaultdict(list)
    for step, seconds in taken:
      self.add(step, seconds)

  def add(self, step: Step, seconds: float) -> None:
    """A step took so long."""
    for key in _keys(step):
      self._seconds[key].append(seconds)

  def seconds(self, step: Step) -> float | None:
    """Mean over the likest steps taken; None when none of its kind was."""
    for key in _keys(step):
      if key in self._seconds:
        return sum(self._seconds[key]) / len(self._seconds[key])
    return None

  def left(self, steps: Iterable[Step]) -> tuple[float, bool]:
    """Seconds that `steps` will take, and whether all of them could be estimated."""
    known = [self.seconds(step) for step in steps]
    return sum(s for s in known if s is not None), None not in known


def _keys(step: Step) -> list[tuple[str, ...]]:
  """From the likest steps to all of its kind."""
  return [(step.kind, step.task, step.detail), (step.kind, step.task), (step.kind,)]
