"""An audit of tiny runs: what it writes, and that DP-SGD shows in all three attacks."""

import dataclasses
import shutil
import types

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from fedsafe_tff.commands import audit, train
from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.audit import inversion
from fedsafe_tff.runs import audit as audit_lib
from fedsafe_tff.runs import audits, saved_models
from fedsafe_tff.runs.audit import Effort, audit_run
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.load import load_run
from fedsafe_tff.training.gradients import Adversarial
from tests.runs import tiny

pytestmark = pytest.mark.usefixtures("built_once")

_PLAIN = {"defense": "none", "rounds": 4, "attacks": "fgsm", "attack_eps": 0.1, "attack_images": 4}
_PRIVATE = {"privacy": "dp_sgd", "clip_norm": 0.1, "target_epsilon": 2.0, "noise_seed": 4}
_EFFORT = Effort(canaries=100, inversion_steps=60, restarts=1)


def _audited(folder, **changes):
  words = tiny.arguments(folder, **(_PLAIN | changes))
  idle = ("--adaptation_epochs", "--attack_steps")
  assert train.train([word for word in words if not word.startswith(idle)]) == 0
  run = folder / "run"
  audit_run(run, _EFFORT, log=lambda text: None)
  return run, tiny.read_json(run / "audit" / "audit.json")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
  return _audited(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def private(tmp_path_factory):
  return _audited(tmp_path_factory.mktemp("private"), **_PRIVATE)


def test_what_is_written(plain):
  run, found = plain
  assert {each["attack"] for each in found["membership"]} >= {"threshold on loss"}
  assert all(0 <= each["low"] <= each["auc"] <= each["high"] <= 1 for each in found["membership"])
  assert [each["images"] for each in found["inversion"]] == [1, 4]
  text = (run / "audit" / "audit.md").read_text()
  assert "AUC" in text and found["one_run"]["sentence"] in text
  assert found["one_run"]["stated_epsilon"] is None and "states no epsilon" in text
  with PIL.Image.open(run / "audit" / "inversion.png") as image:
    assert np.asarray(image).std() > 0


def test_plain_gradients_tell_of_the_canaries(plain):
  """Not of all of them: unclipped, the gradients of the client's images drown theirs."""
  bound = plain[1]["one_run"]
  assert bound["epsilon"] > 0


@pytest.mark.slow
def test_dp_sgd_is_not_refuted_and_tells_less(plain, private):
  bound = private[1]["one_run"]
  assert 1.9 < bound["stated_epsilon"] <= 2.0
  assert bound["refuted"] is False and "not refuted" in bound["sentence"]
  assert bound["epsilon"] < plain[1]["one_run"]["epsilon"]
  for clear, hidden in zip(plain[1]["inversion"], private[1]["inversion"]):
    assert clear["mismatch"] < 0.8 * hidden["mismatch"]


@pytest.mark.slow
def test_a_mechanism_without_its_noise_is_refuted(private, monkeypatch):
  build = audit_lib.private.mechanism

  def forgetful(*arguments):
    made = build(*arguments)
    return dataclasses.replace(
      made, gradient=dataclasses.replace(made.gradient, noise_multiplier=0.0)
    )

  monkeypatch.setattr(audit_lib.private, "mechanism", forgetful)
  found = audit_run(private[0], _EFFORT, log=lambda text: None)["one_run"]
  assert found["refuted"] and "REFUTED" in found["sentence"]


def test_inversion_sees_the_step_that_a_client_takes_first(tmp_path, monkeypatch):
  """TRADES at noised weights, clipped, at the first size of a warm-up over two of four rounds."""
  words = {"defense": "local_adversarial_training", "local_loss": "trades", "local_attack_steps": 1}
  words |= {"local_attack_eps": 0.3, "local_weight_sigma": 0.01, "gradient_clip": 0.01}
  words |= {"local_attack_warmup": 0.5}
  seen, truths = [], []
  whole = inversion.similarity

  def invert(model, weights, observed, labels, *, key, **how):
    seen.append((model, weights, observed, labels, key))
    return inversion.Inversion(np.zeros([len(labels), *model.input_shape], np.float32), 0.0)

  def similarity(made, truth, control):
    truths.append(truth)
    return whole(made, truth, control)

  monkeypatch.setattr(inversion, "invert", invert)
  monkeypatch.setattr(inversion, "similarity", similarity)
  _audited(tmp_path, **words)
  rule = Adversarial(attack_eps=0.3, steps=1, loss="trades", weight_sigma=0.01)
  for (model, weights, observed, labels, key), truth in zip(seen, truths, strict=True):
    x, y = tf.constant(truth), tf.constant(labels, tf.int32)
    want = rule(model, weights, x, y, key=key, step=tf.constant(0), attack_eps=0.1)[2]
    norm = tf.linalg.global_norm(want)
    assert norm > 0.01
    for one, other in zip(observed, want, strict=True):
      np.testing.assert_allclose(one, 0.01 * other / norm, rtol=1e-4, atol=1e-7)


def test_a_gradient_that_follows_no_schedule_is_seen_at_its_own_size(monkeypatch):
  sizes = []

  class Own:
    attack_eps = 0.25

    def __call__(self, model, weights, x, y, *, key, step, attack_eps):
      sizes.append(float(attack_eps))
      return None, None, (tf.ones([2]),)

  monkeypatch.setattr(audit_lib.defenses, "gradient", lambda config: Own())
  run = types.SimpleNamespace(config=Config(defense="none"), model=None)
  audit_lib._first_step(run)([], None, None, None)
  assert sizes == [0.25]


def test_the_server_sees_a_noised_gradient_through_the_learning_rate(plain, monkeypatch):
  """Noise of sigma on the upload w - rate g is sigma / rate on g."""
  run, seen = load_run(plain[0]), []

  def invert(model, weights, observed, labels, **how):
    seen.append(np.concatenate([np.ravel(g) for g in observed]))
    return inversion.Inversion(np.zeros([len(labels), *model.input_shape], np.float32), 0.0)

  monkeypatch.setattr(inversion, "invert", invert)
  for sigma in (0.0, 0.3):
    noise = types.SimpleNamespace(uplink_sigma=sigma)
    monkeypatch.setattr(audit_lib.Noise, "of_data", lambda *_, noise=noise: noise)
    audit_lib._inversion(run, _EFFORT)
  rate = run.config.learning_rate
  assert rate != 1 and len(seen) == 4
  for clear, noised in zip(seen[:2], seen[2:]):
    assert (noised - clear).std() == pytest.approx(0.3 / rate, rel=0.1)


def test_what_is_stated_is_of_the_rounds_that_were_made(plain, monkeypatch):
  loaded = load_run(plain[0])
  ended = dataclasses.replace(loaded.folder, privacy={"rounds": 3.0})
  short = dataclasses.replace(loaded, folder=ended)
  gradient = audit_lib._gradient(loaded)
  monkeypatch.setattr(audit_lib, "_gradient", lambda run: gradient)
  stated = types.SimpleNamespace(
    statement=lambda rounds: types.SimpleNamespace(epsilon=100.0 * rounds)
  )
  monkeypatch.setattr(audit_lib, "_mechanism", lambda run: stated)
  found = audit_lib._one_run(short, dataclasses.replace(_EFFORT, canaries=20, steps=2))
  assert (loaded.rounds, found["stated_epsilon"]) == (4, 300.0)


def test_bad_arguments_are_one_line(plain, tmp_path):
  run = str(plain[0])
  for words, message in (
    ([], "give a run folder"),
    ([str(tmp_path)], "no run folder|not a run folder|is no run"),
    ([run, "--canaries=none"], "number above 0"),
    ([run, run, "--shadows=x"], "number above 0, --shadows=16"),
    ([run, str(tmp_path)], "not a run folder"),
    ([run, "--colour=red"], "unknown here"),
  ):
    with pytest.raises(UserError, match=message):
      audit.audit(words)


@pytest.fixture(scope="module")
def changed(plain, tmp_path_factory):
  """The run with other weights, and the audit of before."""
  run = tmp_path_factory.mktemp("changed") / "run"
  shutil.copytree(plain[0], run)
  stored = load_run(run)
  weights = tuple(weight + 0.5 for weight in stored.weights)
  saved_models.save(run / "models", weights, [weights] * 3, stored.model)
  return run


def test_runs_beside_each_other(plain, changed):
  before = (plain[0] / "audit" / "audit.json").read_bytes()
  told = []
  found, text = audits.audit_runs([plain[0], changed, plain[0]], _EFFORT, log=told.append)
  taken = [line for line in told if "was audited with this effort" in line]
  assert taken == [f"{plain[0]} was audited with this effort: taken from {plain[0] / 'audit'}"] * 2
  assert (plain[0] / "audit" / "audit.json").read_bytes() == before
  assert found[0] == found[2] == plain[1] and found[1]["membership"] != found[0]["membership"]
  stored = tiny.read_json(plain[0] / "audit" / "compared.json")["runs"]
  first, other, again = (run["models"][0] for run in stored)
  assert first["threshold_difference"] is None and first["lira"] is None
  difference = other["threshold_difference"]
  assert difference["paired"] and difference["low"] < difference["high"]
  made = other["threshold"]["auc"] - first["threshold"]["auc"]
  assert difference["auc"] == pytest.approx(made)
  same = again["threshold_difference"]
  assert same["low"] == same["auc"] == same["high"] == 0
  assert "image by image" in text and "LiRA" not in text
  assert text in (plain[0] / "audit" / "compared.md").read_text()
  assert not (changed / "audit" / "compared.md").exists()


def test_another_effort_is_not_taken_for_it(plain, tmp_path, monkeypatch):
  def asked(*_):
    raise UserError("it audits")

  monkeypatch.setattr(audit_lib.membership, "infer", asked)
  audits.audit_runs([plain[0]], _EFFORT, log=lambda text: None)
  with pytest.raises(UserError, match="it audits"):
    audits.audit_runs([plain[0]], dataclasses.replace(_EFFORT, steps=7), log=lambda text: None)
  run = tmp_path / "run"
  shutil.copytree(plain[0], run)
  (run / "audit" / "scores.npz").unlink()  # as older versions left it
  with pytest.raises(UserError, match="it audits"):
    audits.audit_runs([run], _EFFORT, log=lambda text: None)
