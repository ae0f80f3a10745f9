"""Tables under suites, from the trainings of the paper's evaluation; the first suite is stopped."""

import dataclasses
import os
import signal

import pytest

from fedsafe_tff.commands import table1, train
from fedsafe_tff.data import sums
from fedsafe_tff.evaluation import suites
from fedsafe_tff.evaluation.transfer import Evaluator
from fedsafe_tff.runs import attackers, loop, trials
from tests.commands.tables import rows, trainings, words
from tests.runs import tiny

pytestmark = pytest.mark.usefixtures("built_once")
# Of the strong suite: with all, the tests of runs put one through it.
ATTACKERS = (
  "own_copy", "noise_ensemble", "averaging", "round_history", "colluding_mean", "imitation"
)  # fmt: skip
FAILED = {"name": "black_box", "passed": False, "value": 0.5, "text": "a black box does better"}
FEW = {"methods": "none,distributed_noise", "attack_eps": 0.1, "attack_images": 6}


def short(suite):
  """The first trial of some attackers, with two steps; two of the own copy, which differ."""
  suite = suite.of_classes(2)
  first = {t.attacker: t for t in reversed(suite.trials) if t.attacker in ATTACKERS}
  chosen = [*reversed(first.values()), suite.trials[1]]
  steps = (dataclasses.replace(t, settings={**t.settings, "steps": 2}) for t in chosen)
  return dataclasses.replace(suite, trials=tuple(steps))


def table(folder, name, **changes):
  """Makes a table into a folder of its own."""
  return table1.table1(words(folder, name, **(FEW | changes)))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """The folder with the tables of all three evaluations and what the suites attacked."""
  folder = tmp_path_factory.mktemp("under_suites")
  trains = loop.train
  with pytest.MonkeyPatch.context() as patch:
    assert table(folder, "paper") == 0
    before = {p: p.read_bytes() for p in (folder / "sweep").rglob("*") if p.is_file()}
    patch.setattr(loop, "train", None)  # calling it fails
    for name, suite in suites.SUITES.items():
      patch.setitem(suites.SUITES, name, short(suite))
    patch.setattr(attackers.Attackers, "masking", lambda self, eps, log, full: {
      "passed": False, "eps": eps, "checks": [FAILED], "full": full
    })
    add, real = trials.Kept.add, Evaluator.attack
    attacked = []

    def attack(self, spec, attacker=None, before=None):
      attacked.append((spec.name, spec.loss))
      return real(self, spec, attacker, before)

    def add_and_stop(self, attempt, result):
      add(self, attempt, result)
      os.kill(os.getpid(), signal.SIGTERM)

    patch.setattr(Evaluator, "attack", attack)
    patch.setattr(trials.Kept, "add", add_and_stop)
    assert table(folder, "standard", evaluation="standard") == 1
    assert len(attacked) == 1
    patch.setattr(trials.Kept, "add", add)
    counts = {}
    for name in ("standard", "strong"):
      assert table(folder, name, evaluation=name) == 0
      counts[name] = len(attacked)
    patch.setattr(loop, "train", trains)
    yield folder, before, counts


def test_nothing_is_trained_twice_and_the_papers_evaluations_stay(made):
  folder, before, _ = made
  for path, content in before.items():
    now = path.read_bytes()  # checksums are added to those that are there
    assert now.startswith(content) if path.name == sums.NAME else now == content
  assert len(trainings(folder)) == 1
  found = rows(folder / "paper" / "numbers.csv")
  assert table(folder, "paper") == 0
  assert rows(folder / "paper" / "numbers.csv") == found and len(found) == 2


def test_a_stopped_suite_goes_on_and_suites_share_trials(made):
  _, _, counts = made
  # Two trials of the own copy for each method; the first was there after the stop.
  assert counts["standard"] == 1 + 3
  strong = suites.SUITES["strong"]
  assert strong.attackers == ATTACKERS and len(strong.trials) == len(ATTACKERS) + 1
  # Those of the own copy are there. With one model for all there is no noise and nobody to collude.
  assert counts["strong"] - counts["standard"] == len({"round_history"}) + len(
    {"noise_ensemble", "averaging", "round_history", "colluding_mean"}
  )


def test_the_page_shows_what_robustness_costs(made):
  folder, _, _ = made
  page = (folder / "strong" / "README.md").read_text()
  [picture] = (folder / "strong").glob("frontier_*.png")
  assert f"({picture.name})" in page and picture.stat().st_size > 5000
  numbers = rows(folder / "strong" / "numbers.csv")
  assert not {"training_seconds", "by_image"} & numbers[0].keys()
  assert not list((folder / "paper").glob("frontier_*"))


