"""Command lines of tables and figures on a tiny phantom, and what these leave behind."""

import csv

from tests.runs import tiny

SETTINGS = {
  name: value
  for name, value in tiny.FLAGS.items()
  if name != "attack_eps"
} | {
  # The preset of the phantom has a training of its own; this one is that of `tiny`.
  "learning_rate_schedule": "constant",
  "momentum": 0.0,
  "gradient_clip": 0.0,
  "clip_norm": 20.0,
  "uplink_sigma": 0.001,
  "noise_seed": 4,
}


def words(folder, name, **changes):
  """The command line of a table or figure; the last of equal flags counts."""
  settings = SETTINGS | {
    "tasks": "phantom",
    "seeds": "0",
    "out": folder / name,
    "cache": folder / "sweep",
    "cache_dir": tiny.cache(),
  }
  preset = folder / "tiny.flags"
  preset.write_text("".join(f"--{k}={v}\n" for k, v in settings.items()))
  return [f"--flagfile={preset}", f"--out={folder / name}", *(
    f"--{k}={v}" for k, v in changes.items()
  )]


def rows(path):
  """Rows of a CSV file."""
  with path.open(newline="") as file:
    return list(csv.DictReader(file))


def trainings(folder):
  """The trainings in the cache, by name."""
  return {p.name: p for p in (folder / "sweep" / "trainings").iterdir()}
