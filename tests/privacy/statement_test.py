"""What a statement says, and that it says nothing that is not so."""

import json
import math

import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.statement import PrivacyStatement, delta_warning

VALUES = {
  "mechanism": "dp_sgd",
  "level": "record",
  "adjacency": "add_or_remove_one",
  "epsilon": 3.21,
  "delta": 1e-5,
  "compositions": 250,
  "sampling": "poisson",
  "sampling_rate": 0.08,
  "by": "PLD",
}


def test_a_guarantee_names_everything():
  statement = PrivacyStatement(**VALUES, nominal_epsilon=0.5, warnings=("mind this",))
  text = " ".join(statement.sentences())
  for words in (
    "dp_sgd", "(3.21, 1e-05)-DP", "one image", "add-or-remove-one", "250 releases", "the server",
    "coin of its own, at rate 0.08", "PLD", "Not covered: numbers that clients report", "0.5",
    "not proved", "Warning: mind this",
  ):
    assert words in text
  assert statement.line() == "epsilon 3.21 (record, delta 1e-05, dp_sgd)"
  patient = PrivacyStatement(**(VALUES | {"level": "patient"}), group=5)
  assert "all images of a patient (up to 5)" in patient.sentences()[0]


@pytest.mark.parametrize("epsilon", [None, math.inf, math.nan])
def test_without_a_guarantee_nothing_is_called_private(epsilon):
  statement = PrivacyStatement(**(VALUES | {"epsilon": epsilon}))
  text = " ".join([statement.line(), *statement.sentences()])
  assert "DP" not in text.replace("dp_sgd", "") and "private" not in text
  assert "unbounded" in text and "no epsilon is guaranteed" in text


@pytest.mark.parametrize("epsilon", [3.21, math.inf, None])
def test_comes_back_from_strict_json(epsilon):
  statement = PrivacyStatement(**(VALUES | {"epsilon": epsilon}), warnings=("mind this",))
  text = json.dumps(statement.to_json(), allow_nan=False)
  back = PrivacyStatement.from_json(json.loads(text))
  assert back.to_json() == statement.to_json() and back.guarantees == statement.guarantees
  assert back.sentences() == statement.sentences()


@pytest.mark.parametrize("change", [{"sampling": "shuffled"}, {"sampled_so": False}])
def test_amplification_by_sampling_that_is_not_done_is_refused(change):
  with pytest.raises(UserError, match="batches are not drawn so"):
    PrivacyStatement(**(VALUES | change))


@pytest.mark.parametrize("change", [{"level": "pixel"}, {"observer": "me"}, {"sampling": "some"}])
def test_unknown_names(change):
  with pytest.raises(UserError, match=str(next(iter(change.values())))):
    PrivacyStatement(**(VALUES | change))


@pytest.mark.parametrize("values", [{}, {"mechanism": "x"}, VALUES | {"not_covered": 3}, []])
def test_another_json_is_no_statement(values):
  with pytest.raises(UserError, match="no privacy statement"):
    PrivacyStatement.from_json(values)


def test_delta_larger_than_one_over_n_is_warned_of():
  assert delta_warning(1e-5, 1000) is None and delta_warning(1e-3, 1000) is None
  warning = delta_warning(0.01, 900, "record")
  assert "n = 900" in warning and "0.01" in warning
