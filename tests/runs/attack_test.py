"""A finished run is attacked again, by all who know its defence, and so are files of models."""

import dataclasses
import functools
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff.commands import attack, train
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation import suites
from fedsafe_tff.evaluation.transfer import Evaluator
from fedsafe_tff.runs import attackers
from fedsafe_tff.runs.load import load_run
from tests.runs import tiny

try:  # here, and not within a test: ART sets up logging anew, which closes what pytest captures in
  import art
except ImportError:
  art = None

pytestmark = pytest.mark.usefixtures("built_once")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  folder = tmp_path_factory.mktemp("attacked")
  changes = {"rounds": 2, "defense": "noise_only", "noise_seed": 3, "attacks": "fgsm"}
  words = tiny.arguments(folder, **changes, attack_eps=0.1, attack_images=4)
  idle = ("--adaptation_epochs", "--attack_steps")
  assert train.train([word for word in words if not word.startswith(idle)]) == 0
  return folder / "run"


@pytest.fixture
def few_steps(monkeypatch):
  """Every attacker of the strong suite once, with two steps."""
  first = {trial.attacker: trial for trial in reversed(suites.SUITES["strong"].trials)}
  trials = tuple(
    dataclasses.replace(t, settings={**t.settings, "steps": 2}) for t in reversed(first.values())
  )
  short = suites.Suite("strong", trials, images=4)
  monkeypatch.setitem(suites.SUITES, "strong", short)
  check = functools.partial(attackers.check_masking, steps=2, restarts=1, queries=3, draws=1)
  monkeypatch.setattr(attackers, "check_masking", check)
  return short


def test_a_finished_run_is_attacked_by_all_who_know_it(run, few_steps, capsys, monkeypatch):
  before = (run / "evaluation.json").read_text()
  words = [str(run), "--attack_eps=0.1"]
  assert attack.attack(words) == 0
  out = capsys.readouterr().out
  found = tiny.read_json(run / "attacks" / "strong" / "evaluation.json")
  rows = {row["attacker"]: row for row in found["results"]}
  assert set(rows) == set(few_steps.attackers) - {"imitation"} | {"worst"}
  assert "noise_ensemble imitates" in found["left_out"]["imitation"]
  worst = rows.pop("worst")
  assert all(row["asr_self"] <= worst["asr_self"] for row in rows.values())
  assert all(worst["attack_accuracy_self"] <= row["attack_accuracy_self"] for row in rows.values())
  assert worst["attack"] == f"worst of {len(rows)}" and found["attacked_images"] == 4
  assert f"attack {len(rows)}/{len(rows)}: " in out and "left 0:00" in out
  assert (run / "evaluation.json").read_text() == before
  page = (run / "report.html").read_text()
  assert "Evaluated again: strong" in page and "black_box asks each victim" in page
  assert {check["name"] for check in found["masking"]["checks"]} >= {"black_box", "surrogate"}

  def forbidden(*args):
    raise AssertionError("attacked twice")

  kept = sorted(file.name for file in (run / "attacks" / "surrogates").glob("*.npz"))
  assert kept == [f"client_{client:05d}.npz" for client in range(3)]
  monkeypatch.setattr(Evaluator, "attack", forbidden)
  assert attack.attack(words) == 0  # all of it is on disk
  assert tiny.read_json(run / "attacks" / "strong" / "evaluation.json") == found


@pytest.fixture
def one_attacker(few_steps, monkeypatch):
  """The first trial alone, without a look for masks."""
  short = dataclasses.replace(few_steps, trials=few_steps.trials[:1])
  monkeypatch.setitem(suites.SUITES, "strong", short)
  monkeypatch.setattr(attackers.Attackers, "masking", lambda *args: {})


def test_what_was_made_of_other_sizes_stays_and_the_rest_is_made(run, one_attacker, monkeypatch):
  made = []
  real = Evaluator.attack

  def attacks(self, spec, attacker=None, before=None):
    made.append(spec.eps)
    return real(self, spec, attacker, before)

  monkeypatch.setattr(Evaluator, "attack", attacks)
  attack.attack([str(run), "--attack_eps=0.1"])
  attack.attack([str(run), "--attack_eps=0.1,0.2"])
  assert made.count(0.2) == 1 and made.count(0.1) <= 1


def test_clients_may_use_what_they_train_of_their_copies(run, one_attacker):
  attack.attack([str(run), "--attack_eps=0.1", "--clients_use=trained"])
  found = tiny.read_json(run / "attacks" / "strong-trained" / "evaluation.json")
  received = tiny.read_json(run / "evaluation.json")["clean_accuracy_clients"]
  assert len(found["clean_accuracy_clients"]) == len(received) == 3
  assert (run / "attacks" / "strong-trained" / "by_image" / "identity.json").is_file()


