"""Audits side by side, from what is stored of them."""

import pathlib

from fedsafe_tff.runs.report.audit_page import text_of
from fedsafe_tff.runs.report.audit_table import Audited, Row, table
from fedsafe_tff.runs.report.run_folder import RunFolder

PRIVACY = {"now": {"mechanism": "dp_sgd", "epsilon": 7.96}}


def judged(attack, auc, model="global model"):
  return {
    "model": model, "attack": attack, "auc": auc, "low": auc - 0.05, "high": auc + 0.05,
    "advantage": 0.1, "true_positives": 0.2, "found_low": 0.125, "found_high": 0.333,
  }  # fmt: skip


def audited(name, rows, stated=None, refuted=None, **config):
  run = RunFolder(
    pathlib.Path(name), {"dataset": "phantom", "defense": "none", "seed": 0} | config, {}, [], [],
    {}, {}, [], {}, privacy=stated or {"now": {"mechanism": "none", "epsilon": None}},
  )  # fmt: skip
  found = {
    "membership": [judged("threshold on loss", 0.6)],
    "inversion": [{"images": 1, "ssim": 0.9, "control": 0.4, "psnr": 20.0, "correlation": 0.5}],
    "one_run": {
      "sentence": "Audit: so.", "epsilon": 1.5, "most": 3.0, "refuted": refuted,
      "stated_epsilon": None, "watched_steps": 4, "steps": 8,
      "adaptive_clip": config.get("dp_clip") == "adaptive",
    },
    "shadows": None,
  }  # fmt: skip
  return Audited(run, found, rows)


def difference(auc, paired=True):
  return {"auc": auc, "low": auc - 0.02, "high": auc + 0.02, "paired": paired}


FIRST = audited("a", [Row("global model", judged("threshold on loss", 0.6))])


def cells(text):
  lines = [line for line in text.splitlines() if line.startswith("|")]
  names, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
  return names, rows


def test_columns_are_what_differs_and_rows_are_models():
  rows = [
    Row("global model", judged("threshold on loss", 0.55), None, difference(-0.05)),
    Row("a client's copy", judged("threshold on margin", 0.5), None, difference(-0.1)),
  ]
  second = audited("b", rows, PRIVACY, privacy="dp_sgd", target_epsilon=8.0)
  names, found = cells(table([FIRST, second]))
  assert names[:5] == ["run", "--privacy", "--target_epsilon", "mechanism", "epsilon"]
  assert "--defense" not in names and not any("LiRA" in name for name in names)
  assert [row[1:6] for row in found] == [
    ["none", "0.0", "none", "-", "global model"],
    ["dp_sgd", "8.0", "dp_sgd", "7.96", "global model"],
    ["dp_sgd", "8.0", "dp_sgd", "7.96", "a client's copy"],
  ]
  assert found[0][6:8] == ["0.600 (0.550 to 0.650)", "-"]
  assert found[1][7] == "-0.050 (-0.070 to -0.030)"
  assert found[1][8:] == ["0.90 / 0.40", "1.5 of 3"] and found[2][8:] == ["", ""]


def test_lira_has_columns_where_any_run_has_it():
  row = Row("global model", judged("threshold on loss", 0.6), judged("LiRA", 0.7), difference(0.0))
  names, found = cells(table([FIRST, audited("b", [row])]))
  assert [name for name in names if "LiRA" in name] == [
    "LiRA, AUC (95 %)", "LiRA, found at 1 % false (95 %)"
  ]  # fmt: skip
  assert found[0][6:9] == ["-"] * 3
  assert found[1][6:9] == ["0.700 (0.650 to 0.750)", "-", "0.200 (0.125 to 0.333)"]


def test_what_is_to_be_known_stands_below():
  def against(paired, **config):
    row = Row("global model", judged("threshold on loss", 0.6), None, difference(0.0, paired))
    return audited("b", [row], **config)

  assert "have the same images" in table([FIRST, against(True)])
  assert "resampled by itself" in table([FIRST, against(False, seed=1)])
  mixed = table([FIRST, against(True), against(False)])
  assert "other images or splits than the first" in mixed
  assert "at its first norm" not in mixed
  adaptive = table([FIRST, against(True, dp_clip="adaptive")])
  assert "b: With --dp_clip=adaptive, what is audited is the clip at its first norm" in adaptive
  assert "REFUTES" in table([FIRST, against(True, refuted=True)])


def test_a_page_says_what_of_an_adaptive_clip_is_audited():
  assert "at its first norm" in text_of(audited("a", [], dp_clip="adaptive").found)
  assert "at its first norm" not in text_of(FIRST.found)
