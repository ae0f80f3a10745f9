"""All tables and figures on a tiny phantom, from one cache that begins with a stopped training."""

import os
import shutil
import signal

import numpy as np
import pytest

from fedsafe_tff import versions
from fedsafe_tff.commands import ablation, figure1, figure2, figure3, table1, table2, train
from fedsafe_tff.errors import Notice, UserError
from fedsafe_tff.evaluation.transfer import Evaluator
from fedsafe_tff.paper import paper
from fedsafe_tff.runs import loop, run_dir
from tests.commands.tables import rows, trainings, words
from tests.runs import tiny

pytestmark = pytest.mark.usefixtures("built_once")

BINARIES = {
  "table1": table1.table1,
  "table2": table2.table2,
  "figure1": figure1.figure1,
  "figure2": figure2.figure2,
  "figure3": figure3.figure3,
}

@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """The folder with the results of all five; the first training was stopped after a round."""
  folder = tmp_path_factory.mktemp("sweeps")
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(paper, "SHARES", (0.2, 1.0))
    save = loop.Checkpoints.save

    def save_and_stop(self, state, version):
      save(self, state, version)
      os.kill(os.getpid(), signal.SIGTERM)

    patch.setattr(loop.Checkpoints, "save", save_and_stop)
    assert table1.table1(words(folder, "table1")) == 1
    patch.setattr(loop.Checkpoints, "save", save)
    assert not (folder / "table1" / "README.md").exists()
    [stopped] = trainings(folder).values()
    assert [r["round"] for r in tiny.rows(stopped / "metrics.csv")] == ["1"]
    for name, binary in BINARIES.items():
      assert binary(words(folder, name)) == 0, name
  return folder


def test_every_table_and_figure_has_its_page_and_files(made):
  expected = {
    "table1": {"table1.md", "table1.csv", "table1.tex", "all_cells.csv"},
    "table2": {"table2.md", "table2.csv", "table2.tex", "all_cells.tex"},
    "figure1": {"figure1.md", "phantom"},
    "figure2": {"figure2.png", "figure2.csv"},
    "figure3": {"figure3_eps0.03.png", "figure3.md"},
  }
  for name, files in expected.items():
    found = {p.name for p in (made / name).iterdir()}
    assert files | {"README.md"} <= found
    page = (made / name / "README.md").read_text()
    assert f"python -m experiments.{name} --flagfile=tiny.flags --out=FOLDER" in page
    assert "- seeds: 0\n" in page and " cores, " in page and str(made) not in page
    assert "Cells that are lacking" not in page
    if name != "figure1":
      assert {"numbers.csv", "claims.csv"} <= found
  assert (made / "figure1" / "phantom" / "plots" / "triptych.png").is_file()


def test_methods_share_trainings(made):
  """Plain, local adversarial, with DP: three, whatever number of cells rests on them."""
  found = trainings(made)
  assert len(found) == 3
  plain = [p for p in found.values() if (p / "adapted").is_dir() and (p / "examples").is_dir()]
  assert len(plain) == 1
  # The full share serves both methods in both tables and figures; a fifth serves Figure 3.
  assert len(list((plain[0] / "adapted").glob("*.npz"))) == 2
  manifest = tiny.read_json(plain[0] / "manifest.json")
  assert manifest["training_seconds"] > 0 and len(manifest["data_hash"]) == 64
  assert {"versions", "git_commit", "hardware", "privacy", "finished"} <= set(manifest)
  config = tiny.read_json(plain[0] / "config.json")
  assert config["defense"] == "none" and config["uplink_sigma"] == 0


def test_every_number_leads_to_its_evaluation_and_training(made):
  for name in ("table1", "table2", "figure2", "figure3"):
    numbers = rows(made / name / "numbers.csv")
    assert numbers
    for row in numbers:
      evaluation = tiny.read_json(made / "sweep" / row["evaluation"])
      assert evaluation["result"]["asr_self"] == float(row["asr_self"])
      assert evaluation["config"]["attack_eps"] == [float(row["eps_pixels"])]
      assert evaluation["config"]["seed"] == int(row["seed"])
      assert evaluation["config"]["defense"] == row["method"]
      assert (made / "sweep" / row["training"] / "manifest.json").is_file()
      matrix = [t["asr"] for t in evaluation["transfer_matrix"] if t["adversary"] == t["victim"]]
      assert np.mean(matrix) == pytest.approx(float(row["asr_self"]))
  shares = {r["variant"] for r in rows(made / "figure3" / "numbers.csv")}
  assert shares == {"0 %", "20 %", "100 %"}
  noised = {
    tiny.read_json(made / "sweep" / r["evaluation"])["config"]["uplink_sigma"]
    for r in rows(made / "table2" / "numbers.csv")
  }
  assert noised == {0.0, 0.001}


