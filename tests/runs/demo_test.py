"""What the demo shows: hard enough that accuracy is neither chance nor perfect."""

import pathlib

import pytest

from fedsafe_tff.commands import train
from tests.runs import tiny

PRESET = pathlib.Path(__file__).parents[2] / "flags" / "presets" / "demo-paper.flags"


@pytest.mark.slow
def test_the_demo_learns_and_attacks_succeed(tmp_path):
  words = [f"--flagfile={PRESET}", "--evaluation=paper", "--attacks=pgd", "--attack_eps=0.05"]
  assert train.train([*words, f"--run_dir={tmp_path / 'run'}", f"--cache_dir={tmp_path}"]) == 0
  evaluation = tiny.read_json(tmp_path / "run" / "evaluation.json")
  majority = evaluation["majority_class"]
  assert majority + 0.05 < evaluation["clean_accuracy_global"] < 0.97
  [result] = evaluation["results"]
  assert result["asr_self"] > 2 * result["random_noise_flip_rate"]