@pytest.mark.skipif(art is None, reason="the extra art is not installed: make setup-test")
def test_any_attack_under_any_attacker(run, few_steps, capsys, monkeypatch):
  monkeypatch.setattr(attackers.Attackers, "masking", lambda *args: {})
  words = [str(run), "--attack_eps=0.1", "--attackers=own_copy,noise_ensemble,black_box_labels"]
  words += ["--attack=art:HopSkipJump:max_iter=1,init_eval=2,max_eval=2,init_size=2"]
  before = set((run / "attacks").glob("*")) if (run / "attacks").is_dir() else set()
  assert attack.attack([*words, "--attack_images=2"]) == 0
  (folder,) = set((run / "attacks").glob("*")) - before
  assert folder.name.startswith("chosen-")
  found = tiny.read_json(folder / "evaluation.json")
  assert found["evaluation"] == "chosen" and found["attacked_images"] == 2
  rows = {row["attacker"]: row for row in found["results"]}
  assert set(rows) == {"own_copy", "noise_ensemble", "black_box_labels", "worst"}
  assert rows["black_box_labels"]["queries"] > 1 and "queries" not in rows["own_copy"]
  out = capsys.readouterr().out
  assert "black_box_labels asked" in out and "95 % intervals over the images (Wilson)" in out
  low, high = rows["worst"]["intervals"]["asr_self"]
  assert 0 <= low <= rows["worst"]["asr_self"] <= high <= 1
  each = tiny.rows(folder / "images.csv")
  assert {row["attacker"] for row in each} == {"worst"} and len(each) == 2
  own = np.mean([float(row["flipped_self"]) for row in each])
  assert own == pytest.approx(rows["worst"]["asr_self"])


def test_euclidean_sizes_of_their_own_are_not_asked_for_masking(run, few_steps):
  words = [str(run), "--attack=pgd:norm=l2,eps=0.5+2,steps=2", "--attack_images=2"]
  assert attack.attack(words) == 0
  (folder,) = [
    f for f in (run / "attacks").glob("chosen-*")
    if "norm=l2" in (f / "evaluation.json").read_text()
  ]  # fmt: skip
  found = tiny.read_json(folder / "evaluation.json")
  assert [row["eps"] for row in found["results"]] == [0.5, 2.0]
  assert found["masking"]["passed"] is None
  assert "masking was not checked" in (run / "report.html").read_text()


def test_a_number_after_an_attackers_name(run, few_steps, monkeypatch):
  monkeypatch.setattr(attackers.Attackers, "masking", lambda *args: {})
  words = [str(run), "--attack_eps=0.1", "--attack=pgd:steps=2", "--attack_images=2"]
  assert attack.attack([*words, "--attackers=colluding_mean:3,averaging:2,own_copy"]) == 0
  (found,) = [
    found for f in (run / "attacks").glob("chosen-*/evaluation.json")
    if "colluding_mean:3" in (found := tiny.read_json(f))["results"][0]["attacker"]
  ]  # fmt: skip
  rows = {row["attacker"]: row for row in found["results"]}
  assert set(rows) == {"colluding_mean:3", "averaging:2", "own_copy", "worst"}
  assert found["notes"]["averaging:2"].startswith("the mean of 2 copies of the last global model")
  assert rows["colluding_mean:3"]["asr_avg"] is None  # nobody is outside
  assert "colluding_mean:3 clients who attack the mean" in (run / "report.html").read_text()
  with pytest.raises(UserError, match="4 colluders are more than the 3 clients"):
    attack.attack([*words, "--attackers=colluding_mean:4"])


def file_words(run, *more):
  images = {k: v for k, v in tiny.FLAGS.items() if "attack" not in k and "adapt" not in k}
  del images["evaluation"]
  cache = run.parent / "cache"
  return [*(f"--{k}={v}" for k, v in images.items()), f"--cache_dir={cache}", *more]


