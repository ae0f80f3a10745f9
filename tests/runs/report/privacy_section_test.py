"""The section on privacy: what is promised, what is not, and what an audit found."""

import json

import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.statement import PrivacyStatement
from fedsafe_tff.runs.report import privacy_section
from fedsafe_tff.runs.report.build import build
from tests.runs.report import synthetic
from tests.runs.report.build_test import Page

PICTURES = True
NASTY = "<img src=x onerror=alert(1)>"


def facts(epsilon=8.0, **values):
  made = PrivacyStatement(**{
    "mechanism": "dp_sgd", "level": "record", "adjacency": "add_or_remove_one", "epsilon": epsilon,
    "delta": 1e-5, "compositions": 3, "by": "PLD",
  } | values)  # fmt: skip
  return {"rounds": 3, "planned_rounds": 3, "now": made.to_json(), "planned": made.to_json()}


def page(path, private=None, audit=None):
  synthetic.finished(path)
  if private is not None:
    synthetic.write_metrics(path, epsilon=(4.0, 6.0, 8.0))
    (path / "privacy.json").write_text(json.dumps(private))
  if audit is not None:
    (path / "audit").mkdir()
    (path / "audit" / "audit.json").write_text(json.dumps(audit))
  return Page(build(path))


def test_a_promise_in_words_with_its_picture(tmp_path):
  made = page(tmp_path, facts(clip="adaptive"))
  for fact in (
    "at most 2.98e+03 times as likely because one image took part, except with probability 1e-05",
    "That is epsilon 8: a promise in the range of published work.",
    "who is protected one image",
    "from whom the server, the other clients and anybody who sees the models",
    "not protected numbers that clients report",
    "rounds counted 3 of 3",
  ):
    assert fact in made.text
  alternative = "Epsilon over the rounds: 4 after round 1, 8 after round 3"
  assert f'alt="{alternative}"' in made.source and made.open == []
  assert (tmp_path / "plots" / "epsilon.png").is_file()


def test_without_privacy_nothing_is_guaranteed(tmp_path):
  none = facts(None, mechanism="none", by="none")
  assert privacy_section.NONE in page(tmp_path / "a", none).text
  made = page(tmp_path / "b", facts(None, mechanism="distributed", warnings=("rounding",)))
  assert "the noise of this run (distributed) has no accounting" in made.text
  assert "Warning: rounding." in made.text and "Epsilon over the rounds" not in made.source


def test_an_old_run_says_that_it_has_no_statement(tmp_path):
  assert privacy_section.OLD in page(tmp_path).text


@pytest.mark.parametrize("epsilon, told", [(0.5, "strong"), (12.0, "weak"), (1e6, "nobody")])
def test_an_epsilon_is_judged(tmp_path, epsilon, told):
  assert told in page(tmp_path, facts(epsilon)).text


def test_what_an_audit_found(tmp_path):
  rows = [
    {"model": "global model", "attack": "a", "auc": 0.5, "low": 0.4, "high": 0.6},
    {"model": "global model", "attack": "b", "auc": 0.7, "low": 0.6, "high": 0.8},
  ]
  audit = {
    "membership": rows, "inversion": [{"images": 1, "ssim": 0.19, "control": 0.56}],
    "one_run": {"sentence": "at least 1.2"},
  }
  text = page(tmp_path, facts(), audit).text
  assert "by the global model: AUC 0.700 (0.600 to 0.800)" in text and "AUC 0.500" not in text
  assert "on one image: similarity 0.19" in text and "at least 1.2" in text


def test_what_strangers_wrote_is_escaped(tmp_path):
  private = facts()
  private["now"] |= {"mechanism": NASTY, "level": NASTY, "warnings": [NASTY]}
  made = page(tmp_path, private, {"one_run": {"sentence": NASTY}})
  assert "<img src=x" not in made.source and NASTY in made.text


@pytest.mark.parametrize("field, value, told", [
  ("epsilon", "low", "now.epsilon is 'low', expected a number"),
  ("delta", None, "now.delta is missing"),
  ("guarantees", 1, "now.guarantees is 1, expected true or false"),
  ("warnings", "none", "now.warnings is 'none', expected a list"),
])
def test_facts_of_wrong_types_are_named(tmp_path, field, value, told):
  private = facts()
  private["now"][field] = value
  with pytest.raises(UserError, match="privacy.json is damaged.*" + told):
    page(tmp_path / "a", private)
  damaged = []
  synthetic.finished(tmp_path / "b")
  (tmp_path / "b" / "privacy.json").write_text(json.dumps(private))
  text = Page(build(tmp_path / "b", damaged)).text
  assert damaged == ["privacy.json"] and "privacy.json is damaged and left out" in text


def test_an_audit_of_wrong_types_is_named(tmp_path):
  with pytest.raises(UserError, match="audit.json is damaged.*one_run.sentence is missing"):
    page(tmp_path, facts(), {"one_run": {}})
