import json

import pytest

from fedsafe_tff.commands import compare as binary
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.report.compare import comparison
from fedsafe_tff.runs.report.run_folder import RunFolder
from tests.runs.report import synthetic


def cells(text):
  return [[c.strip() for c in line.strip("|").split(" | ")] for line in text.splitlines()]


def test_a_row_per_run_and_a_column_per_attack_of_any(tmp_path):
  first, second, begun = (tmp_path / name for name in "abc")
  synthetic.finished(first)
  synthetic.finished(second)
  synthetic.write_evaluation(second, attacks=("pgd",), sizes=(0.03, 0.05), clients=1)
  synthetic.interrupted(begun, seed=7)
  manifest = {"git_commit": "0123456789", "seconds_of_last_session": 59.7, "threads": 2}
  seconds = sum(row["seconds"] for row in RunFolder.read(first).metrics)
  (first / "manifest.json").write_text(json.dumps(manifest))

  headings, _, *rows = cells(comparison([RunFolder.read(p) for p in (first, second, begun)]))
  table = [dict(zip(headings, row)) for row in rows]
  title = "phantom, distributed_noise"
  assert [row["run"] for row in table] == [f"{title} ({name})" for name in "abc"]
  assert [row["seed"] for row in table] == ["0", "0", "7"]
  # The matrix of PGD at 0.03 is [[0.8, 0.3625], [0.3, 0.8625]].
  assert [row["ASR self / avg, pgd 0.03"] for row in table] == ["0.831 / 0.331", "0.800 / -", "-"]
  assert [row["ASR self / avg, fgsm 0.01"] for row in table][1:] == ["-", "-"]
  assert table[0]["best trivial baseline"] == "0.688 (nearest_mean)"
  assert (table[0]["commit"], table[0]["threads"]) == ("01234567", "2")
  assert seconds > 0 and table[0]["seconds of training"] == f"{seconds:.0f}"
  assert table[2]["clean accuracy, global / copies"] == "- / -"


def test_runs_of_other_keys_or_splits_are_refused_unless_the_table_says_so(tmp_path, capsys):
  old, new, newer = (synthetic.finished(tmp_path / name) for name in ("old", "new", "newer"))
  for run, keys in ((new, 2), (newer, 2)):
    told = {"keys": keys, "splits": 1, "definitions": 2}
    synthetic.write_json(run / "manifest.json", result_versions=told)
  with pytest.raises(UserError) as caught:
    binary.compare([str(old), str(new), str(newer)])
  message = str(caught.value)
  assert f"keys 1, splits 1: {old}; keys 2, splits 1: {new}, {newer}" in message
  assert "--mixed_versions" in message
  binary.compare([str(new), str(newer)])
  table = capsys.readouterr().out
  assert table.count("| 2, 1, 2 |") == 2 and "Not drawn alike" not in table
  binary.compare(["--mixed_versions", str(old), str(new)])
  out = capsys.readouterr().out
  assert "| 1, 1, 2 |" in out and "**Not drawn alike**, so that differences may be" in out
  assert f"keys 1, splits 1: {old}; keys 2, splits 1: {new}.\n" in out
  with pytest.raises(UserError, match="give run folders"):
    binary.compare(["--mixed_versions"])


def test_clean_accuracy_of_copies_has_one_definition(tmp_path):
  """Folders as an older version left them: the copies' accuracy is that on the attacked images."""
  noised, single = synthetic.finished(tmp_path / "noised"), tmp_path / "single"
  synthetic.finished(single)
  synthetic.write_json(single / "config.json", defense="none")
  for run in (noised, single):
    synthetic.write_json(run / "manifest.json", data={"parts": {"evaluation": 359}})
    synthetic.write_json(
      run / "evaluation.json",
      clean_accuracy_global=0.9025, clean_accuracy_clients=[0.8, 0.825], attacked_images=200,
    )  # fmt: skip
  table, _, told = comparison([RunFolder.read(p) for p in (noised, single)]).partition("\n\n")
  headings, _, *rows = cells(table)
  found = [dict(zip(headings, row)) for row in rows]
  assert [row["clean accuracy, global / copies"] for row in found] == [
    "0.902 / -", "0.902 / 0.902",
  ]
  assert [row["keys, splits, definitions"] for row in found] == ["1, 1, 1"] * 2
  assert told.startswith("Evaluated by older definitions") and f"{noised}, {single}" in told


def test_what_differs_between_runs_has_a_column_and_nothing_else(tmp_path):
  first = synthetic.finished(tmp_path / "a", learning_rate=0.5, run_dir="x")
  second = synthetic.finished(tmp_path / "b", seed=3)
  config = json.loads((second / "config.json").read_text())
  del config["evaluation"]  # as an older version left it
  (second / "config.json").write_text(json.dumps(config))
  headings, _, *rows = cells(comparison([RunFolder.read(p) for p in (first, second)]))
  assert [h for h in headings if "--" in h] == ["--learning_rate", "--evaluation"]
  table = [dict(zip(headings, row)) for row in rows]
  assert [row["--learning_rate"] for row in table] == ["0.5", "0.02"]
  assert [row["--evaluation"] for row in table] == ["standard", "paper"]
  assert table[0]["robust accuracy self / avg, pgd 0.03"] == "0.250 / 0.250"


def test_a_run_that_is_named_twice_is_warned_of_once(tmp_path):
  bad = synthetic.finished(tmp_path / "bad")
  synthetic.write_json(bad / "evaluation.json", clean_accuracy_global=0.63)
  text = comparison([RunFolder.read(p) for p in (bad, tmp_path / "." / "bad")])
  assert text.count(f"| phantom, distributed_noise ({bad}) |") == 2
  assert text.count("collapsed: clean accuracy of the global model (0.630)") == 1


def test_collapsed_and_masked_models_are_marked(tmp_path):
  good, bad = (synthetic.finished(tmp_path / name) for name in ("good", "bad"))
  failed = {"name": "black_box", "passed": False, "value": 1.0, "text": "it is better"}
  masking = {"passed": False, "checks": [failed]}
  synthetic.write_json(bad / "evaluation.json", clean_accuracy_global=0.63, masking=masking)
  text = comparison([RunFolder.read(p) for p in (good, bad)])
  first, second = cells(text)[2:4]
  assert "0.812 / -" in first and "0.630 / - † ‡" in second
  name = "phantom, distributed_noise (bad)"
  assert f"† {name}: collapsed: clean accuracy of the global model (0.630)" in text
  assert f"‡ {name}: robustness may be masked (black_box): it is better" in text
