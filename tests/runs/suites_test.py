"""Runs under the suites: rows by attacker, what is left out, what is kept when one is stopped."""

import types

import numpy as np
import pytest

from fedsafe_tff.commands import train
from fedsafe_tff.evaluation.masking import Check, MaskingReport
from fedsafe_tff.evaluation.suites import SUITES, Suite
from fedsafe_tff.runs import attackers, evaluate
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.config.evaluation import SUITES as NAMES
from fedsafe_tff.runs.report.run_folder import RunFolder
from fedsafe_tff.runs.report.table import summary
from tests.runs import tiny

pytestmark = pytest.mark.usefixtures("built_once")


def test_flags_and_library_know_the_same_suites():
  assert set(NAMES) == {"paper", *SUITES}


def words(folder, **changes):
  without = ("--attack_steps", *(f"--{name}=None" for name in changes))
  changes = {"rounds": 1, "attack_eps": 0.1, "attack_images": 4} | changes
  found = tiny.arguments(folder, **changes)
  return [w for w in found if not w.startswith(without) and not w.endswith("=None")]


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
  folder = tmp_path_factory.mktemp("standard")
  changes = {"rounds": 2, "evaluation": "standard", "defense": "noise_only", "noise_seed": 3}
  assert train.train(words(folder, adaptation_epochs=None, **changes)) == 0
  return folder / "run"


def test_standard_is_the_worst_of_its_trials_image_by_image(standard):
  evaluation = tiny.read_json(standard / "evaluation.json")
  assert evaluation["evaluation"] == "standard" and evaluation["attacked_images"] == 4
  trials, [row] = evaluation["trials"], evaluation["results"]
  # The task has two classes, and of two attacks that climb alike one is run.
  run = SUITES["standard"].of_classes(2).trials
  assert [t["attack"] for t in trials] == [t.attack for t in run] and len(run) == 2
  assert (row["attacker"], row["attack"]) == ("own_copy", "worst of 2")
  for rate, accuracy in (("asr_self", "attack_accuracy_self"), ("asr_avg", "attack_accuracy_avg")):
    assert row[rate] >= max(t[rate] for t in trials)
    assert row[accuracy] <= min(t[accuracy] for t in trials)
  matrix = tiny.rows(standard / "transfer_matrix.csv")
  assert len(matrix) == 3 * 9 and matrix[0]["attacker"] == "own_copy"
  assert not (standard / "evaluation.partial").exists()


def test_masking_is_checked_and_told(standard):
  masking = tiny.read_json(standard / "evaluation.json")["masking"]
  names = {check["name"] for check in masking["checks"]}
  assert masking["eps"] == 0.1
  assert {"zero_gradients", "large_eps", "black_box", "random_noise", "restarts"} <= names
  text = summary(RunFolder.read(standard))
  for check in masking["checks"]:
    told = f"({check['name']})" in text
    assert told == (check["passed"] is False)


def test_masking_is_asked_at_the_largest_size():
  asked = []
  who = types.SimpleNamespace(
    masking_name=lambda eps, full: f"{eps}", masking=lambda eps, log, full: asked.append(eps)
  )
  kept = types.SimpleNamespace(remember=lambda name, make: make())
  config = Config(evaluation="standard", attack_eps=(0.05, 0.1, 0.02))
  evaluate._masking(config, SUITES["standard"], who, kept, lambda text: None)
  assert asked == [0.1]


def test_a_check_that_fails_is_a_warning_on_the_console(monkeypatch):
  report = MaskingReport(
    (Check("restarts", True, 0.0, "fine"), Check("large_eps", False, 0.4, "0.4 of all")), {}, {}, 4
  )
  monkeypatch.setattr(attackers, "check_masking", lambda *given, **how: report)
  images = np.zeros((4, 2, 2, 1), np.float32), np.zeros(4, np.int32)
  run = types.SimpleNamespace(
    _prepared=types.SimpleNamespace(images=lambda part: images, model=None),
    _config=types.SimpleNamespace(evaluation_batch_size=4), _copies=[()], _key=None,
  )  # fmt: skip
  told = []
  found = attackers.Attackers.masking(run, 0.1, told.append)
  assert told == ["warning: robustness may be masked (large_eps): 0.4 of all"]
  assert found["passed"] is False and found["eps"] == 0.1


def test_earlier_global_models_are_kept_for_an_insider(tmp_path):
  changes = {"rounds": 3, "keep_checkpoints": 3, "evaluation": "paper", "attacks": "fgsm"}
  assert train.train(words(tmp_path, adaptation_epochs=None, defense="none", **changes)) == 0
  history = tmp_path / "run" / "models" / "history"
  assert [file.name for file in sorted(history.glob("*.npz"))] == [
    "round_00001.npz", "round_00002.npz",
  ]
  with np.load(history / "round_00002.npz") as before:
    with np.load(tmp_path / "run" / "models" / "global.npz") as last:
      assert before.files == last.files and (before["00"] != last["00"]).any()


def test_possible_trials_are_those_of_attackers_that_there_are():
  strong = SUITES["strong"]
  assert {t.attacker for t in strong.possible(["surrogate", "averaging"])} == {
    "surrogate", "averaging",
  }
  assert Suite("x", strong.trials).attackers[0] == "own_copy"
  for trial in strong.trials:
    assert trial.spec(0.03).eps == 0.03  # all fit the attack that they name