def test_the_numbers_are_those_of_a_run_of_its_own(made, tmp_path):
  """Bit for bit, though the cell came from a resumed training that knew of no defence."""
  run = tiny.arguments(
    tmp_path, defense="distributed_noise", attacks="pgd", attack_eps="0.005,0.012,0.017,0.05",
    keep_checkpoints=2, noise_seed=4,
  )
  assert train.train(run) == 0
  alone = tiny.read_json(tmp_path / "run" / "evaluation.json")["results"]
  cells = [
    row for row in rows(made / "table1" / "numbers.csv") if row["method"] == "distributed_noise"
  ]
  assert len(alone) == len(cells) == 4
  for one, row in zip(alone, cells):
    for metric in ("eps", "asr_self", "asr_avg", "asr_self_correct", "clean_accuracy"):
      assert float(row[metric]) == one[metric], metric


def test_a_second_time_everything_is_there(made, capsys, monkeypatch):
  monkeypatch.setattr(paper, "SHARES", (0.2, 1.0))
  monkeypatch.setattr(loop, "train", None)  # calling it would fail
  before = {p: p.stat().st_mtime_ns for p in (made / "sweep").rglob("*") if p.is_file()}
  for name, binary in BINARIES.items():
    page = made / name / "README.md"
    text = page.read_text()
    assert binary(words(made, name)) == 0
    assert "nothing to train or attack" in capsys.readouterr().out
    assert page.read_text() == text
  after = {p: p.stat().st_mtime_ns for p in (made / "sweep").rglob("*") if p.is_file()}
  assert before == after


def test_one_missing_evaluation_is_made_alone(made, capsys, monkeypatch):
  monkeypatch.setattr(loop, "train", None)
  *_, row = found = rows(made / "figure2" / "numbers.csv")
  number = len(found)
  file = made / "sweep" / row["evaluation"]
  before = tiny.read_json(file)
  file.unlink()
  assert figure2.figure2(words(made, "figure2", only_cached=True)) == 1
  assert "1 cells are not in" in capsys.readouterr().out
  assert not file.exists() and len(rows(made / "figure2" / "numbers.csv")) == number - 1
  page = (made / "figure2" / "README.md").read_text()
  assert "## Cells that are lacking" in page and "seed 0: not in the cache" in page
  assert figure2.figure2(words(made, "figure2")) == 0
  assert "1 of them to be done" in capsys.readouterr().out
  assert len(rows(made / "figure2" / "numbers.csv")) == number
  after = tiny.read_json(file)
  assert after["result"] == before["result"]
  assert after["transfer_matrix"] == before["transfer_matrix"]


def older(made, folder, row, copies):
  """A copy of the cache in which an evaluation is as an older version left it."""
  shutil.copytree(made / "sweep", folder / "sweep")
  file = folder / "sweep" / row["evaluation"]
  stored = tiny.read_json(file)
  del stored["result_versions"]["definitions"]
  run_dir.write_json(file, stored | {"clean_accuracy_clients": copies})
  return file


