import csv

import numpy as np
import PIL.Image
import pytest

from fedsafe_tff.commands import sites
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs import sites_study


@pytest.mark.parametrize(
  "height, width, site",
  [
    (512, 512, "512x512"), (512, 511, "large"), (350, 400, "large"), (349, 900, "middle"),
    (235, 235, "middle"), (234, 234, "small"),
  ],
)  # fmt: skip
def test_sites_are_told_by_the_size(height, width, site):
  assert sites_study.site_of(height, width) == site


def test_the_table_names_every_image_of_the_task(tmp_path):
  for name, side in (("no_tumor", 200), ("meningioma_tumor", 512), ("glioma_tumor", 512)):
    folder = tmp_path / "mri" / "Training" / name
    folder.mkdir(parents=True)
    PIL.Image.fromarray(np.zeros((side, side), np.uint8)).save(folder / "1.png")
  counts = sites_study.write_table(tmp_path / "mri", tmp_path / "t.csv")
  assert counts["small"] == {"no_tumor": 1, "meningioma_tumor": 0}
  assert counts["512x512"] == {"no_tumor": 0, "meningioma_tumor": 1}
  with (tmp_path / "t.csv").open(newline="") as file:
    files = [row["file"] for row in csv.DictReader(file)]
  assert files == ["Training/meningioma_tumor/1.png", "Training/no_tumor/1.png"]


def test_another_folder_and_bad_seeds_are_user_errors(tmp_path):
  (tmp_path / "x").mkdir()
  with pytest.raises(UserError, match="MRI's folder"):
    sites.sites([f"--data_dir={tmp_path}", f"--out={tmp_path / 'out'}"])
  with pytest.raises(UserError, match="whole numbers"):
    sites.sites(["--seeds=a"])


def test_tables_mark_the_site_that_nobody_learnt_from():
  rows = [
    {
      "setting": "site small", "seed": seed, "site": site, "attack": "pgd", "eps": "0.03",
      "accuracy": accuracy, "asr_self": "0.5", "count": "10",
      "held_out": "yes" if site == "small" else "no",
    }
    for seed, accuracy in ((0, "0.6"), (1, "0.8"))
    for site in ("all", "small")
  ]  # fmt: skip
  counts = {site: dict.fromkeys(sites_study.CLASSES, 1) for site in sites_study.SITES}
  text = sites_study._tables(rows, counts)
  assert "| a client per site, small held out | 0.700 (0.60 to 0.80), n 10 | - |" in text
  assert "**0.700** (0.60 to 0.80), n 10" in text and "ASR self, pgd eps 0.03" in text
