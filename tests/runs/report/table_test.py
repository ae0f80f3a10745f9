import json

import pytest

from fedsafe_tff.runs.report import table
from fedsafe_tff.runs.report.run_folder import RunFolder
from tests.runs.report import synthetic


def rows(text):
  """Cells of the table's lines between bars."""
  lines = [line for line in text.splitlines() if line.startswith("| ")]
  return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_numbers_stand_under_their_headings(tmp_path):
  text = table.summary(RunFolder.read(synthetic.finished(tmp_path)))
  headings, *body = rows(text)
  assert headings == [heading for _, heading in table.COLUMNS]
  assert len(body) == 4
  last = dict(zip(headings, body[-1]))
  assert (last["attack"], last["eps"], last["clean acc."]) == ("pgd", "0.03", "0.812")
  # The matrix is [[0.8, 0.3625], [0.3, 0.8625]].
  assert (last["ASR self"], last["ASR avg"], last["random"]) == ("0.831", "0.331", "0.016")
  assert "phantom, distributed_noise" in text
  assert "clean accuracy of the global model 0.812" in text
  assert "(trivial: majority_class 0.625, nearest_mean 0.688)" in text


@pytest.mark.parametrize("sizes", [synthetic.SIZES, (1 / 255, 0.0078431372, 1e-7)])
def test_plain_ascii_and_no_value_is_cut(tmp_path, sizes):
  synthetic.finished(tmp_path)
  synthetic.write_evaluation(tmp_path, sizes=sizes)
  text = table.summary(RunFolder.read(tmp_path))
  assert text.isascii() and "\x1b" not in text
  assert [row[2] for row in rows(text)[1:]] == 2 * [f"{eps:g}" for eps in sizes]


def test_a_terminal_gets_lines_instead_of_ascii(tmp_path):
  text = table.summary(RunFolder.read(synthetic.finished(tmp_path)), terminal=True)
  assert not text.isascii() and "0.831" in text


def test_what_does_not_exist_is_a_dash(tmp_path):
  synthetic.interrupted(tmp_path)
  synthetic.write_evaluation(tmp_path, clients=1)
  headings, *body = rows(table.summary(RunFolder.read(tmp_path)))
  assert {row[headings.index("ASR avg")] for row in body} == {"-"}
  assert "-" not in {row[headings.index("ASR self")] for row in body}


def test_without_an_evaluation(tmp_path):
  synthetic.interrupted(tmp_path)
  assert table.summary(RunFolder.read(tmp_path)) == f"{tmp_path}: no evaluation yet"


def test_the_worst_case_follows_the_attacks(tmp_path):
  synthetic.finished(tmp_path)
  path = tmp_path / "evaluation.json"
  evaluation = json.loads(path.read_text())
  evaluation["worst_case"] = [{"attack": "any", "eps": 0.01, "asr_self": 0.75}]
  path.write_text(json.dumps(evaluation))
  last = rows(table.summary(RunFolder.read(tmp_path)))[-1]
  assert last[:6] == ["own_copy", "any", "0.01", "-", "0.750", "-"]


def change(folder, **facts):
  path = folder / "evaluation.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | facts))
  return table.summary(RunFolder.read(folder))


def test_only_what_is_there_is_explained(tmp_path):
  text = table.summary(RunFolder.read(synthetic.finished(tmp_path)))
  assert "attack any" not in text and "worst of n" not in text and "attackers:" not in text
  assert "WARNING" not in text
  assert "attack any: labels" in change(tmp_path, worst_case=[{"attack": "any", "eps": 0.01}])
  results = [
    {"attacker": name, "attack": "worst of 4", "eps": 0.03, "asr_self": 0.5}
    for name in ("surrogate", "worst")
  ]
  text = change(tmp_path, results=results, left_out={"averaging": "copies have no noise"})
  assert "worst of n: an image is lost" in text and "surrogate has no copy" in text
  assert "black_box" not in text
  assert "attacker averaging is left out: copies have no noise." in text


def test_trivial_baselines_are_explained(tmp_path):
  run = RunFolder.read(synthetic.finished(tmp_path))
  assert "512" not in table.trivial_legend(run.evaluation)
  told = table.trivial_legend({"trivial_baselines": {"source_512": 0.9}})
  assert told == "source_512: a file of 512x512 pixels means tumour: it reads files, not images"


def test_a_collapsed_and_a_masked_model_are_warned_of(tmp_path):
  synthetic.finished(tmp_path)
  text = change(tmp_path, clean_accuracy_global=0.625)
  assert "WARNING: collapsed: clean accuracy of the global model (0.625) is at most 0.02" in text
  assert "more --rounds may help" in text and "--downlink_sigma" not in text
  text = change(tmp_path, clean_accuracy_global=0.9, clean_accuracy_clients=[0.9, 0.64])
  assert "clean accuracy of client 1's copy (0.640)" in text
  assert "a smaller --downlink_sigma may help" in text and "--rounds" not in text
  checks = [
    {"name": name, "passed": passed, "value": 0.5, "text": f"what {name} found"}
    for name, passed in (("black_box", False), ("restarts", True), ("surrogate", None))
  ]
  text = change(tmp_path, clean_accuracy_clients=[], masking={"passed": False, "checks": checks})
  assert "WARNING: robustness may be masked (black_box): what black_box found" in text
  assert text.count("WARNING") == 1
