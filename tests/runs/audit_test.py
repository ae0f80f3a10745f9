"""An audit of tiny runs: what it writes, and that DP-SGD shows in all three attacks."""

import dataclasses

import numpy as np
import PIL.Image
import pytest

from fedsafe_tff.commands import audit, train
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs import audit as audit_lib
from fedsafe_tff.runs.audit import Effort, audit_run
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


def test_bad_arguments_are_one_line(plain, tmp_path):
  run = str(plain[0])
  for words, message in (
    ([], "give a run folder"),
    ([str(tmp_path)], "no run folder|not a run folder|is no run"),
    ([run, "--canaries=none"], "number above 0"),
    ([run, "--colour=red"], "unknown here"),
  ):
    with pytest.raises(UserError, match=message):
      audit.audit(words)
