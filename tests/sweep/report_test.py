"""Tables, plots and pages from rows with known numbers."""

import csv

import PIL.Image
import pytest

from fedsafe_tff.sweep import figure2, figure3, page, table1, table2
from fedsafe_tff.sweep.adaptation_claims import share_name
from fedsafe_tff.sweep.report import LEGEND, overview
from tests.sweep import synthetic
from tests.sweep.synthetic import ADVERSARIAL, NOISE, many, results

TABLE1 = results(*(
  many(method, own, other, task=task, eps=eps, spread=0.001 * step)
  for task in ("glioma", "meningioma")
  for eps in (0.005, 0.05)
  for step, (method, own, other) in enumerate((
    ("none", 0.8, 0.8), ("local_adversarial_training", 0.5, 0.5), (ADVERSARIAL, 0.4, 0.4),
    (NOISE, 0.3, 0.1),
  ), 1)
))


def read_csv(path):
  with path.open(newline="") as file:
    return list(csv.DictReader(file))


def test_table_1(tmp_path):
  report = table1.report(synthetic.request(tmp_path), TABLE1, tmp_path)
  rows = read_csv(tmp_path / "table1.csv")
  assert [(r["task"], r["eps"], r["metric"]) for r in rows] == [
    (task, eps, metric)
    for task in ("glioma", "meningioma")
    for eps in ("0.005", "0.05")
    for metric in ("asr_self", "asr_avg")
  ]
  last = rows[-1]  # meningioma, 0.05, avg: the paper has 0.27 and 0.15
  assert (last["paper_first"], last["paper_second"]) == ("0.27", "0.15")
  assert float(last["first_mean"]) == pytest.approx(0.406)
  assert float(last["second_mean"]) == pytest.approx(0.108)
  assert float(last["difference"]) == pytest.approx(-0.298)
  assert (last["paper_direction"], last["our_direction"], last["agrees"]) == (
    "lower", "lower", "yes",
  )
  same = rows[1]  # glioma, 0.005, avg: 0.00 and 0.00 in the paper
  assert (same["paper_direction"], same["agrees"]) == ("same", "no")
  markdown = (tmp_path / "table1.md").read_text()
  assert "| meningioma | 0.05 | avg | 0.27 | 0.406 ± 0.006 | 0.15 | 0.108 ± 0.008 |" in markdown
  latex = (tmp_path / "table1.tex").read_text()
  assert r"meningioma & 0.05 & avg & 0.27 & 0.406 $\pm$ 0.006 & 0.15" in latex
  assert markdown in report.sections[0].text
  assert [section.title for section in report.sections] == ["Beside the paper", "All cells"]
  assert len(report.claims) == 7


def test_every_cell_has_its_clean_accuracy_and_both_readings(tmp_path):
  rows = [r | {"asr_self_correct": 0.125, "asr_avg_correct": 0.0625} for r in TABLE1.rows]
  section = overview(results(rows), tmp_path)
  assert section.text.startswith(LEGEND)
  assert "| glioma | undefended | 0.005 | 0.900 ± 0.000 | 0.802 ± 0.002 | 0.802" in section.text
  assert "variant" not in section.text
  found = read_csv(tmp_path / "all_cells.csv")
  assert len(found) == 2 * 2 * 4
  assert {r["method"] for r in found} == {
    "none", "local_adversarial_training", ADVERSARIAL, NOISE,
  }
  assert {(r["seeds"], r["asr_self_correct"], r["asr_avg_correct"]) for r in found} == {
    ("5", "0.125", "0.0625")
  }


def test_collapsed_models_carry_a_mark(tmp_path):
  section = overview(results(many(NOISE, 0.0, 0.0, clean_accuracy=0.61)), tmp_path)
  assert "| 0.610 ± 0.000 † |" in section.text


def test_table_2_has_sizes_and_their_average(tmp_path):
  rows = results(*(
    many(method, 0.5, other * eps, task="pathology", variant=variant, eps=eps)
    for method in (ADVERSARIAL, NOISE)
    for variant, other in (("no DP", 4.0), ("DP", 2.0))
    for eps in (0.01, 0.03, 0.05, 0.07)
  ))
  report = table2.report(synthetic.request(tmp_path), rows, tmp_path)
  found = read_csv(tmp_path / "table2.csv")
  assert [r["eps"] for r in found] == 2 * ["0.01", "0.03", "0.05", "0.07", "average"]
  average = found[-1]
  assert (average["method"], average["paper_first"], average["paper_second"]) == (
    NOISE, "0.1219", "0.0958",
  )
  assert float(average["first_mean"]) == pytest.approx(4 * 0.04)
  assert float(average["second_mean"]) == pytest.approx(2 * 0.04)
  assert "| pathology | distributed noise | average | avg | 0.122 | 0.160" in (
    report.sections[0].text
  )
  assert "In 10 of 10" in report.sections[0].text.replace("agrees with the paper's in", "In")
  assert [claim.verdict for claim in report.claims] == ["holds", "can't be judged here"]


def test_figure_2_and_figure_3_are_pictures_with_tables(tmp_path):
  shares = results(*(
    many(method, 0.5 - share / 3, 0.4 - share / 3, variant=share_name(share), eps=0.03)
    for method in (ADVERSARIAL, NOISE)
    for share in (0.1, 0.2, 1.0)
  ))
  for module, rows, name in (
    (figure2, TABLE1, "figure2.png"), (figure3, shares, "figure3_eps0.03.png"),
  ):
    report = module.report(synthetic.request(tmp_path), rows, tmp_path)
    assert f"]({name})" in report.sections[0].text
    with PIL.Image.open(tmp_path / name) as picture:
      picture.load()
      assert picture.width > 500
    assert len(report.claims) == 4
  assert read_csv(tmp_path / "figure3.csv")[1]["variant"] == "20 %"


def test_the_page_says_what_was_found_and_what_failed(tmp_path):
  request = synthetic.request(tmp_path, seeds=(0, 1), command="python -m experiments.table1 --x=1")
  cells = table1.cells(request)
  report = table1.report(request, TABLE1, tmp_path)
  path = page.write(tmp_path, table1.TITLE, report, request, cells, [("glioma, seed 1", "a loss")])
  text = path.read_text()
  assert text.startswith("# Table 1")
  assert "| 1 | Distributed noise lowers the self-ASR by up to 8%" in text
  assert "| **holds** |" in text and "\n1. Largest reduction: " in text
  assert "- glioma, seed 1: a loss\n" in text
  assert "python -m experiments.table1 --x=1" in text and "- seeds: 0, 1\n" in text
