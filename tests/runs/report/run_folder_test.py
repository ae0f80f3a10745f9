import dataclasses

import numpy as np
import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.report.run_folder import RunFolder, names
from tests.runs.report import synthetic


def test_a_whole_run(tmp_path):
  run = RunFolder.read(synthetic.finished(tmp_path, task="four_class"))
  assert run.title() == "phantom four_class, distributed_noise"
  assert run.config["rounds"] == 3 and "finished" in run.manifest
  assert [row["round"] for row in run.metrics] == [1, 2, 3] and len(run.clients) == 6
  assert run.partition["clients"] == [[12, 8], [5, 16]]
  assert run.evaluation["clean_accuracy_global"] == 0.8125
  assert run.examples["original"].shape == (3, 16, 16, 1) and str(run.examples["attack"]) == "fgsm"
  rounds, values = run.column("train_loss")
  np.testing.assert_array_equal(rounds, [1, 2, 3])
  np.testing.assert_array_equal(values, [0.7, 0.5, 0.25])


def test_matrices_have_adversaries_in_rows(tmp_path):
  matrices = RunFolder.read(synthetic.finished(tmp_path)).matrices()
  assert set(matrices) == {(a, e) for a in ("fgsm", "pgd") for e in synthetic.SIZES}
  for (attack, eps), matrix in matrices.items():
    expected = [[synthetic.asr(attack, eps, a, v) for v in (0, 1)] for a in (0, 1)]
    np.testing.assert_allclose(matrix, expected)
  other = RunFolder.read(tmp_path).matrices("attack_accuracy")
  np.testing.assert_array_equal(other["pgd", 0.01], np.full([2, 2], 0.25))


def test_an_interrupted_run_has_what_it_has(tmp_path):
  run = RunFolder.read(synthetic.interrupted(tmp_path))
  assert run.title() == "phantom, distributed_noise"
  for part in (run.manifest, run.metrics, run.clients, run.partition, run.evaluation, run.examples):
    assert len(part) == 0
  assert run.matrices() == {}
  assert [len(part) for part in run.column("train_loss")] == [0, 0]
  synthetic.write_metrics(tmp_path, rounds=2)
  (tmp_path / "evaluation.json").write_text('{"clean_accuracy_global": 0.')
  # Files are written whole: half of one is no interrupted run, and a report without it would lie.
  with pytest.raises(UserError, match="evaluation.json is damaged .*it is no JSON"):
    RunFolder.read(tmp_path)
  damaged = []
  run = RunFolder.read(tmp_path, damaged)
  assert len(run.metrics) == 2 and run.evaluation == {} and damaged == ["evaluation.json"]


def test_empty_cells_and_nan_are_left_out(tmp_path):
  synthetic.interrupted(tmp_path)
  synthetic.write_metrics(
    tmp_path, train_loss=("nan", 0.5, "inf"), validation_loss=("", "", ""), epsilon=("", 3.5, 4)
  )
  run = RunFolder.read(tmp_path)
  assert [row["train_loss"] for row in run.metrics] == [None, 0.5, None]
  rounds, values = run.column("train_loss")
  np.testing.assert_array_equal((rounds, values), ([2], [0.5]))
  assert run.column("validation_loss")[0].size == 0
  np.testing.assert_array_equal(run.column("epsilon")[1], [3.5, 4.0])
  assert run.column("no_such_metric")[0].size == 0


def test_an_empty_cell_of_the_matrix_is_nan(tmp_path):
  synthetic.finished(tmp_path)
  row = {"attack": "fgsm", "eps": 0.1, "adversary": 1, "victim": 0, "asr": ""}
  synthetic.write_csv(tmp_path / "transfer_matrix.csv", [row, row | {"victim": 1, "asr": 0.5}])
  (matrix,) = RunFolder.read(tmp_path).matrices().values()
  np.testing.assert_array_equal(matrix, [[np.nan, np.nan], [np.nan, 0.5]])


def test_a_baseline_is_named_by_its_algorithm(tmp_path):
  synthetic.interrupted(tmp_path)
  config = (tmp_path / "config.json").read_text()
  (tmp_path / "config.json").write_text(config.replace('"fedsafe"', '"tff_fed_avg"'))
  assert RunFolder.read(tmp_path).title() == "phantom, tff_fed_avg"


def test_another_folder_is_a_user_error(tmp_path):
  for path in (tmp_path, tmp_path / "none"):
    with pytest.raises(UserError, match="not a run folder.*config.json"):
      RunFolder.read(path)


def test_matrices_of_many_clients_take_no_array_per_row(tmp_path):
  """An array for every one of N^2 rows was 673 s for 1,000 clients."""
  count = 60
  run = RunFolder.read(synthetic.finished(tmp_path))
  rows = [
    {"attack": "pgd", "eps": 0.01, "adversary": 2.0 * a, "victim": 2.0 * v, "asr": a / count}
    for a in range(count)
    for v in range(count)
  ]
  run = dataclasses.replace(run, transfer=rows)
  full, made = np.full, []
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(np, "full", lambda *given, **more: made.append(given) or full(*given, **more))
    matrix = run.matrices()["pgd", 0.01]
  assert len(made) == 1
  assert matrix.shape == (count, count)  # clients with a place each, also where they are a sample
  np.testing.assert_array_equal(matrix, np.arange(count)[:, None] / count + np.zeros(count))


def test_training_took_its_rounds_and_the_healing_of_its_copies(tmp_path):
  synthetic.finished(tmp_path)
  assert RunFolder.read(tmp_path).training_seconds() == 59.5
  synthetic.write_json(tmp_path / "manifest.json", copies_seconds=40.0)
  assert RunFolder.read(tmp_path).training_seconds() == 99.5
  healed = synthetic.interrupted(tmp_path / "healed")
  synthetic.write_json(healed / "config.json", defense="combined")
  synthetic.write_metrics(healed)
  assert RunFolder.read(healed).training_seconds() is None  # from before it was measured


def test_runs_with_one_title_are_told_apart_by_folder_and_by_path(tmp_path):
  other = {"dataset": "brain_tumor"}
  runs = [
    RunFolder.read(synthetic.interrupted(tmp_path / name, **settings))
    for name, settings in (("a/run", {}), ("b/run", {}), ("c", {}), ("d", other))
  ]
  title = "phantom, distributed_noise"
  assert names(runs) == [
    f"{title} ({tmp_path / 'a/run'})", f"{title} ({tmp_path / 'b/run'})", f"{title} (c)",
    runs[3].title(),
  ]  # fmt: skip
