"""Whole runs on a tiny phantom: what they leave behind."""

import os
import signal

import numpy as np
import pytest

from fedsafe_tff import versions
from fedsafe_tff.commands import compare, report, train
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.transfer import Evaluator
from fedsafe_tff.runs.config.defense import DEFENSES
from tests.runs import built_once, tiny

RESULT_KEYS = {
  "attacker", "attack", "eps", "clean_accuracy", "asr_self", "asr_avg", "asr_self_correct",
  "asr_avg_correct", "attack_accuracy_self", "attack_accuracy_avg", "random_noise_flip_rate",
  "zero_gradient_share", "intervals",
}


_NOISE_SEED = 3
_NOISY = ("distributed_noise", "noise_only", "combined")
_PLAIN = {"defense": "distributed_noise", "noise_seed": _NOISE_SEED}

PICTURES = True
pytestmark = pytest.mark.usefixtures("built_once")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """Run folders by defence."""
  folder = tmp_path_factory.mktemp("defenses")
  made = {}
  for defense in DEFENSES:
    changes = {"defense": defense, "run_dir": folder / defense}
    if defense not in ("server_adversarial_training", "distributed_noise", "combined"):
      changes["adaptation_epochs"] = None
    if defense in _NOISY:
      changes["noise_seed"] = _NOISE_SEED
    words = [w for w in tiny.arguments(folder, **changes) if not w.endswith("=None")]
    assert train.train(words) == 0
    made[defense] = folder / defense
  return made


@pytest.mark.parametrize("defense", DEFENSES)
def test_every_defense_leaves_a_whole_folder(finished, defense):
  run = finished[defense]
  evaluation = tiny.read_json(run / "evaluation.json")
  assert len(evaluation["results"]) == 4
  assert evaluation["result_versions"] == versions.current()
  for result in evaluation["results"]:
    assert set(result) == RESULT_KEYS
    assert result["attacker"] == "own_copy"
    none = ("attacker", "attack", "asr_self_correct", "asr_avg_correct", "intervals")
    assert all(0 <= v <= 1 for k, v in result.items() if k not in none)
    for name, (low, high) in result["intervals"].items():
      assert 0 <= low <= result[name] <= high <= 1 and high - low > 0.05  # of a few dozen images
  assert {"majority_class", "color_ridge"} <= set(evaluation["trivial_baselines"])
  assert [r["round"] for r in tiny.rows(run / "metrics.csv")] == ["1", "2"]
  assert len(tiny.rows(run / "clients.csv")) == 6
  assert len(tiny.rows(run / "transfer_matrix.csv")) == 4 * 9
  images = tiny.rows(run / "images.csv")
  assert len(images) == 4 * evaluation["attacked_images"]
  for result in evaluation["results"]:
    each = [row for row in images if (row["attack"], float(row["eps"])) == (result["attack"],
                                                                           result["eps"])]
    for name, column in (("asr", "flipped"), ("attack_accuracy", "right")):
      for side in ("self", "avg"):
        mean = np.mean([float(row[f"{column}_{side}"]) for row in each])
        assert mean == pytest.approx(result[f"{name}_{side}"])
  manifest = tiny.read_json(run / "manifest.json")
  noisy = defense in _NOISY
  assert manifest["seeds"] == {"seed": 0, "noise_seed": _NOISE_SEED if noisy else None}
  assert len(manifest["data_hash"]) == 64
  assert {"versions", "git_commit", "hardware", "finished"} <= set(manifest)
  assert manifest["result_versions"] == versions.current()
  assert manifest["threads"] >= 1 and not (run / "evaluation.partial").exists()
  assert tiny.read_json(run / "config.json")["defense"] == defense
  assert list((run / "checkpoints").iterdir()) and list((run / "tensorboard").iterdir())
  plots = {p.name for p in (run / "plots").iterdir()}
  assert plots == {
    "learning_curves.png", "client_labels.png", "transfer_matrix.png", "asr_against_eps.png",
    "triptych.png",
  }
  assert "http://" not in (run / "report.html").read_text().replace("http://www.w3.org", "")


@pytest.mark.usefixtures("without_pictures")
def test_the_worst_case_stands_beside_the_attacks(tmp_path):
  arguments = tiny.arguments(
    tmp_path, defense="noise_only", noise_seed=_NOISE_SEED, attack_worst_case=True,
    adaptation_epochs=None,
  )
  assert train.train([word for word in arguments if not word.endswith("=None")]) == 0
  evaluation = tiny.read_json(tmp_path / "run" / "evaluation.json")
  worst = {entry["eps"]: entry["asr_self"] for entry in evaluation["worst_case"]}
  assert list(worst) == [0.01, 0.1]
  for result in evaluation["results"]:
    assert result["asr_self"] <= worst[result["eps"]] <= 1
  assert "<td>any</td>" in (tmp_path / "run" / "report.html").read_text()


