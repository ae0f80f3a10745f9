"""The study of sites on brain MRI: hospitals by the size of the files, one of them never seen.

No hospital is known of these images; the size of a file tells where it came from. Four sites: the
files of 512x512 pixels, and the others by their shorter side. Each run trains on some and is
evaluated on all of them, by site.
"""

import csv
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fedsafe_tff.data.files import atomic_path
from fedsafe_tff.data.formats.frame import DEFAULT
from fedsafe_tff.data.inventory import walk
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.report.render import markdown, write_csv, write_text
from fedsafe_tff.runs.run import run

CLASSES = ("no_tumor", "meningioma_tumor")
SITES = ("512x512", "small", "middle", "large")
_BORDERS = (235, 350)  # shorter side in pixels
SETTINGS = (
  ("iid", "", "images dealt evenly, all sites"),
  ("site", "", "a client per site"),
  ("site", "small", "a client per site, small held out"),
  ("site", "middle", "a client per site, middle held out"),
  ("site", "large", "a client per site, large held out"),
)
MEASURES = ("accuracy", "asr_self", "attack_accuracy_self")


def site_of(height: int, width: int) -> str:
  """The site of a file by the size of its image."""
  if (height, width) == (512, 512):
    return SITES[0]
  return SITES[1 + sum(min(height, width) >= border for border in _BORDERS)]


def write_table(data_dir: str | pathlib.Path, path: pathlib.Path) -> dict[str, dict[str, int]]:
  """Writes a metadata table of file, label and site.

  Returns:
    Site to class to images.

  Raises:
    UserError: The folder holds no such classes.
  """
  import PIL.Image

  rows = []
  for file in walk(data_dir).files:
    if file.parts[-2:-1] and file.parts[-2] in CLASSES:
      try:
        with PIL.Image.open(file.path) as image:
          DEFAULT.check_size(image.height, image.width)
          site = site_of(image.height, image.width)
      except OSError as error:
        raise UserError(f"{file.path} can't be read ({error}): mend it or take it out") from None
      rows.append({"file": "/".join(file.parts), "label": file.parts[-2], "site": site})
  if not rows:
    raise UserError(f"{data_dir} holds no folders {', '.join(CLASSES)}: give the MRI's folder")
  with atomic_path(path) as temporary, temporary.open("w", newline="") as opened:
    writer = csv.DictWriter(opened, ("file", "label", "site"))
    writer.writeheader()
    writer.writerows(rows)
  return {
    site: {c: sum(r["site"] == site and r["label"] == c for r in rows) for c in CLASSES}
    for site in SITES
  }


def study(
  base: Callable[..., Config],
  data_dir: str,
  out: pathlib.Path,
  seeds: Sequence[int],
  log: Callable[[str], None],
) -> pathlib.Path:
  """Runs every setting and seed that is not there yet and writes `README.md` and `sites.csv`.

  Args:
    base: Makes a configuration of flags, by keywords.
    data_dir: The MRI's folder.
    out: Where runs and page go.
    seeds: Seeds of the runs.
    log: Is told of each run.

  Returns:
    The page.
  """
  if not pathlib.Path(data_dir).is_dir():
    raise UserError(f"{data_dir} is not a folder: give that of the MRI")
  try:
    out.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(f"{out} can't be made ({error.strerror}): give another --out") from None
  table = out / "metadata.csv"
  counts = write_table(data_dir, table)
  rows: list[dict[str, Any]] = []
  for seed in seeds:
    for partition, held, _ in SETTINGS:
      name = f"{partition}{'-without-' + held if held else ''}-seed{seed}"
      log(f"run {name}")
      config = base(
        dataset="image_folder", data_dir=str(data_dir), metadata=str(table), partition=partition,
        holdout_sites=held, num_clients=len(SITES) - bool(held), seed=seed, run_dir=str(out / name),
      )  # fmt: skip
      path = run(config)
      with (path / "strata.csv").open(newline="") as opened:
        for row in csv.DictReader(opened):
          rows.append({"setting": f"{partition} {held}".strip(), "seed": seed} | row)
  write_csv(out / "sites.csv", rows)
  write_text(out / "tables.md", _tables(rows, counts))
  return out / "tables.md"


def _tables(rows: list[dict[str, Any]], counts: dict[str, dict[str, int]]) -> str:
  text = "## Sites\n\n" + markdown(
    ["site", *CLASSES], [[site, *(str(counts[site][c]) for c in CLASSES)] for site in SITES]
  )
  keys = sorted({(row["attack"], row["eps"]) for row in rows}, key=lambda k: (k[0], float(k[1])))
  settings = [(f"{p} {h}".strip(), text_of) for p, h, text_of in SETTINGS]
  text += "\n## Clean accuracy by site\n\n" + _table(rows, settings, keys[0], "accuracy")
  for key in keys:
    text += f"\n## ASR self, {key[0]} eps {key[1]}\n\n" + _table(rows, settings, key, "asr_self")
  return text


def _table(rows, settings, key, measure: str) -> str:
  lines = []
  for setting, title in settings:
    line = [title]
    for site in ("all", *SITES):
      here = [
        row
        for row in rows
        if (row["setting"], row["site"], row["attack"], row["eps"]) == (setting, site, *key)
      ]
      values = [float(row[measure]) for row in here]
      if not values:
        line.append("-")
        continue
      count = np.mean([float(row["count"]) for row in here])
      spread = f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
      mark = "**" if any(row["held_out"] == "yes" for row in here) else ""
      line.append(f"{mark}{np.mean(values):.3f}{mark}{spread}, n {count:.0f}")
    lines.append(line)
  return markdown(["training", "all", *SITES], lines)