def test_a_file_of_weights_and_a_keras_model_are_attacked(run, one_attacker, tmp_path, capsys):
  settings, out = ["--attack_eps=0.1"], f"--out={tmp_path / 'out'}"
  weights = run / "models" / "client_00001.npz"
  assert attack.attack([str(weights), *file_words(run), *settings, out]) == 0
  found = tiny.read_json(tmp_path / "out" / "evaluation.json")
  stored = tiny.read_json(run / "evaluation.json")
  assert found["clean_accuracy_global"] == stored["clean_accuracy_clients"][1]
  assert found["results"][0]["asr_self"] == found["results"][0]["asr_avg"]  # one model
  model = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(2)])
  model.build((None, 16, 16, 1))
  model.save(tmp_path / "own.keras")
  words = [str(tmp_path / "own.keras"), *file_words(run), *settings]
  assert attack.attack([*words, f"--out={tmp_path / 'keras'}"]) == 0
  assert "own.keras" in capsys.readouterr().out
  plain = tiny.read_json(tmp_path / "keras" / "evaluation.json")
  words.append("--test_time_augment=rot90")
  assert attack.attack([*words, f"--out={tmp_path / 'turned'}"]) == 0
  mean = tiny.read_json(tmp_path / "turned" / "evaluation.json")
  images, labels = load_run(run).images("evaluation")
  for found, turns in ((plain, [0]), (mean, [0, 1, 2, 3])):
    logits = sum(model(np.rot90(images / np.float32(255), t, (1, 2))).numpy() for t in turns)
    assert found["clean_accuracy_global"] == pytest.approx((logits.argmax(1) == labels).mean())
  assert plain["clean_accuracy_global"] != mean["clean_accuracy_global"]


def test_a_folder_takes_no_answer_to_another_question(run, one_attacker, tmp_path):
  out = tmp_path / "out"
  words = [*file_words(run), f"--out={out}"]
  one, other = (str(run / "models" / f"client_0000{k}.npz") for k in (0, 1))
  assert attack.attack([one, *words, "--attack_eps=0.1"]) == 0
  before = (out / "evaluation.json").read_bytes()
  for file, more, said in (
    (other, "--attack_eps=0.1", "of another model"),
    (one, "--attack_images=3", "of another --attack_images"),
    (one, "--suite=standard", "of another suite"),
    (one, "--test_time_augment=rot90", "of another model, or of other images"),
  ):
    with pytest.raises(UserError, match=f"{out} holds results {said}.*: give another --out"):
      attack.attack([file, *words, more])
  assert (out / "evaluation.json").read_bytes() == before
  assert attack.attack([one, *words, "--attack_eps=0.2"]) == 0  # other sizes are added
  found = tiny.read_json(out / "evaluation.json")
  assert [row["eps"] for row in found["results"]] == [0.1, 0.2]


def test_who_holds_no_copy_of_a_keras_file_trains_a_network_of_its_own(run, tmp_path, monkeypatch):
  model = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(2)])
  model.build((None, 16, 16, 1))
  model.save(tmp_path / "own.keras")
  seen = {}

  def make(config, prepared, folder):
    assert folder is None  # kept for models that a configuration makes
    seen["network"] = prepared.model
    return lambda client, key: prepared.model.init(key)

  monkeypatch.setattr(attackers.alone, "surrogate", make)
  check = functools.partial(attackers.check_masking, steps=2, restarts=1, queries=3, draws=1)
  monkeypatch.setattr(attackers, "check_masking", check)
  words = ["--attackers=surrogate", "--attack=fgsm", "--attack_eps=0.1"]
  out = f"--out={tmp_path / 'out'}"
  assert attack.attack([str(tmp_path / "own.keras"), *file_words(run), *words, out]) == 0
  shapes = [tuple(spec.shape) for spec in seen["network"].weight_specs()]
  assert shapes == [weight.shape for weight in load_run(run).weights]
  masking = tiny.read_json(tmp_path / "out" / "evaluation.json")["masking"]
  assert any("surrogate" in one["name"] for one in masking["checks"])


def test_fewer_images_leave_what_was_made_of_all(run, one_attacker):
  assert attack.attack([str(run), "--attack_eps=0.1"]) == 0
  kept = sorted((run / "attacks" / "strong" / "by_image").iterdir())
  assert attack.attack([str(run), "--attack_eps=0.1", "--attack_images=3"]) == 0
  assert sorted((run / "attacks" / "strong" / "by_image").iterdir()) == kept
  found = tiny.read_json(run / "attacks" / "strong-3-images" / "evaluation.json")
  assert found["attacked_images"] == 3


def test_the_papers_attacks_again(run, capsys):
  assert attack.attack([str(run), "--suite=paper", "--attack_eps=0.1", "--attack_images=4"]) == 0
  found = tiny.read_json(run / "attacks" / "paper-4-images" / "evaluation.json")
  rows = {row["attack"]: row for row in found["results"]}
  assert set(rows) == {"fgsm", "pgd"} and "trials" not in found
  (own,) = tiny.read_json(run / "evaluation.json")["results"]  # of FGSM alone
  assert rows["fgsm"] == own
  assert "pgd" in capsys.readouterr().out


