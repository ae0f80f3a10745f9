import numpy as np
import PIL.Image
import pytest

from fedsafe_tff.commands import origin, train
from fedsafe_tff.errors import UserError
from tests.runs import tiny


def write(folder, count, side, brightness):
  rng = np.random.default_rng(brightness)
  folder.mkdir(parents=True, exist_ok=True)
  for index in range(count):
    pixels = rng.integers(0, 60, [side, side], np.uint8) + np.uint8(brightness)
    PIL.Image.fromarray(pixels).save(folder / f"{side}-{index}.png")


pytestmark = pytest.mark.usefixtures("built_once")


def run_on(data, folder):
  words = tiny.arguments(
    folder, dataset="image_folder", data_dir=data, rounds=1, attacks="fgsm", attack_eps=0.1
  )
  train.train([w for w in words if not w.startswith(("--num_images", "--attack_steps",
                                                     "--adaptation_epochs"))])
  return folder / "run"


def test_a_runs_errors_by_origin(tmp_path, capsys):
  write(tmp_path / "data/well", 40, 48, 0)
  write(tmp_path / "data/ill", 30, 512, 150)
  write(tmp_path / "data/ill", 20, 40, 190)
  run = run_on(tmp_path / "data", tmp_path)
  capsys.readouterr()
  origin.origin([str(run)])
  out = capsys.readouterr().out
  parts = tiny.read_json(run / "partition.json")["parts"]
  table = {
    cells[0]: [int(c) for c in cells[1:]]
    for cells in (
      [c.strip() for c in line.strip("|").split(" | ")]
      for line in out.splitlines() if line.startswith("| ") and ", " in line
    )
  }
  assert set(table) == {"ill, 512x512", "ill, other sizes", "well, other sizes"}
  assert sum(row[0] for row in table.values()) == parts["train"]
  assert sum(row[1] for row in table.values()) == parts["evaluation"]
  evaluation = tiny.read_json(run / "evaluation.json")
  wrong = sum(row[2] for row in table.values())
  right = 1 - wrong / parts["evaluation"]
  assert right == pytest.approx(evaluation["clean_accuracy_global"])
  by_rule = 1 - sum(row[3] for row in table.values()) / parts["evaluation"]
  assert by_rule == pytest.approx(evaluation["trivial_baselines"]["source_512"])
  assert "only the 60 images of other sizes" in out and "majority class | 0.667" in out

  write(tmp_path / "data/well", 41, 48, 1)
  with pytest.raises(UserError, match="other images than"):
    origin.origin([str(run)])


def test_files_of_one_size_tell_no_origin(tmp_path):
  write(tmp_path / "data/well", 40, 48, 0)
  write(tmp_path / "data/ill", 40, 48, 190)
  with pytest.raises(UserError, match="512x512 pixels beside others"):
    origin.origin([str(run_on(tmp_path / "data", tmp_path))])
