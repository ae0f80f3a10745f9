"""Tables, plots and pages from rows with known numbers."""

import csv

import PIL.Image
import pytest

from fedsafe_tff.paper import ablation, figure2, figure3, leak, page, table1, table2
from fedsafe_tff.paper.adaptation_claims import share_name
from fedsafe_tff.paper.report import LEGEND, overview
from fedsafe_tff.paper.results import Results
from tests.paper import synthetic
from tests.paper.synthetic import ADVERSARIAL, NOISE, many, results, row

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
  assert [section.title for section in report.sections] == [
    "Beside the paper", "Other defences beside the paper's values", "Which attack success rate",
    "All cells",
  ]
  assert len(report.claims) == 10
  assert "against local adversarial training" in report.sections[2].text


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
  assert "| 0.610 ± 0.000 †5 |" in section.text
  # The attacked images may hold more of the largest class than all of them do.
  rows = many(NOISE, 0.0, 0.0, clean_accuracy=0.7, clean_accuracy_all=0.6)
  assert "| 0.700 ± 0.000 †5 |" in overview(results(rows), tmp_path).text


def test_models_of_which_nobody_knows_carry_another_mark(tmp_path):
  """Two seeds of five by an older definition; one of the others has collapsed."""
  rows = many(NOISE, 0.3, 0.1, eps=0.01) + many(ADVERSARIAL, 0.4, 0.4, eps=0.01)
  for old in rows[:2]:
    old |= {"clean_accuracy_all": None, "definitions": 1}
  rows[2]["clean_accuracy_all"] = 0.6
  section = overview(results(rows), tmp_path)
  assert "| 0.900 ± 0.000 †1 ‡2 | 0.300" in section.text
  assert "| 0.900 ± 0.000 | 0.400" in section.text and "‡n: at n seeds nobody knows" in section.text
  cells = read_csv(tmp_path / "all_cells.csv")
  found = {r["method"]: r["collapsed"] + r["unjudged"] for r in cells}
  assert found == {NOISE: "12", ADVERSARIAL: "00"}
  report = table1.report(synthetic.request(tmp_path), results(rows), tmp_path)
  assert "| 0.300 ± 0.000 †1 ‡2 |" in report.sections[0].text
  [own, _] = read_csv(tmp_path / "table1.csv")
  assert (own["first_unjudged"], own["second_unjudged"]) == ("0", "2")
  assert "‡" not in overview(results(rows[5:]), tmp_path).text


def test_the_mean_of_both_is_unknown_where_one_is(tmp_path):
  rows = results(*(
    many(method, 0.5, 0.1, task="pathology", variant=variant, eps=0.03,
         clean_accuracy_all=None if method == NOISE else 0.9)
    for method in (ADVERSARIAL, NOISE)
    for variant in ("no DP", "DP")
  ))
  table2.report(synthetic.request(tmp_path), rows, tmp_path)
  found = {r["method"]: r["first_unjudged"] for r in read_csv(tmp_path / "table2.csv")}
  assert found == {ADVERSARIAL: "0", NOISE: "5", "mean of both": "5"}


def test_table_2_has_sizes_and_their_average(tmp_path):
  rows = results(*(
    many(method, 0.5, other * eps, task="pathology", variant=variant, eps=eps)
    for method in (ADVERSARIAL, NOISE)
    for variant, other in (("no DP", 4.0), ("DP", 2.0))
    for eps in (0.01, 0.03, 0.05, 0.07)
  ))
  report = table2.report(synthetic.request(tmp_path), rows, tmp_path)
  found = read_csv(tmp_path / "table2.csv")
  assert [r["eps"] for r in found] == 3 * ["0.01", "0.03", "0.05", "0.07", "average"]
  average = found[9]
  assert (average["method"], average["paper_first"], average["paper_second"]) == (
    NOISE, "0.1219", "0.0958",
  )
  assert float(average["first_mean"]) == pytest.approx(4 * 0.04)
  assert float(average["second_mean"]) == pytest.approx(2 * 0.04)
  assert "| pathology | distributed noise | average | avg | 0.1219 | 0.160" in (
    report.sections[0].text
  )
  assert float(found[-1]["first_mean"]) == pytest.approx(4 * 0.04)
  text = report.sections[0].text
  for method in ("adversarial training", "distributed noise", "mean of both"):
    assert f"- {method}: The direction of the means agrees with the paper's in 4 of 4" in text
  assert "mean of both" not in report.sections[-1].text
  # All seeds change alike: five of them exclude chance to 1 in 16 only.
  assert [claim.verdict for claim in report.claims] == ["holds in part", "can't be judged here"]


