import csv

import pytest

from fedsafe_tff.paper import versus
from fedsafe_tff.runs.report import render
from tests.paper import synthetic
from tests.paper.synthetic import ADVERSARIAL, NOISE, many

FIRST, SECOND = {"method": ADVERSARIAL}, {"method": NOISE}


def compare(results, paper=(0.46, 0.41), metric="asr_self"):
  cells = [{"task": "glioma", "eps": 0.05, "metric": metric}]
  [entry] = versus.versus(results, cells, FIRST, SECOND, lambda labels: paper)
  return entry


def test_ours_beside_the_papers():
  results = synthetic.results(
    many(ADVERSARIAL, 0.40, 0.2, spread=0.01), many(NOISE, 0.30, 0.2, spread=0.02)
  )
  entry = compare(results)
  assert entry.first.mean == pytest.approx(0.42) and entry.second.mean == pytest.approx(0.34)
  assert entry.comparison.difference.mean == pytest.approx(-0.08)
  assert (entry.paper_direction, entry.our_direction, entry.agrees) == ("lower", "lower", "yes")
  assert compare(results, (0.41, 0.46)).agrees == "no"
  assert compare(results, (0.41, 0.412)).paper_direction == "same"
  assert compare(results, None).agrees == ""


def test_a_method_that_could_not_be_done_leaves_a_gap():
  entry = compare(synthetic.results(many(ADVERSARIAL, 0.4, 0.2)))
  assert entry.second is None and entry.comparison is None and entry.agrees == ""
  [row] = versus.table_rows([entry])
  assert row == ["glioma", "0.05", "self", "0.46", "0.400 ± 0.000", "0.41", "-", "-", "-", "-",
                 "lower", "-", "-", "0.900 / -", "-"]


def test_collapsed_models_are_marked():
  results = synthetic.results(
    many(ADVERSARIAL, 0.4, 0.2), many(NOISE, 0.0, 0.0, clean_accuracy=0.61)
  )
  entry = compare(results)
  row = versus.table_rows([entry])[0]
  assert entry.collapsed == (0, 5) and row[6].endswith(" †5") and "†" not in row[4]
  assert versus.csv_rows([entry])[0]["second_collapsed"] == 5
  assert entry.paper_direction == entry.our_direction and entry.agrees == ""


def test_p_values_are_adjusted_over_the_table():
  results = synthetic.results(*(
    many(method, own, 0.2, spread=spread, eps=eps)
    for eps in (0.01, 0.05)
    for method, own, spread in ((ADVERSARIAL, 0.40, 0.01), (NOISE, 0.35, 0.012))
  ))
  cells = [{"task": "glioma", "eps": eps, "metric": "asr_self"} for eps in (0.01, 0.05)]
  entries = versus.versus(results, cells, FIRST, SECOND, lambda labels: None)
  for entry in entries:
    assert entry.p_holm == pytest.approx(2 * entry.comparison.p)


def test_the_agreement_in_words():
  results = synthetic.results(many(ADVERSARIAL, 0.4, 0.2), many(NOISE, 0.3, 0.2))
  entries = [
    compare(results),
    compare(results, (0.3, 0.4)),
    compare(results, (0.2, 0.2), "asr_avg"),
  ]
  assert versus.agreement(entries) == (
    "The direction of the means agrees with the paper's in 2 of 3 cells; where the paper has a "
    "difference at all, in 1 of 2: significantly in 0, and significantly against it in 0."
  )
  sure = synthetic.results(
    many(ADVERSARIAL, 0.4, 0.2, spread=0.01), many(NOISE, 0.3, 0.2, spread=0.02)
  )
  assert "significantly in 1, and significantly against it in 1." in versus.agreement(
    [compare(sure), compare(sure, (0.3, 0.4))]
  )
  assert versus.table_rows([compare(sure)])[0][11:13] == ["lower *", "yes"]
  assert "no values" in versus.agreement([compare(results, None)])
  gap = compare(synthetic.results(many(ADVERSARIAL, 0.4, 0.2)))
  assert "of ours that can be judged" in versus.agreement([gap])


def test_a_difference_too_small_to_be_one_is_not_against_the_paper():
  results = synthetic.results(
    many(ADVERSARIAL, 0.4, 0.2, spread=0.01), many(NOISE, 0.4035, 0.2, spread=0.0101)
  )
  entry = compare(results)
  assert entry.significant and (entry.our_direction, entry.agrees) == ("same", "no")
  assert versus.agreement([entry]).endswith("and significantly against it in 0.")
  assert {versus.direction(d) for d in (0.005, -0.005)} == {"same"}
  assert (versus.direction(0.0051), versus.direction(-0.0051)) == ("higher", "lower")


def test_of_one_seed_the_intervals_are_those_over_images():
  rows = [many(method, 0.4, 0.2, seeds=[0]) for method in (ADVERSARIAL, NOISE)]
  [row] = versus.table_rows([compare(synthetic.results(*rows))])
  assert row[4] == row[6] == "0.400 [0.31, 0.50]"


def test_the_papers_values_keep_their_digits():
  results = synthetic.results(many(ADVERSARIAL, 0.4, 0.2), many(NOISE, 0.3, 0.2))
  assert versus.table_rows([compare(results, (0.0997, 0.1))])[0][3:7:2] == ["0.0997", "0.10"]


def test_markdown_latex_and_csv(tmp_path):
  headings, rows = ["a|b", "p"], [["x_1 & 5 %", "<0.001"], ["0.1 ± 0.2 †", "-"]]
  assert render.markdown(headings, rows) == (
    "| a\\|b | p |\n| --- | --- |\n| x_1 & 5 % | <0.001 |\n| 0.1 ± 0.2 † | - |\n"
  )
  text = render.latex(headings, rows, caption="50 % of it", label="t")
  assert r"\caption{50 \% of it}" in text and r"\label{tab:t}" in text
  assert r"x\_1 \& 5 \% & $<$0.001 \\" in text
  assert r"0.1 $\pm$ 0.2 $\dagger$ & - \\" in text
  assert r"\begin{tabular}{ll}" in text and text.isascii()
  render.write_csv(tmp_path / "t.csv", [{"a": 1, "b": None}, {"a": 0.5, "b": "x, y"}])
  with (tmp_path / "t.csv").open(newline="") as file:
    assert list(csv.DictReader(file)) == [{"a": "1", "b": ""}, {"a": "0.5", "b": "x, y"}]
