"""What strangers call things marks up no page, runs in no browser and is no formula."""

import csv

import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.report import render, survey_page
from fedsafe_tff.runs.report.build import build
from fedsafe_tff.runs.report.compare import comparison
from fedsafe_tff.runs.report.run_folder import RunFolder
from tests.runs.report import synthetic

NASTY = "<img src=x onerror=alert(1)>[a](javascript:b)|`c`*d*\n# e"


def test_markdown_of_compare_is_plain(tmp_path):
  run = RunFolder.read(synthetic.finished(tmp_path / "run", data_dir="x"))
  run.config["dataset"] = NASTY
  run.manifest["git_commit"] = "<script>"
  page = comparison([run])
  assert "\n# e" not in page and "<img" not in page.replace("\\<", "")
  assert "\\[a\\](javascript:b)\\|\\`c\\`\\*d\\*" in page and "\\<script" in page
  assert len({line.replace("\\|", "").count("|") for line in page.splitlines()[:3]}) == 1


def test_the_report_escapes_names(tmp_path):
  path = synthetic.finished(tmp_path / "run", class_names=("$x", NASTY), command=[NASTY])
  text = build(path).read_text()
  assert "<img src=x" not in text and "&lt;img src=x onerror" in text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_csv_files_hold_no_formulas(tmp_path, text):
  render.write_csv(tmp_path / "a.csv", [{"site": text, "n": -1.5, "o": None, "s": "St. =x"}])
  with (tmp_path / "a.csv").open(newline="") as file:
    assert list(csv.DictReader(file)) == [{"site": f"'{text}", "n": "-1.5", "o": "", "s": "St. =x"}]


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd", "000.png/../x", "a.png"])
def test_a_report_shows_no_file_from_elsewhere(tmp_path, name):
  (tmp_path / "secret.png").write_bytes(b"secret")
  folder = tmp_path / "run" / "survey"
  folder.mkdir(parents=True)
  sizes = '[{"name": "8x8", "images": 1}]'
  (folder / "survey.json").write_text(
    '{"images": 1, "shape": [8, 8, 1], "groups": 1, "classes": [], "sizes": ' + sizes
    + ', "pictures": [["a", "' + name + '"]]}'
  )
  with pytest.raises(UserError, match="is no picture"):
    survey_page.stored(tmp_path / "run")
