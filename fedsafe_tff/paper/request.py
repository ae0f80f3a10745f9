"""What a user asks of a table or figure."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

from fedsafe_tff.runs.config import Config


@dataclasses.dataclass(frozen=True)
class Task:
  """A classification task.

  Attributes:
    name: Its name in tables.
    config: Its settings; those of the defence are there whether they have an effect or not.
  """

  name: str
  config: Config


@dataclasses.dataclass(frozen=True)
class Request:
  """What a user asks for.

  Attributes:
    name: Name of the table or figure, such as "table1".
    tasks: The tasks, in the order of the tables.
    seeds: The seeds, of which each makes a whole repetition.
    out: Folder for tables, plots and page.
    cache: Folder of the cache.
    evaluation: A name of `runs.config.evaluation.SUITES`: which attacks the cells are put through.
    attack: A name of `attacks.registry.ATTACKS`, under the paper's evaluation.
    eps: Perturbation sizes in pixels of [0, 1]; None leaves them to the table or figure.
    methods: Methods whose cells are asked for; empty for all.
    defenses: Defences that the user named among the methods, of parts or his own: what tables call
      them, to the value of --defense.
    dp: Whether uploads are clipped and noised in all cells.
    study: What varies in an ablation.
    only_cached: Whether what the cache lacks is named instead of made.
    mixed_versions: Whether numbers of different keys or splits may stand on one page, which then
      says so.
    typed: Names of the flags that stand on the command line itself.
    command: The command, with folders of this machine replaced.
    known: From a configuration to `Inputs.identity` of its images and model; None where it can't be
      told.
  """

  name: str
  tasks: tuple[Task, ...]
  seeds: tuple[int, ...]
  out: pathlib.Path
  cache: pathlib.Path
  evaluation: str = "paper"
  attack: str = "pgd"
  eps: tuple[float, ...] | None = None
  methods: tuple[str, ...] = ()
  defenses: Mapping[str, str] = dataclasses.field(default_factory=dict)
  dp: bool = False
  study: str = ""
  only_cached: bool = False
  mixed_versions: bool = False
  typed: frozenset[str] = frozenset()
  command: str = ""
  known: Callable[[Config], str | None] = lambda config: None

  @property
  def attack_text(self) -> str:
    """Its attacks in words, as they begin a sentence."""
    if self.evaluation == "paper":
      return self.attack.upper()
    return f"Worst of the attacks of --evaluation={self.evaluation}, image by image"