def test_a_collapsed_model_in_table_2(tmp_path):
  rows = results(*(
    many(method, 0.5, 0.1, task="pathology", variant=variant, clean_accuracy=clean, eps=0.03)
    for method, clean in ((ADVERSARIAL, 0.9), (NOISE, 0.6))
    for variant in ("no DP", "DP")
  ))
  report = table2.report(synthetic.request(tmp_path), rows, tmp_path)
  assert "0.100 ± 0.000 †5 |" in report.sections[0].text
  assert "distributed noise, no DP (5 of 5 seeds)" in report.claims[0].evidence[-1]


def test_the_papers_averages_stand_beside_averages_of_the_same_sizes_only(tmp_path):
  rows = results(*(
    many(NOISE, 0.5, 0.1, task="pathology", variant=variant, eps=0.03)
    for variant in ("no DP", "DP")
  ))
  table2.report(synthetic.request(tmp_path), rows, tmp_path)
  [single, average] = read_csv(tmp_path / "table2.csv")
  assert single["paper_first"] == "0.0997" and average["paper_first"] == ""


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
    assert len(report.claims) == (6 if module is figure2 else 4)
  assert read_csv(tmp_path / "figure3.csv")[1]["variant"] == "20 %"


def test_an_ablation_shows_what_changes_and_what_the_claims_come_to(tmp_path):
  rows = results(*(
    many(method, own, other, variant=variant, spread=spread, eps=0.05)
    for variant, more, spread in (("3 clients", 0.0, 0.01), ("10 clients", 0.1, 0.012))
    for method, own, other in ((ADVERSARIAL, 0.5, 0.5), (NOISE, 0.5 + more, 0.1 + more))
  ))
  request = synthetic.request(tmp_path, "ablation", study="clients")
  report = ablation.report(request, rows, tmp_path)
  assert [section.title for section in report.sections] == [
    "Study: clients", "Against: 3 clients", "The paper's claims", "All cells",
  ]
  changes = {(r["method"], r["metric"]): r for r in read_csv(tmp_path / "changes.csv")}
  changed = changes[NOISE, "asr_avg"]
  assert float(changed["difference"]) == pytest.approx(0.104) and changed["seeds"] == "5"
  assert float(changes[ADVERSARIAL, "asr_avg"]["difference"]) == pytest.approx(0.004)
  verdicts = [
    [c.strip() for c in line.strip("|").split(" | ")]
    for line in report.sections[2].text.splitlines()[2:6]
  ]
  # avg falls by 0.4, more than the paper's 0.27, and surely so only where seeds differ.
  assert [(row[0], row[1], row[3]) for row in verdicts] == [
    ("3 clients", "all images", "holds in part"),
    ("3 clients", "images that the model gets right", "holds in part"),
    ("10 clients", "all images", "holds in part"),
    ("10 clients", "images that the model gets right", "holds in part"),
  ]


def test_what_a_variant_leaves_as_it_was_is_no_comparison(tmp_path):
  rows = results(*(
    many(method, 0.5, other, variant=variant, spread=0.01, eps=0.05, evaluation=f"{method} {same}")
    for variant, other in (("sigma 0.001", 0.5), ("sigma 0.01", 0.3))
    for method, same in ((ADVERSARIAL, ""), (NOISE, variant))
  ))  # fmt: skip
  request = synthetic.request(tmp_path, "ablation", study="sigma")
  report = ablation.report(request, rows, tmp_path)
  assert {r["method"] for r in read_csv(tmp_path / "changes.csv")} == {NOISE}
  assert report.sections[-1].text.count("adversarial training |") == 2  # among all cells it stands