def test_the_page_compares_defences_on_the_same_images(made):
  folder, _, _ = made
  assert "## The same images under two defences" in (folder / "strong" / "README.md").read_text()
  own, other = rows(folder / "strong" / "pairs.csv")
  assert (own["side"], other["side"]) == ("self", "avg") and own["seeds"] == "1"
  stored = {}
  for row in rows(folder / "strong" / "numbers.csv"):
    stored[row["method"]] = tiny.read_json(folder / "sweep" / row["evaluation"])
  first, second = (stored[name]["by_image"]["self"] for name in stored)
  assert len(first) == len(second) == int(own["images"]) == stored["none"]["attacked_images"]
  assert float(own["robust_first"]) == first.count("1") / len(first)
  assert float(own["robust_second"]) == second.count("1") / len(second)


def test_numbers_are_by_attacker_and_all_together_is_the_worst(made):
  folder, _, _ = made
  numbers = rows(folder / "strong" / "numbers.csv")
  own = [row for row in numbers if row["method"] == "distributed_noise"]
  assert [row["attacker"] for row in own] == [*ATTACKERS[:-1], "worst"]
  for rate in ("asr_self", "asr_self_correct"):
    assert max(float(row[rate]) for row in own) == float(own[-1][rate])
  assert min(float(row["attack_accuracy_self"]) for row in own) == float(
    own[-1]["attack_accuracy_self"]
  )
  stored = tiny.read_json(folder / "sweep" / own[-1]["evaluation"])
  assert stored["result"]["attacker"] == "worst" and stored["config"]["evaluation"] == "strong"
  assert [r["attacker"] for r in stored["results"]] == [row["attacker"] for row in own]
  assert {t["attack"] for t in stored["trials"] if t["attacker"] == "own_copy"} == {
    trial.attack for trial in suites.SUITES["strong"].trials if trial.attacker == "own_copy"
  }
  assert set(stored["left_out"]) == {"imitation"}
  assert stored["masking"] == {"passed": False, "eps": 0.03, "checks": [FAILED], "full": False}
  assert len({row["clean_accuracy_all"] for row in own}) == 1
  one = rows(folder / "standard" / "numbers.csv")
  assert [row["attacker"] for row in one] == ["own_copy"] * 2


def test_the_page_names_the_strongest_and_who_was_left_out(made):
  folder, _, _ = made
  page = (folder / "strong" / "README.md").read_text()
  assert "## Under the worst of all attackers" in page and "--evaluation=strong" in page
  assert "## Attacker noise_ensemble" in page and "## Beside the paper" in page
  assert "left out: noise_ensemble (all clients hold one model), for undefended" in page
  assert "- averaging: the mean of 4 copies of the last global model, all but one drawn" in page
  assert "left out: imitation" in page and "masking: all checks passed in 0 of 2 models" in page
  assert "may be masked**: phantom, undefended, seed 0: black_box: a black box does" in page
  for name in ("strongest.csv", "attacker_round_history.tex", "attacker_own_copy.md"):
    assert (folder / "strong" / name).is_file()
  strongest = {row["method"]: row for row in rows(folder / "strong" / "strongest.csv")}
  numbers = rows(folder / "strong" / "numbers.csv")
  for method, row in strongest.items():
    here = [r for r in numbers if r["method"] == method]
    assert float(row["asr_self"]) == float(here[-1]["asr_self"])
    rates = {r["attacker"]: float(r["asr_self"]) for r in here[:-1]}
    assert rates[row["strongest_asr_self"]] == max(rates.values())
    assert float(row["strongest_asr_self_rate"]) == max(rates.values())
  standard = (folder / "standard" / "README.md").read_text()
  assert "- no attacker was left out" in standard and "--evaluation=standard" in standard
  assert not (folder / "standard" / "attacker_own_copy.md").exists()


def test_the_numbers_are_those_of_a_run_of_its_own(made, tmp_path):
  folder, _, _ = made
  changes = {"defense": "distributed_noise", "noise_seed": 4, "evaluation": "standard"}
  run = tiny.arguments(tmp_path, **changes, attack_eps=0.1, attack_images=6, keep_checkpoints=2)
  run = [word for word in run if not word.startswith("--attack_steps")]
  assert train.train(run) == 0
  [alone] = tiny.read_json(tmp_path / "run" / "evaluation.json")["results"]
  [row] = [
    r for r in rows(folder / "standard" / "numbers.csv") if r["method"] == "distributed_noise"
  ]
  for metric in ("asr_self", "asr_avg", "asr_self_correct", "attack_accuracy_avg"):
    assert float(row[metric]) == alone[metric], metric
