"""The doctor's look at data before a run."""

import html.parser

import numpy as np
import PIL.Image
import pytest

from fedsafe_tff.commands import doctor
from fedsafe_tff.errors import UserError


@pytest.fixture(scope="module")
def images(tmp_path_factory):
  """A size for every class, a name that is HTML, a text file."""
  root = tmp_path_factory.mktemp("images")
  rng = np.random.default_rng(0)
  for name, side in (("<i>well", 20), ("ill", 32)):
    (root / name).mkdir()
    for index in range(40):
      pixels = rng.integers(0, 256, (side, side)).astype(np.uint8)
      PIL.Image.fromarray(pixels).save(root / name / f"{index}.png")
  (root / "ill" / "notes<b>.txt").write_text("x")
  return root


def arguments(images, folder, *more):
  return [
    "--dataset=image_folder", f"--data_dir={images}", f"--page={folder / 'page.html'}",
    f"--cache_dir={folder / 'cache'}", "--image_size=16", "--conv_widths=4,4,4,4,8,8",
    "--dense_widths=8,8,8,8", "--min_client_images=5", *more,
  ]  # fmt: skip


class Tags(html.parser.HTMLParser):
  def __init__(self, text):
    super().__init__()
    self.tags, self.sources = [], []
    self.feed(text)

  def handle_starttag(self, tag, attributes):
    self.tags.append(tag)
    self.sources += [value for name, value in attributes if name in ("src", "href")]


def test_a_page_with_all_that_is_to_be_seen(images, tmp_path, capsys):
  assert doctor.doctor(arguments(images, tmp_path)) == 0
  said = capsys.readouterr().out
  for part in (
    "80 images (16, 16, 1), 80 groups",
    "SHORTCUT size of the file's image: tells the class of 1.000",
    "81 files found: 80 loaded as 80 images, 1 left out",
    "training about",
    "memory about",
    "page: ",
  ):
    assert part in said, part
  page = (tmp_path / "page.html").read_text()
  for part in ("&lt;i&gt;well", "notes&lt;b&gt;.txt", "20 x 20", "a shortcut", "class ill"):
    assert part in page, part
  tags = Tags(page)
  assert "i" not in tags.tags and "b" not in tags.tags and "script" not in tags.tags
  assert len(tags.sources) == 2 and all(s.startswith("data:image/png") for s in tags.sources)


def test_a_run_that_would_be_refused_is_told(images, tmp_path, capsys):
  code = doctor.doctor(arguments(images, tmp_path, "--num_clients=50"))
  assert code == 1 and "a run would be refused: " in capsys.readouterr().out
  assert "a run would be refused" in (tmp_path / "page.html").read_text()


def test_unusable_data_is_a_user_error(tmp_path):
  with pytest.raises(UserError, match="is not a folder"):
    doctor.doctor(arguments(tmp_path / "none", tmp_path))
