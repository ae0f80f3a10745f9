import json

from fedsafe_tff.report.compare import comparison
from fedsafe_tff.report.run_folder import RunFolder
from tests.report import synthetic


def cells(text):
  return [[c.strip() for c in line.strip("|").split(" | ")] for line in text.splitlines()]


def test_a_row_per_run_and_a_column_per_attack_of_any(tmp_path):
  first, second, begun = (tmp_path / name for name in "abc")
  synthetic.finished(first)
  synthetic.finished(second)
  synthetic.write_evaluation(second, attacks=("pgd",), sizes=(0.03, 0.05), clients=1)
  synthetic.interrupted(begun, seed=7)
  manifest = {"git_commit": "0123456789", "seconds_of_last_session": 59.7, "threads": 2}
  (first / "manifest.json").write_text(json.dumps(manifest))

  headings, _, *rows = cells(comparison([RunFolder.read(p) for p in (first, second, begun)]))
  table = [dict(zip(headings, row)) for row in rows]
  assert [row["run"] for row in table] == ["phantom, distributed_noise"] * 3
  assert [row["seed"] for row in table] == ["0", "0", "7"]
  # The matrix of PGD at 0.03 is [[0.8, 0.3625], [0.3, 0.8625]].
  assert [row["ASR self / avg, pgd 0.03"] for row in table] == ["0.831 / 0.331", "0.800 / -", "-"]
  assert [row["ASR self / avg, fgsm 0.01"] for row in table][1:] == ["-", "-"]
  assert table[0]["best trivial baseline"] == "0.688 (nearest_mean)"
  assert (table[0]["commit"], table[0]["seconds"], table[0]["threads"]) == ("01234567", "60", "2")
  assert table[2]["clean accuracy, global / copies"] == "- / -"
