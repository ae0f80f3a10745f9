"""What a data set holds as a page, and the rows of pictures on it."""

import base64
import io
import json
import pathlib
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image

from fedsafe_tff.data import sums
from fedsafe_tff.data.files import atomic_path
from fedsafe_tff.errors import Notice, UserError
from fedsafe_tff.runs.report import stored_facts
from fedsafe_tff.runs.report.strata_table import left_out
from fedsafe_tff.runs.report.templates import environment

FOLDER = "survey"
_PICTURE = re.compile(r"\d{3,6}\.png")


def write_page(
  path: pathlib.Path,
  title: str,
  facts: dict[str, Any],
  pictures: Sequence[tuple[str, np.ndarray]],
  estimate: Sequence[str] = (),
) -> pathlib.Path:
  """Writes an HTML page that needs no network.

  Args:
    path: The page.
    title: Of the data.
    facts: As `data.survey.survey` gives them.
    pictures: As `data.survey.pictures` gives them.
    estimate: Sentences on time and memory of a run.

  Returns:
    `path`.
  """
  strips = [{"title": name, "data": base64.b64encode(_png(p)).decode()} for name, p in pictures]
  page = environment().get_template("survey.html.jinja").render(
    title=title,
    facts=facts,
    left_out=left_out(facts["inventory"] or {}),
    estimate=list(estimate),
    strips=strips,
  )
  with atomic_path(path) as temporary:
    temporary.write_text(page, encoding="utf-8")
  return path


def _png(pixels: np.ndarray) -> bytes:
  image = PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
  stream = io.BytesIO()
  image.save(stream, "PNG")
  return stream.getvalue()


def store(
  folder: pathlib.Path, facts: dict[str, Any], pictures: Sequence[tuple[str, np.ndarray]]
) -> None:
  """Keeps facts and pictures in a run folder, for its report."""
  names = []
  for number, (title, pixels) in enumerate(pictures):
    name = f"{number:03d}.png"
    names.append([title, name])
    with atomic_path(folder / FOLDER / name, summed=True) as temporary:
      temporary.write_bytes(_png(pixels))
  with atomic_path(folder / FOLDER / "survey.json", summed=True) as temporary:
    temporary.write_text(json.dumps(facts | {"pictures": names}, indent=2) + "\n")


def stored(folder: pathlib.Path) -> tuple[dict[str, Any] | None, list[dict[str, str]]]:
  """What `store` kept: facts and strips as the template takes them; None where there is nothing."""
  file = folder / FOLDER / "survey.json"
  strips = []
  try:
    if not file.is_file():
      return None, []
    sums.check(file)
    facts = stored_facts.read_json(file)
    for title, name in facts["pictures"]:
      if not _PICTURE.fullmatch(name):  # a stranger's folder must not show what lies elsewhere
        raise UserError(f"{file} is damaged: {name[:40]!r} is no picture")
      picture = folder / FOLDER / name
      if not picture.is_symlink():
        strips.append({"title": title, "data": base64.b64encode(sums.read(picture)).decode()})
  except (OSError, sums.Damaged) as error:
    warnings.warn(f"the report says nothing of the images: {error}", Notice, stacklevel=2)
    return None, []
  return facts, strips
