import dataclasses
import re

import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.report import side_by_side
from fedsafe_tff.runs.report.run_folder import RunFolder
from fedsafe_tff.runs.report.side_by_side import Entry
from tests.runs.report import synthetic


def result(eps, robust, asr, attack="pgd", attacker="own_copy"):
  return {
    "attacker": attacker, "attack": attack, "eps": eps, "asr_self": asr, "asr_avg": asr / 2,
    "attack_accuracy_self": robust, "attack_accuracy_avg": robust + 0.05,
  }  # fmt: skip


def entry(tmp_path, name, evaluation):
  folder = synthetic.finished(tmp_path / name)
  run = RunFolder.read(folder)
  run.evaluation.clear()
  run.evaluation.update(
    {"evaluation": "strong", "clean_accuracy_global": 0.9, "clean_accuracy_clients": [0.8, 0.9],
     "majority_class": 0.6, "attacked_images": 60} | evaluation
  )  # fmt: skip
  return Entry(name, f"What {name} is.", run)


def cells(page):
  rows = re.findall(r"<tr>(.*?)</tr>", page.read_text(), re.DOTALL)
  return [re.findall(r"<td>(.*?)</td>", row) for row in rows if "<td>" in row]


def test_the_worst_of_all_attackers_and_who_it_is(tmp_path):
  strong = {
    "results": [
      result(0.01, 0.7, 0.2, "worst of 2"), result(0.01, 0.6, 0.3, "mi", "noise_ensemble"),
      result(0.01, 0.5, 0.4, "worst of 3", "worst"),
    ],
  }
  weak = {"results": [result(0.01, 0.3, 0.6), result(0.01, 0.2, 0.7, "fgsm")]}
  page = side_by_side.write(
    tmp_path / "page.html", "Two <runs>",
    [entry(tmp_path, "one", strong), entry(tmp_path, "two", weak)],
  )
  first, second, *attackers = cells(page)
  assert [row[0] for row in attackers] == ["own_copy", "noise_ensemble", "all of them"]
  assert first[:4] == ["one", "0.900 / 0.850", "0.500 / 0.550", "0.400 / 0.200"]
  assert first[4] == "noise_ensemble"
  assert second[2:5] == ["0.200 / 0.250", "0.700 / 0.350", "fgsm"]
  text = page.read_text()
  assert "Two &lt;runs&gt;" in text and "What two is." in text
  assert 'href="one/report.html"' in text
  assert "Accuracy under the worst attack against clean accuracy" in text
  assert not re.search(r"(src|href)=\"http", text)  # needs no network


def test_who_attacks_best_in_each_run_by_an_evaluation_of_several(tmp_path):
  alone = {"results": [result(0.01, 0.7, 0.2, "worst of 4")]}
  several = {"evaluation": "chosen", "attacked_images": 40}
  later = several | {
    "results": [
      result(0.01, 0.7, 0.2, "worst of 2"),
      result(0.01, 0.6, 0.1, "mi", "averaging") | {"asr_avg": 0.3},
      result(0.01, 0.5, 0.4, "worst of 3", "worst"),
    ],
  }
  entries = [
    dataclasses.replace(entry(tmp_path, name, alone), attackers=evaluation)
    for name, evaluation in (("one", several | alone), ("two", later))
  ]
  page = side_by_side.write(tmp_path / "page.html", "Who", entries)
  found = cells(page)
  # Of a suite of one attacker its attacks together are no name of anybody.
  assert found[0][4] == "own_copy" and found[1][4] == "own_copy / averaging"
  assert found[2:] == [
    ["own_copy", "0.200 / 0.100", "0.200 / 0.100"],
    ["averaging", "-", "0.100 / 0.300"],
    ["all of them", "0.200 / 0.100", "0.400 / 0.200"],
  ]
  assert "Who attacks best" in page.read_text() and "on 40 evaluation" in page.read_text()
  other = dataclasses.replace(entries[0], attackers=None)  # on other images, by another suite
  page = side_by_side.write(tmp_path / "page.html", "Who", [other, entries[1]])
  assert "Who attacks best" not in page.read_text()
  page = side_by_side.write(tmp_path / "page.html", "Who", entries[:1])
  assert "Who attacks best" not in page.read_text()


def test_a_size_that_one_lacks_has_no_column(tmp_path):
  both = {"results": [result(0.01, 0.7, 0.2), result(0.02, 0.6, 0.3)]}
  one = {"results": [result(0.02, 0.7, 0.2)]}
  page = side_by_side.write(
    tmp_path / "page.html", "x", [entry(tmp_path, "a", both), entry(tmp_path, "b", one)]
  )
  assert "eps 0.02" in page.read_text() and "eps 0.01<" not in page.read_text()
  other = {"results": [result(0.03, 0.7, 0.2)]}
  with pytest.raises(UserError, match="no common size"):
    side_by_side.write(
      tmp_path / "page.html", "x", [entry(tmp_path, "c", both), entry(tmp_path, "d", other)]
    )
  with pytest.raises(UserError, match="no evaluation yet"):
    side_by_side.write(tmp_path / "page.html", "x", [entry(tmp_path, "e", {"results": []})])
