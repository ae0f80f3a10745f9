"""Training again what is in the cache without its model, as in an archive that leaves models out.

Results that are there stay. They hold for the new model too where it is the old one, bit for bit,
as on the same hardware; the manifest says whether its course was the same.
"""

import csv
import pathlib

from fedsafe_tff.paper.cache import read_json
from fedsafe_tff.paper.progress import SweepProgress
from fedsafe_tff.runs import run_dir

_TIMES = ("seconds",)


def begin(path: pathlib.Path, progress: SweepProgress) -> None:
  """Notes what a finished training was, before it is overwritten; does nothing for others."""
  manifest = read_json(path / "manifest.json")
  if not manifest.get("finished"):
    return
  progress.note(f"{path} holds no model: it is trained again")
  before = {name: manifest.get(name) for name in ("finished", "git_commit", "hardware")}
  run_dir.write_manifest(
    path,
    finished=None,
    training_seconds=0.0,
    trained_before=before | {"last_round": _last_round(path)},
  )


def end(path: pathlib.Path, progress: SweepProgress) -> None:
  """Compares the course of the training with the noted one, for the manifest and the user."""
  before = read_json(path / "manifest.json").get("trained_before")
  if not before:
    return
  now = _last_round(path)
  differing = [name for name, value in now.items() if before["last_round"].get(name) != value]
  run_dir.write_manifest(path, trained_before=before | {"differs_now": differing})
  if differing:
    name = differing[0]
    progress.note(
      f"{path} was trained again with another outcome than before (last round: {name} "
      f"{before['last_round'].get(name)}, now {now[name]}), as happens on other hardware: results "
      "from before rest on the model from before"
    )


def _last_round(path: pathlib.Path) -> dict[str, str]:
  """The last row of the metrics but for its times."""
  try:
    with (path / "metrics.csv").open(newline="") as file:
      rows = list(csv.DictReader(file))
  except OSError:
    rows = []
  return {name: value for name, value in rows[-1].items() if name not in _TIMES} if rows else {}
