from fedsafe_tff import keys, versions
from fedsafe_tff.data import splits
from fedsafe_tff.evaluation import definitions, suites


def test_the_versions_of_this_code():
  assert versions.current() == {
    "keys": getattr(keys, "VERSION", 1),
    "splits": splits.VERSION,
    "definitions": definitions.VERSION,
    "attackers": suites.VERSION,
  }


def test_what_names_no_versions_was_made_by_the_first():
  assert versions.drawn_by({"data_hash": "0"}) == {"keys": 1, "splits": 1}
  told = {"result_versions": {"keys": 2, "splits": 3, "definitions": 4}}
  assert versions.drawn_by(told) == {"keys": 2, "splits": 3}


def test_what_differs_from_this_code(monkeypatch):
  monkeypatch.setattr(versions, "current", lambda: {"keys": 2, "splits": 1, "definitions": 9})
  assert versions.differ_from_current({}) == "keys 1 (here 2)"
  assert versions.differ_from_current({"result_versions": {"keys": 2, "splits": 1}}) == ""
  other = {"result_versions": {"keys": 2, "splits": 4, "definitions": 1}}
  assert versions.differ_from_current(other) == "splits 4 (here 1)"


def test_a_mixture_in_words():
  one, two = {"keys": 1, "splits": 1}, {"keys": 2, "splits": 1}
  assert versions.mixture([]) == versions.mixture([("a", one), ("b", dict(one))]) == ""
  named = [("a", one), ("b", two), ("a", one), *((f"c{i}", two) for i in range(4))]
  assert versions.mixture(named) == "keys 1, splits 1: a; keys 2, splits 1: b, c0, c1 and 2 more"