def test_defenses_differ_where_they_should_and_only_there(finished):
  none, noise = tiny.models(finished["none"]), tiny.models(finished["noise_only"])
  adapted = tiny.models(finished["server_adversarial_training"])
  both = tiny.models(finished["distributed_noise"])
  local = tiny.models(finished["local_adversarial_training"])
  kernel = "global/00"
  np.testing.assert_array_equal(none[kernel], noise[kernel])  # noise comes after the training
  np.testing.assert_array_equal(adapted[kernel], both[kernel])
  assert (none[kernel] != adapted[kernel]).any() and (none[kernel] != local[kernel]).any()
  assert "client_00000/00" not in none  # every client holds the global model
  for models in (noise, both):
    copies = [models[f"client_0000{k}/00"] for k in range(3)]
    assert (copies[0] != copies[1]).any() and (copies[1] != copies[2]).any()
    spread = np.std([copy - models[kernel] for copy in copies])
    assert 0.006 < spread < 0.014  # --downlink_sigma is 0.01


def test_robust_accuracy_is_told_where_a_defence_trains_for_it(finished):
  for name, run in finished.items():
    rows = tiny.rows(run / "metrics.csv")
    told = [row["robust_validation_accuracy"] for row in rows]
    if name in ("none", "noise_only"):
      assert set(told) == {""}
    else:
      pairs = [(t, r["validation_accuracy"]) for t, r in zip(told, rows) if t]
      assert all(0 <= float(robust) <= float(clean) for robust, clean in pairs)
      adapting = name in ("server_adversarial_training", "distributed_noise")  # in the last round
      assert len(pairs) == (1 if adapting else 2)


@pytest.mark.usefixtures("without_pictures")
def test_the_same_seed_gives_the_same_bits_and_another_does_not(finished, tmp_path):
  with built_once.anew():
    assert train.train(tiny.arguments(tmp_path, **_PLAIN)) == 0
  tiny.assert_same_models(tmp_path / "run", finished["distributed_noise"])
  other = tiny.arguments(tmp_path, **_PLAIN, seed=1, run_dir=tmp_path / "1")
  assert train.train(other) == 0
  mine, theirs = tiny.models(tmp_path / "1"), tiny.models(tmp_path / "run")
  assert (mine["global/00"] != theirs["global/00"]).any()


def test_reports_and_comparisons_of_runs(finished, capsys):
  page = finished["none"] / "report.html"
  before = page.read_text()
  page.unlink()
  report.report([str(finished["none"])])
  assert page.read_text() == before and f"report: {page}" in capsys.readouterr().out
  compare.compare([str(finished[d]) for d in ("none", "distributed_noise")])
  lines = capsys.readouterr().out.splitlines()
  evaluation = tiny.read_json(finished["distributed_noise"] / "evaluation.json")
  # The runs; then each attack's own and others' copies on the same images; then warnings.
  assert sum(line.startswith("|") for line in lines) == (2 + 2) + (2 + 4 * 2)
  assert "| phantom, none |" in lines[2].replace("two_class, ", "")
  assert f"{evaluation['results'][0]['asr_self']:.3f}" in lines[3]


def test_another_configuration_is_refused_with_its_flags(finished):
  words = tiny.arguments(
    finished["distributed_noise"].parent, defense="distributed_noise", learning_rate=0.5,
    run_dir=finished["distributed_noise"],
  )
  with pytest.raises(UserError, match="--learning_rate: 0.02 there, 0.5 here"):
    train.train(words)


@pytest.mark.usefixtures("without_pictures")
def test_attacks_that_were_made_are_not_made_again(finished, tmp_path, monkeypatch):
  attacked = []
  real = Evaluator.attack

  def attack(self, spec, attacker=None, before=None):
    attacked.append((spec.name, spec.eps))
    if len(attacked) == 2:
      os.kill(os.getpid(), signal.SIGTERM)
    return real(self, spec, attacker, before)

  monkeypatch.setattr(Evaluator, "attack", attack)
  words = tiny.arguments(tmp_path, **_PLAIN)
  assert train.train(words) == 1 and len(attacked) == 2
  assert train.train(words) == 0
  assert attacked == [("fgsm", 0.01), ("fgsm", 0.1), ("pgd", 0.01), ("pgd", 0.1)]
  whole = finished["distributed_noise"]
  for name in ("evaluation.json", "transfer_matrix.csv"):
    assert (tmp_path / "run" / name).read_text() == (whole / name).read_text()
