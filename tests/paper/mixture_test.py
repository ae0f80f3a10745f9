"""Numbers of different versions on one page."""

import pytest

from fedsafe_tff import versions
from fedsafe_tff.errors import UserError
from fedsafe_tff.paper import mixture
from tests.paper import synthetic
from tests.paper.synthetic import row

OLD = row("none", training="trainings/old")
NEW = row("none", training="trainings/new", keys=2)


def test_rows_of_one_version_pass(tmp_path):
  request = synthetic.request(tmp_path)
  assert mixture.check(request, []) == mixture.check(request, [OLD, OLD]) == ""


def test_rows_of_two_are_refused_by_name_unless_it_is_asked_for(tmp_path):
  with pytest.raises(UserError) as caught:
    mixture.check(synthetic.request(tmp_path), [OLD, NEW])
  told = "keys 1, splits 1: trainings/old; keys 2, splits 1: trainings/new"
  assert told in str(caught.value) and "--mixed_versions" in str(caught.value)
  request = synthetic.request(tmp_path, mixed_versions=True)
  assert mixture.check(request, [OLD, NEW]) == told
  assert f"{told}.\n" in mixture.warning(told)


def test_what_is_still_to_be_made_counts(tmp_path, monkeypatch):
  monkeypatch.setattr(versions, "current", lambda: {"keys": 2, "splits": 1, "definitions": 2})
  request = synthetic.request(tmp_path)
  assert mixture.check(request, [NEW], more_to_come=True) == ""
  assert mixture.check(request, [], more_to_come=True) == ""
  with pytest.raises(UserError, match="keys 2, splits 1: what is still to be made"):
    mixture.check(request, [OLD], more_to_come=True)


def test_a_page_tells_its_versions():
  assert mixture.facts([], [{}, {}]) == ["versions: keys 1, splits 1"]
  [drawn, counted, meaning] = mixture.facts(
    [
      OLD,
      row("none", definitions=1),
      row("distributed_noise", definitions=1, clean_accuracy_all=None),
    ],
    [],
  )
  assert drawn == "versions: keys 1, splits 1"
  assert counted == "definitions of the 3 evaluations: 1 in 2, 2 in 1"
  assert "held that (1 evaluations), and empty for noised copies (1)" in meaning