def test_the_worth_of_a_leak_is_shown_where_there_is_one(tmp_path):
  rows = results(*(
    [
      row("none", variant=variant, seed=seed, **(worth if variant == "published" else {}))
      for variant in ("grouped", "published")
    ]
    for seed, worth in enumerate((
      {"copied_images": 90, "copied_accuracy": 0.9, "other_images": 10, "other_accuracy": 0.6},
      {"copied_images": 80, "copied_accuracy": 0.8, "other_images": 20, "other_accuracy": 0.7},
    ))
  ))
  report = ablation.report(synthetic.request(tmp_path, "ablation", study="split"), rows, tmp_path)
  assert [section.title for section in report.sections][1:3] == [
    "Against: grouped", "What the leak is worth",
  ]
  assert "| glioma | undefended | published | 85 | 15 | 0.850 ± " in report.sections[2].text
  [told] = read_csv(tmp_path / "leak.csv")
  assert float(told["copied"]) == pytest.approx(0.85) and told["seeds"] == "2"
  assert float(told["difference"]) == pytest.approx(0.2)
  assert leak.section(Results(rows.select(variant="grouped")), tmp_path) is None


def test_a_size_in_other_units_is_told(tmp_path):
  section = overview(results(many(NOISE, 0.5, 0.1, eps_pixels=0.025)), tmp_path)
  assert "| 0.05 (0.025 of a pixel's range) |" in section.text


def test_the_page_says_what_was_found_and_what_failed(tmp_path):
  request = synthetic.request(tmp_path, seeds=(0, 1), command="python -m experiments.table1 --x=1")
  cells = table1.cells(request)
  report = table1.report(request, TABLE1, tmp_path)
  failures = [("glioma, seed 1", "a loss")]
  written = (tmp_path, table1.TITLE, report, request, cells, failures, TABLE1.rows)
  text = page.write(*written, mixed="").read_text()
  assert text.startswith("# Table 1")
  assert "| 1 | Distributed noise lowers the self-ASR by up to 8%" in text
  assert "| **holds** |" in text and "\n1. Largest reduction: " in text
  assert "- glioma, seed 1: a loss\n" in text
  assert "python -m experiments.table1 --x=1" in text and "- seeds: 0, 1\n" in text
  assert "*Holds*: in every case" in text
  assert "- distributed noise: `--adaptation_attack=pgd --adaptation_eps=0.03 " in text
  assert "--downlink_sigma=0.01 " in text
  assert "- undefended: `--evaluation=paper --attacks=pgd --attack_steps=10 " in text
  assert "- local adversarial training: `--local_attack_eps=0.03 --local_attack_steps=3 " in text
  assert "- versions: keys 1, splits 1\n- definitions of the 80 evaluations: 2 in 80\n" in text
  assert "different versions" not in text
  mixed = page.write(*written, mixed="keys 1: a; keys 2: b").read_text()
  before, _, after = mixed.partition("## Numbers of different versions")
  assert before == "# Table 1: ASR (self/avg), adversarial training against distributed noise\n\n"
  assert "keys 1: a; keys 2: b" in after.partition("## The paper's claims")[0]


def test_other_defences_stand_beside_the_papers_values(tmp_path):
  paper_has = many(NOISE, 0.5, 0.2, task="meningioma", eps=0.05)
  below = many("combined", 0.40, 0.2, task="meningioma", eps=0.05)
  report = table1.report(None, results(paper_has, below), tmp_path)
  [text] = [s.text for s in report.sections if s.title.startswith("Other defences")]
  assert "| task | eps | ASR | adv. training, paper | distr. noise, paper | combined |" in text
  assert "| meningioma | 0.05 | self | 0.46 | 0.41 | 0.400 ± 0.000 + |" in text
  assert "| meningioma | 0.05 | avg | 0.27 | 0.15 | 0.200 ± 0.000 (+) |" in text
  without = table1.report(None, results(paper_has), tmp_path).sections
  assert not any(s.title.startswith("Other defences") for s in without)
