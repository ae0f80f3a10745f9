"""The checks of a machine with a GPU: their parts, on a machine without one."""

import argparse

import numpy as np

from benchmarks import card, placement, repeats

LOG = """
2026-01-01 10:00:00.1: I tensorflow/core/common_runtime/placer.cc:125] while/body/conv: (Conv2D): \
/job:localhost/replica:0/task:0/device:GPU:0
read: (ReadFile): /job:localhost/replica:0/task:0/device:CPU:0
conv/1: (Conv2D): /job:localhost/replica:0/task:0/device:GPU:1
round 1/32 accuracy (0.5): fine
"""


def test_placements_are_counted_by_device():
  counts = placement.count(LOG.splitlines())
  assert counts == {"GPU": {"Conv2D": 2}, "CPU": {"ReadFile": 1}}


def test_distance_between_runs(tmp_path):
  for name, weights in (("a", [1.0, 2.0]), ("b", [1.0, 2.5])):
    (tmp_path / name / "models").mkdir(parents=True)
    np.savez(tmp_path / name / "models" / "global.npz", w=np.array(weights), same=np.ones(3))
  assert repeats._distance(tmp_path / "a", tmp_path / "b") == 0.5
  assert repeats._distance(tmp_path / "a", tmp_path / "a") == 0.0


def test_a_step_that_fails_stops_none_after_it(tmp_path, monkeypatch):
  commands = {"check": ["benchmarks.no_such_module"], "demo": ["benchmarks.flops"]}
  monkeypatch.setattr(card, "_command", lambda step, values: commands[step])
  assert card.card([f"--out={tmp_path}", "--steps=check,demo"]) == 1
  table = (tmp_path / "card.md").read_text().splitlines()
  assert table[2].startswith("| check | 1 |") and table[3].startswith("| demo | 0 |")
  assert "no_such_module" in (tmp_path / "check.log").read_text()
  assert (tmp_path / "demo.log").read_text().startswith("benchmarks.flops")


def test_flags_of_the_trainings_are_known(tmp_path):
  from fedsafe_tff.runs.flags import command_line

  values = argparse.Namespace(out=tmp_path, data_dir="folder", paper_rounds=2)
  commands = {step: card._command(step, values) for step in card.STEPS}
  trainings = [c[1:] for c in commands.values() if c[0] == "experiments.train"]
  # These hand their flags on to a training.
  trainings += [commands[step][1:] for step in ("placement", "repeats")]
  for arguments in trainings:
    command_line.parse(arguments, "doc")
  paper = command_line.parse(commands["paper"][1:], "doc")
  assert (paper.rounds, paper.local_epochs, paper.conv_widths) == (2, 20, "wide")