def test_an_older_definition_is_computed_anew_from_the_model_that_is_there(
  made, tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(loop, "train", None)
  row = next(
    r for r in rows(made / "figure2" / "numbers.csv") if r["method"] == "distributed_noise"
  )
  before = tiny.read_json(made / "sweep" / row["evaluation"])
  attacked = before["result"]["clean_accuracy"]
  file = older(made, tmp_path, row, [attacked] * 3)
  # Only some of the images are attacked, says the evaluation of this older version.
  stored = tiny.read_json(file)
  run_dir.write_json(file, stored | {"attacked_images": stored["attacked_images"] - 1})
  assert figure2.figure2(words(tmp_path, "figure2", only_cached=True)) == 0
  page = (tmp_path / "figure2" / "README.md").read_text()
  assert "1 in 1, 2 in 20" in page and "‡1" in page
  found = rows(tmp_path / "figure2" / "numbers.csv")
  assert [r["clean_accuracy_all"] for r in found if r["definitions"] == "1"] == [""]

  monkeypatch.setattr(Evaluator, "attack", None)  # its attack is there
  assert figure2.figure2(words(tmp_path, "figure2")) == 0
  assert "clean accuracy by today's definition" in capsys.readouterr().out
  after = tiny.read_json(file)
  assert after["clean_accuracy_clients"] == before["clean_accuracy_clients"]
  assert after["result_versions"] == before["result_versions"] and after["renewed"]["hardware"]
  assert after["result"] == before["result"] and after["git_commit"] == before["git_commit"]
  columns = [
    [(r["clean_accuracy_all"], r["definitions"]) for r in rows(folder / "figure2" / "numbers.csv")]
    for folder in (tmp_path, made)
  ]
  assert columns[0] == columns[1]


def test_an_older_evaluation_of_another_model_is_attacked_anew(made, tmp_path, monkeypatch):
  monkeypatch.setattr(loop, "train", None)
  row = next(
    r for r in rows(made / "figure2" / "numbers.csv") if r["method"] == "distributed_noise"
  )
  before = tiny.read_json(made / "sweep" / row["evaluation"])
  file = older(made, tmp_path, row, [0.125] * 3)
  other = tiny.read_json(file)
  other["result"] |= {"clean_accuracy": 0.125, "asr_self": 0.25}
  run_dir.write_json(file, other | {"attacked_images": 1})
  assert figure2.figure2(words(tmp_path, "figure2")) == 0
  after = tiny.read_json(file)
  assert after["result"] == before["result"] and "renewed" not in after


def test_numbers_of_other_keys_or_splits_do_not_mix(made, tmp_path, capsys, monkeypatch):
  shutil.copytree(made / "sweep", tmp_path / "sweep")
  row = rows(made / "table1" / "numbers.csv")[0]
  now = versions.current()
  other = {"result_versions": now | {"splits": now["splits"] + 1}}
  file = tmp_path / "sweep" / row["evaluation"]
  run_dir.write_json(file, tiny.read_json(file) | other)
  with pytest.raises(UserError, match=f"are not of one version.*{row['training']}"):
    table1.table1(words(tmp_path, "table1", only_cached=True))
  assert not (tmp_path / "table1" / "README.md").exists()
  assert table1.table1(words(tmp_path, "table1", only_cached=True, mixed_versions=True)) == 0
  page = (tmp_path / "table1" / "README.md").read_text()
  assert "## Numbers of different versions" in page and "--mixed_versions=True" in page
  assert f"splits {now['splits'] + 1}: {row['training']}" in page
  # What is missing is not begun either; and no training of another version is gone on with.
  monkeypatch.setattr(loop, "train", None)
  capsys.readouterr()
  with pytest.raises(UserError, match="what is still to be made"):
    table1.table1(words(tmp_path, "table1", attack_eps=f"{row['eps']},0.3"))
  manifest = tmp_path / "sweep" / row["training"] / "manifest.json"
  run_dir.write_json(manifest, tiny.read_json(manifest) | other)
  with pytest.raises(UserError, match="was made by a version with splits .*give another --cache"):
    table1.table1(words(tmp_path, "table1", attack_eps=0.3))


def test_a_cache_without_models_trains_again_and_says_whether_it_is_the_same(
  made, tmp_path, capsys
):
  """As from an archive: what is there stays, what lacks is made with a model that is made anew."""
  shutil.copytree(
    made / "sweep", tmp_path / "sweep", ignore=shutil.ignore_patterns("checkpoints", "*.npz")
  )
  numbers = rows(made / "table1" / "numbers.csv")
  noised = next(r for r in numbers if r["method"] == "distributed_noise")
  local = next(r for r in numbers if r["method"] == "local_adversarial_training")
  for row in (noised, local):
    (tmp_path / "sweep" / row["evaluation"]).unlink()
  metrics = tmp_path / "sweep" / local["training"] / "metrics.csv"
  text = metrics.read_text()
  loss = tiny.rows(metrics)[-1]["train_loss"]
  metrics.write_text(text.replace(loss, "9.5"))

  assert table1.table1(words(tmp_path, "table1")) == 0
  told = capsys.readouterr().out
  assert told.count("holds no model: it is trained again") == 2
  assert f"with another outcome than before (last round: train_loss 9.5, now {loss})" in told
  manifests = {
    row["method"]: tiny.read_json(tmp_path / "sweep" / row["training"] / "manifest.json")
    for row in (noised, local)
  }
  before = tiny.read_json(made / "sweep" / noised["training"] / "manifest.json")
  same = manifests["distributed_noise"]["trained_before"]
  assert same["differs_now"] == [] and same["finished"] == before["finished"]
  assert manifests["local_adversarial_training"]["trained_before"]["differs_now"] == ["train_loss"]
  assert metrics.read_text().count(loss) == 1 and manifests["distributed_noise"]["finished"]
  for row in (noised, local):
    first, again = (tiny.read_json(f / "sweep" / row["evaluation"]) for f in (made, tmp_path))
    assert again["result"] == first["result"]


def test_a_damaged_model_is_trained_again_from_the_round_before(made, tmp_path, capsys):
  shutil.copytree(made / "sweep", tmp_path / "sweep")
  row = next(r for r in rows(made / "table1" / "numbers.csv") if r["method"] == "none")
  file = tmp_path / "sweep" / row["evaluation"]
  before = tiny.read_json(file)
  file.write_bytes(file.read_bytes()[:-9])
  training = tmp_path / "sweep" / row["training"]
  states = training / "checkpoints"
  (states / "program_state_2" / "saved_model.pb").write_bytes(b"")
  (training / "manifest.json").write_text("{")
  with pytest.warns(Notice, match="round 2 can't be read.*put aside"):
    assert table1.table1(words(tmp_path, "table1")) == 0
  assert tiny.read_json(file)["result"] == before["result"]
  assert sorted(p.name for p in states.iterdir()) == [
    "damaged_2", "program_state_1", "program_state_2",
  ]
  assert tiny.read_json(training / "manifest.json")["finished"]
  assert (training / "damaged_manifest.json").read_text() == "{"


def test_a_study_takes_its_trainings_from_the_cache(made, capsys, monkeypatch):
  monkeypatch.setattr(loop, "train", None)
  folder = made / "ablation"
  assert ablation.ablation(words(made, "ablation", study="eps_units", attack_eps=0.1)) == 0
  found = {
    (r["variant"], r["method"]): float(r["eps_pixels"]) for r in rows(folder / "numbers.csv")
  }
  assert len(found) == 4 * 3
  assert found["pixels", "none"] == 0.1 and found["of [-1, 1]", "distributed_noise"] == 0.05
  page = (folder / "README.md").read_text()
  assert "## Against: pixels" in page and "| size of a step | all images |" in page
  assert "0.1 (0.05 of a pixel's range)" in page


def test_a_training_that_diverges_leaves_a_gap_that_the_page_names(tmp_path, capsys):
  assert figure2.figure2(words(tmp_path, "figure2", learning_rate=1e20, attack_eps=0.1)) == 1
  assert "3 cells could not be done" in capsys.readouterr().out
  page = (tmp_path / "figure2" / "README.md").read_text()
  assert "## Cells that are lacking" in page
  assert "- phantom, undefended, seed 0: round 1: " in page
  assert "can't be judged here" in page and not (tmp_path / "figure2" / "numbers.csv").exists()


def test_wrong_data_is_told_before_anything_is_trained(tmp_path):
  wrong = {"tasks": "phantom,glioma", "brain_tumor_dir": tmp_path / "missing"}
  with pytest.raises(UserError, match="missing"):
    table1.table1(words(tmp_path, "table1", **wrong))
  assert not (tmp_path / "sweep" / "trainings").exists()


def test_other_images_and_other_keys_in_the_same_cache_are_refused(made):
  row = rows(made / "table1" / "numbers.csv")[0]
  file = made / "sweep" / row["training"] / "manifest.json"
  text = file.read_text()
  manifest = tiny.read_json(file)
  assert manifest["identity"][:12] in row["training"]
  other_keys = manifest | {"result_versions": {"keys": 1}}
  try:
    run_dir.write_json(file, manifest | {"identity": "0" * 64})
    with pytest.raises(UserError, match="trained on other images.*another --cache"):
      table1.table1(words(made, "table1", attack_eps=0.3))
    run_dir.write_json(file, other_keys)
    with pytest.raises(UserError, match="by a version with keys 1.*another --cache"):
      table1.table1(words(made, "table1", attack_eps=0.3))
  finally:
    file.write_text(text)
