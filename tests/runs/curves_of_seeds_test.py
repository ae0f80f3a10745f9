"""Curves of several runs: means over seeds of what each run has, and no average of unlike runs."""

import csv
import json
import shutil

import pytest

from fedsafe_tff.commands import curves, train
from fedsafe_tff.data.files import atomic_path
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs import curves as curves_lib
from fedsafe_tff.runs import curves_of_seeds
from tests.runs import tiny

pytestmark = pytest.mark.usefixtures("built_once")
GRID = curves_lib.Grid(
  eps=(0.05, 0.2), images=5, sigmas=(0.0, 0.2), clients=3, colluders=(1, 2), rounds=(2,),
  queries=10, steps=2, draws=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  made = []
  for seed in (1, 2):
    folder = tmp_path_factory.mktemp(f"seed{seed}")
    changes = {"rounds": 1, "defense": "noise_only", "noise_seed": 3, "attacks": "fgsm"}
    words = tiny.arguments(
      folder, **changes, seed=seed, downlink_sigma=0.2, attack_eps=0.1, attack_images=4
    )
    idle = ("--adaptation_epochs", "--attack_steps")
    assert train.train([word for word in words if not word.startswith(idle)]) == 0
    made.append(folder / "run")
  return made


def changed(run, folder, **changes):
  shutil.copytree(run, folder)
  config = json.loads((folder / "config.json").read_text())
  with atomic_path(folder / "config.json", summed=True) as temporary:
    temporary.write_text(json.dumps(config | changes))
  return folder


def test_points_are_means_over_seeds_of_what_every_run_has(runs, tmp_path):
  said = []
  page = curves_of_seeds.curves_of_runs(runs[:2], tmp_path / "all", GRID, log=said.append)
  each = [curves_lib.curves_of_run(run, GRID, log=lambda line: None).points for run in runs[:2]]
  with (page.parent / "curves.csv").open() as file:
    rows = list(csv.DictReader(file))
  assert [row["seed"] for row in rows] == ["1"] * len(each[0]) + ["2"] * len(each[1])
  found = [{"seed": n} | point for n, points in enumerate(each) for point in points]
  means = curves_of_seeds.means_of(found)
  assert len(means) == len(each[0])
  for mean, first, second in zip(means, *each):
    assert (mean["x"], mean["attacker"]) == (first["x"], first["attacker"])
    pair = sorted((first["asr_avg"], second["asr_avg"]))
    assert mean["asr_avg"] == pytest.approx(sum(pair) / 2)
    assert [mean["asr_avg_low"], mean["asr_avg_high"]] == pair
  text = page.read_text()
  own = next(m for m in means if m["curve"] == "sigma" and m["x"] == 0.2 and m["eps"] == 0.2)
  assert f"{own['asr_avg']:.2f} ({own['asr_avg_low']:.2f} to {own['asr_avg_high']:.2f})" in text
  assert "seeds 1, 2" in text and "sigma is 0.2" in text and str(tmp_path) not in text
  assert (page.parent / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_a_mean_leaves_out_what_no_client_is_outside_of():
  rows = [
    {"curve": "colluders", "x": 3, "eps": 0.1, "attacker": "a", "asr_self": rate, "asr_avg": None,
     "clean_accuracy": 1.0}
    for rate in (0.25, 0.75)
  ]  # fmt: skip
  (mean,) = curves_of_seeds.means_of(rows)
  assert mean["asr_self"] == 0.5 and mean["asr_avg"] is None and mean["seeds"] == 2


@pytest.mark.parametrize(
  "changes, words, said",
  [
    ({"seed": 2, "downlink_sigma": 0.1}, ["--out=OUT"], "differ in --downlink_sigma"),
    ({"seed": 2, "defense": "distributed_noise"}, ["--out=OUT"], "differ in --defense"),
    ({}, ["--out=OUT"], "have one seed"),
    ({"seed": 2, "attack_images": 3}, ["--out=FILE"], "FILE can't be made"),
    ({"seed": 2}, [], "--out=FOLDER"),
    ({"seed": 2}, ["--out="], "--out"),
    (None, ["--out=OUT"], "--out=FOLDER"),
  ],
)
def test_bad_input_is_one_line(runs, tmp_path, changes, words, said):
  folders = [str(runs[0])]
  if changes is not None:
    folders.append(str(changed(runs[0], tmp_path / "copy", **changes)))
  file = tmp_path / "FILE"
  file.touch()
  words = [word.replace("FILE", str(file)) for word in words]
  with pytest.raises(UserError, match=said):
    curves.curves([*folders, *(word.replace("OUT", str(tmp_path / "out")) for word in words)])
  assert not (tmp_path / "out").exists()
