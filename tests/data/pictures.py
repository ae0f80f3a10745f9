"""Folders of small pictures and tables beside them, and how tests load them."""

import pathlib
import zlib

import numpy as np
import PIL.Image

from fedsafe_tff.data import image_folder, inventory
from fedsafe_tff.data.formats.frame import Reading
from fedsafe_tff.data.image_files import Options
from fedsafe_tff.data.image_folder import Meaning

SIDE = 8


def picture(seed: int, side: int = SIDE) -> np.ndarray:
  return np.random.default_rng(seed).integers(0, 256, (side, side)).astype(np.uint8)


def save(root: pathlib.Path, *names: str) -> pathlib.Path:
  """A picture of its own at each name."""
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(picture(zlib.crc32(name.encode()))).save(path)
  return root


def load(root, *, reading=None, **meaning):
  options = Options(SIDE, False, reading or Reading())
  return image_folder.load(str(root), options=options, meaning=Meaning(**meaning))


def adds_up(data, root) -> bool:
  """Whether every file on disk is loaded or named."""
  found = [p for p in root.rglob("*") if not p.is_dir() and not inventory.is_litter(p.name)]
  facts = data.inventory
  named = facts["files_loaded"] + len(facts["left_out"])
  return facts["files_found"] == named == len(found)


def table(path: pathlib.Path, *lines: str) -> str:
  path.write_text("\n".join(lines) + "\n")
  return str(path)
