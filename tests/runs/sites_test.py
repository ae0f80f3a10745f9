"""A run whose clients are hospitals, one of which nobody learns from."""

import re

import numpy as np
import PIL.Image
import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.run import run
from tests.runs import tiny

pytestmark = pytest.mark.usefixtures("built_once")

SITES = ("North", "South", "<b>West</b>")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
  """Three hospitals with eight patients each, of three slices; brightness tells the class."""
  root = tmp_path_factory.mktemp("images")
  rng = np.random.default_rng(0)
  lines = ["file,label,patient,site"]
  for number, site in enumerate(SITES):
    for patient in range(12):
      for part in range(3):
        label = patient % 2
        pixels = rng.integers(0, 120, (16, 16)) + 100 * label
        name = f"{number}_{patient}_{part}.png"
        PIL.Image.fromarray(pixels.astype(np.uint8)).save(root / name)
        lines.append(f"{name},{('well', 'ill')[label]},Doe {number} {patient},{site}")
  (root / "notes.txt").write_text("of no use")
  (root / "t.csv").write_text("\n".join(lines) + "\n")
  return root


def config(folder, images, **changes):
  values = {
    "dataset": "image_folder", "data_dir": images, "metadata": images / "t.csv",
    "partition": "site",
    "num_clients": 2, "holdout_sites": SITES[2], "num_images": None, "attack_eps": 0.1,
    "attacks": "pgd", "rounds": 1, "defense": "distributed_noise", "evaluation_fraction": 0.3,
    "validation_fraction": 0.15,
  }  # fmt: skip
  values |= changes
  wanted = tiny.arguments(folder, **values)
  from fedsafe_tff.runs.flags import command_line

  return command_line.parse([a for a in wanted if not a.endswith("=None")])


@pytest.fixture(scope="module")
def done(tmp_path_factory, images):
  return run(config(tmp_path_factory.mktemp("run"), images))


def test_rows_by_site_and_patient(done):
  rows = tiny.rows(done / "strata.csv")
  places = {(row["site"], row["unit"]) for row in rows}
  assert places == {(s, u) for s in ("all", *SITES) for u in ("image", "patient")}
  held = next(r for r in rows if r["site"] == SITES[2] and r["unit"] == "patient")
  assert held["held_out"] == "yes" and held["count"] == "12" and held["accuracy_low"]
  summary = tiny.read_json(done / "evaluation.json")["results"][0]
  every = next(r for r in rows if r["site"] == "all" and r["unit"] == "image")
  for name in ("asr_self", "asr_avg", "attack_accuracy_self"):
    assert float(every[name]) == pytest.approx(summary[name])
  assert float(every["accuracy"]) == pytest.approx(summary["clean_accuracy"])


def test_the_report_names_sites_and_what_was_left_out_and_no_patient(done):
  page = (done / "report.html").read_text()
  assert "By site and patient" in page and "&lt;b&gt;West&lt;/b&gt; (held out)" in page
  assert "<b>West</b>" not in page
  assert "Clients are sites: 0 North, 1 South." in page and "notes.txt" in page
  for file in done.rglob("*"):
    if file.is_file() and file.suffix in (".json", ".csv", ".html"):
      # Pictures apart, whose base64 may spell anything.
      assert "Doe" not in re.sub(r"data:image/[^\"')]*", "", file.read_text())


def test_the_manifest_adds_up(done):
  manifest = tiny.read_json(done / "manifest.json")["data"]
  inventory = manifest["inventory"]
  assert inventory["files_found"] == 3 * 36 + 2 and inventory["files_loaded"] == 3 * 36
  assert sorted(manifest["skipped"]) == ["notes.txt", "t.csv"]
  assert tiny.read_json(done / "partition.json")["sites"] == ["North", "South"]


def test_clients_that_are_not_the_sites_are_refused(tmp_path, images):
  with pytest.raises(UserError, match="give --num_clients=3"):
    run(config(tmp_path, images, holdout_sites=""))


def test_the_look_at_the_data_goes_into_the_report(done):
  page = (done / "report.html").read_text()
  for part in ("108 images of 16 x 16 x 1", "36 patients", "brightness", "class ill, as the model"):
    assert part in page, part
  assert len(list((done / "survey").glob("*.png"))) == 2 + 3