def test_sizes_that_were_attacked_before_stay_in_the_results(run, one_attacker):
  assert attack.attack([str(run), "--attack_eps=0.1", "--attack_images=2"]) == 0
  assert attack.attack([str(run), "--attack_eps=0.2", "--attack_images=2"]) == 0
  found = tiny.read_json(run / "attacks" / "strong-2-images" / "evaluation.json")
  assert [row["eps"] for row in found["results"]] == [0.1, 0.2]


def test_files_of_one_name_and_questions_have_folders_of_their_own(
  run, one_attacker, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  weights = load_run(run).weights
  (tmp_path / "other").mkdir()
  np.savez(tmp_path / "global.npz", **{f"{i:02d}": w for i, w in enumerate(weights)})
  np.savez(tmp_path / "other" / "global.npz", **{f"{i:02d}": w + 1 for i, w in enumerate(weights)})
  for file, images in (("global.npz", 2), ("other/global.npz", 2), ("global.npz", 3)):
    words = ["--attack_eps=0.1", f"--attack_images={images}"]
    assert attack.attack([file, *file_words(run), *words]) == 0
  made = sorted(str(p.parent) for p in (tmp_path / "attacks").glob("*/*/evaluation.json"))
  assert len(made) == 3 and len({pathlib.Path(name).parent for name in made}) == 2
  assert sum(name.endswith("strong-2-images") for name in made) == 2


def test_files_that_are_no_models_of_these_images(run, tmp_path):
  other = tmp_path / "other.npz"
  np.savez(other, **{"00": np.zeros([3, 3])})
  with pytest.raises(UserError, match=r"other.npz is no model .* shapes \[\(3, 3\)\], and"):
    attack.attack([str(other), *file_words(run)])
  soft = tf.keras.Sequential([
    tf.keras.layers.Flatten(), tf.keras.layers.Dense(2, activation="softmax")
  ])  # fmt: skip
  soft.build((None, 16, 16, 1))
  soft.save(tmp_path / "soft.keras")
  with pytest.raises(UserError, match="softmax"):
    attack.attack([str(tmp_path / "soft.keras"), *file_words(run), f"--out={tmp_path / 'soft'}"])
  (tmp_path / "broken.keras").write_bytes(b"no model")
  with pytest.raises(UserError, match="broken.keras can't be read as a Keras model"):
    attack.attack([str(tmp_path / "broken.keras"), *file_words(run)])
  wide = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(2)])
  wide.build((None, 20, 20, 1))
  wide.save(tmp_path / "wide.h5")
  with pytest.raises(UserError, match=r"wide.h5 takes images of shape \(20, 20, 1\)"):
    attack.attack([str(tmp_path / "wide.h5"), *file_words(run)])


@pytest.mark.parametrize(
  "words, message",
  [
    ([], "give a run folder or a model's file"),
    (["none"], "none is not a run folder"),
    (["RUN", "--suite=weak"], "--suite=weak is unknown: choose paper, standard or strong"),
    (["RUN", "--attack_eps=0.1,2"], r"--attack_eps=2.0 is out of range: it must lie in \[0, 1\]"),
    (["RUN", "--attack_eps=0.1,,0.2"], "--attack_eps=0.1,,0.2: number 2 of 3 is empty"),
    (["RUN", "--attack_eps="], "--attack_eps is empty"),
    (["RUN", "--attack_images=all"], "--attack_images=all is no whole number"),
    (["RUN", "--clients_use=global"], "choose received or trained"),
    (["RUN", "--rounds=3"], "'--rounds=3' is not for a run folder"),
    (["RUN", "--out=x"], "--out is for a model's file"),
    (["RUN", "--attackers=insider"], "attacker 'insider' is unknown"),
    (["RUN", "--attackers=imitation"], "no such attacker here: imitation: noise_ensemble imitates"),
    (["RUN", "--attack=pdg"], "attack 'pdg' is unknown"),
    (["RUN", "--attack=pgd", "--suite=standard"], "choose of --suite=strong"),
    (["RUN", "--attackers=colluding_mean:two"], "write colluding_mean:NUMBER, of its colluders"),
    (["RUN", "--attackers=own_copy:2"], "a number stands after noise_ensemble, averaging,"),
    (["RUN/models/global.npz", "--clients_use=trained"], "is for a run folder"),
  ],
)
def test_bad_input_is_one_clear_line(run, words, message):
  with pytest.raises(UserError, match=message) as caught:
    attack.attack([word.replace("RUN", str(run)) for word in words])
  assert "\n" not in str(caught.value)


def test_a_run_without_models(run, tmp_path):
  copy = tmp_path / "copy"
  shutil.copytree(run, copy)
  shutil.rmtree(copy / "models")
  with pytest.raises(UserError, match="global.npz can't be read.*train the run again"):
    attack.attack([str(copy)])
