"""Reads a run folder, also that of an interrupted run."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fedsafe_tff import users_code
from fedsafe_tff.data import sums
from fedsafe_tff.data.formats import npy
from fedsafe_tff.data.formats.frame import Unreadable
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.report import stored_facts
from fedsafe_tff.training import own
from fedsafe_tff.training.registry import Defense, defense_of

Row = dict[str, Any]
_GROWING = ("metrics.csv", "clients.csv", "adaptation.csv")
OWN_COPY = "own_copy"  # the attacker of results that name none: older ones knew no other


@dataclasses.dataclass(frozen=True, eq=False)
class RunFolder:
  """What a run left behind; missing files are empty.

  Attributes:
    path: The folder.
    config: Flag name to value.
    manifest: Facts of the run.
    metrics: A row per round.
    clients: A row per round and client.
    partition: Label counts.
    evaluation: Results of the attacks.
    transfer: A row per attack, size, adversary and victim.
    examples: Arrays of Figure 1.
    again: Results of later attacks on the run, by the folder's name below `attacks/`.
    passes: A row per pass of an iterated adaptation.
    privacy: What is guaranteed of the clients' images; runs of before have none.
    audit: What attacks on that found.
    images: A row per attack, size and attacked image; older runs have none.
    images_again: The same of later attacks, by the folder's name below `attacks/`.
  """

  path: pathlib.Path
  config: dict[str, Any]
  manifest: dict[str, Any]
  metrics: list[Row]
  clients: list[Row]
  partition: dict[str, Any]
  evaluation: dict[str, Any]
  transfer: list[Row]
  examples: dict[str, np.ndarray]
  again: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
  passes: list[Row] = dataclasses.field(default_factory=list)
  privacy: dict[str, Any] = dataclasses.field(default_factory=dict)
  audit: dict[str, Any] = dataclasses.field(default_factory=dict)
  images: list[Row] = dataclasses.field(default_factory=list)
  images_again: dict[str, list[Row]] = dataclasses.field(default_factory=dict)

  @classmethod
  def read(
    cls, path: str | pathlib.Path, damaged: list[str] | None = None
  ) -> "RunFolder":
    """Reads `path`.

    Args:
      path: The run folder.
      damaged: Takes the names of damaged files, which are left out then; None makes them errors.

    Raises:
      UserError: It is no run folder, or a file in it is damaged; its settings and facts always may
        not be.
    """
    path = pathlib.Path(path)
    if not (path / "config.json").is_file():
      raise UserError(f"{path} is not a run folder: it has no config.json")
    read = _Reader(path, damaged)
    return cls(
      path=path,
      config=_Reader(path).json("config.json"),
      manifest=_Reader(path).json("manifest.json"),
      metrics=read.table("metrics.csv"),
      clients=read.table("clients.csv"),
      partition=read.json("partition.json"),
      evaluation=read.json("evaluation.json"),
      transfer=read.table("transfer_matrix.csv"),
      examples=read.arrays("examples.npz"),
      again={
        file.parent.name: read.json(f"attacks/{file.parent.name}/{file.name}")
        for file in sorted((path / "attacks").glob("*/evaluation.json"))
      },
      passes=read.table("adaptation.csv"),
      privacy=read.json("privacy.json"),
      audit=read.json("audit/audit.json"),
      images=read.table("images.csv"),
      images_again={
        file.parent.name: read.table(f"attacks/{file.parent.name}/{file.name}")
        for file in sorted((path / "attacks").glob("*/images.csv"))
      },
    )

  def title(self) -> str:
    """Data set, task and method."""
    algorithm = self.config.get("algorithm", "fedsafe")
    method = self.config.get("defense") if algorithm == "fedsafe" else algorithm
    method = "+".join(users_code.short_name(part) for part in str(method).split("+"))
    data = f"{self.config.get('dataset', '?')} {self.config.get('task', '')}".strip()
    return f"{data}, {method}"

  def training_seconds(self) -> float | None:
    """What its rounds and the copies of its clients took; None where that is not known."""
    rounds = self.column("seconds")[1]
    copies = self.manifest.get("copies_seconds")
    if copies is None and _parts(self.config).adapts_copies:
      return None  # from before it was measured
    return float(rounds.sum()) + (copies or 0.0) if len(rounds) else None

  def heals_copies(self) -> bool:
    """Whether the server adapted each client's copy."""
    return _parts(self.config).adapts_copies

  def trains_on_attacked(self) -> bool:
    """Whether its clients trained on attacked images: their accuracy is that on these."""
    return _parts(self.config).gradient is not None

  def column(self, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rounds and values of a metric, without empty cells."""
    pairs = [(r["round"], r[name]) for r in self.metrics if isinstance(r.get(name), float)]
    rounds, values = zip(*pairs) if pairs else ((), ())
    return np.array(rounds, float), np.array(values, float)

  def matrices(
    self, key: str = "asr", attacker: str | None = None
  ) -> dict[tuple[str, float], np.ndarray]:
    """(attack, eps) to the N x N matrix of `key`; rows are adversaries, in the clients' order.

    Where clients were sampled, N are those that there are.

    Args:
      key: A column of `transfer_matrix.csv`.
      attacker: Whose attacks; None for everybody's, where no two attackers share an attack.
    """
    known = {int(row[side]) for row in self.transfer for side in ("adversary", "victim")}
    place = {client: index for index, client in enumerate(sorted(known))}
    made: dict[tuple[str, float], np.ndarray] = {}
    for row in self.transfer:
      if attacker not in (None, row.get("attacker", OWN_COPY)):
        continue
      name = (row["attack"], row["eps"])
      if name not in made:  # an array for every row would make it N^2 of N^2
        made[name] = np.full([len(place), len(place)], np.nan)
      if isinstance(row.get(key), float):
        made[name][place[int(row["adversary"])], place[int(row["victim"])]] = row[key]
    return made


def names(runs: Sequence[RunFolder]) -> list[str]:
  """Names of runs that differ: their titles, with the folder, or its path, where two are alike."""
  made = [run.title() for run in runs]
  for place in (lambda path: path.name, str):
    alike = [made.count(name) > 1 for name in made]
    made = [
      f"{run.title()} ({place(run.path)})" if is_alike else name
      for name, is_alike, run in zip(made, alike, runs)
    ]
  return made


def _parts(run_config: dict[str, Any]) -> Defense:
  # A user's file may be gone: of what it does nothing is told that is not stored.
  name = str(run_config.get("defense", "none"))
  ours = [part for part in name.split("+") if not own.is_own(part)]
  return defense_of("+".join(ours)) if ours else Defense()


class _Reader:
  """Reads files of a run folder; missing ones are empty, and damaged ones an error or noted."""

  def __init__(self, folder: pathlib.Path, damaged: list[str] | None = None):
    self._folder, self._damaged = folder, damaged

  def _read(self, name: str, read: Callable[[pathlib.Path], Any], empty: Any) -> Any:
    path = self._folder / name
    if not path.is_file():
      return empty
    try:
      return read(path)
    except UserError:
      if self._damaged is None:
        raise
      self._damaged.append(name)
      return empty

  def json(self, name: str) -> dict[str, Any]:
    """A JSON file."""

    def read(path):
      sums.check(path)
      return stored_facts.read_json(path)

    return self._read(name, read, {})

  def arrays(self, name: str) -> dict[str, np.ndarray]:
    """The examples' `.npz`."""

    def read(path):
      sums.check(path)
      return _examples(path)

    return self._read(name, read, {})

  def table(self, name: str) -> list[Row]:
    """A CSV file."""

    def read(path):
      if name not in _GROWING:
        sums.check(path)
        return stored_facts.read_csv(path)
      data, whole = sums.read_table(path)
      if not whole:
        raise sums.Damaged(
          f"{path} is damaged: its rows are not those that were written: run the command that made "
          "it again, or take it from a copy"
        )
      return stored_facts.parse_csv(path, data)

    return self._read(name, read, [])


_IMAGES = ("original", "perturbation", "adversarial")
_VALUES = (
  "label", "predicted_before", "predicted_after", "probability_before", "probability_after",
)  # fmt: skip


def _examples(path: pathlib.Path) -> dict[str, np.ndarray]:
  """The arrays of Figure 1, all of them as a run writes them."""
  try:
    arrays = npy.read_stored(path)
    if not arrays:
      return {}
    shape = arrays["original"].shape
    right = len(shape) == 4 and shape[-1] in (1, 3) and min(shape) > 0 and shape[0] <= 64
    right &= all(arrays[n].shape == shape and arrays[n].dtype.kind == "f" for n in _IMAGES)
    right &= all(arrays[n].shape == shape[:1] and arrays[n].dtype.kind in "iuf" for n in _VALUES)
    names = arrays["class_names"]
    right &= names.dtype.kind == "U" and names.ndim == 1 and arrays["attack"].dtype.kind == "U"
    right &= arrays["eps"].shape == () and arrays["eps"].dtype.kind == "f"
    for name in ("label", "predicted_before", "predicted_after"):
      right &= arrays[name].dtype.kind in "iu" and bool(
        ((arrays[name] >= 0) & (arrays[name] < len(names))).all()
      )
    right = right and all(np.isfinite(arrays[n]).all() for n in (*_IMAGES, "eps"))
  except (Unreadable, KeyError) as error:
    raise UserError(f"{path} is damaged ({error}): remove it, the report goes without") from None
  if not right:
    raise UserError(
      f"{path} is damaged (arrays of other shapes or types than a run writes): remove it, the "
      "report goes without"
    )
  return arrays
