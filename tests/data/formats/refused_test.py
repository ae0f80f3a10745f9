"""Files of odd kinds that are refused, each with a reason."""

import os
import sys

import numpy as np
import PIL.Image
import pytest

from fedsafe_tff.data.formats import registry
from fedsafe_tff.data.formats.frame import Reading, Unreadable
from tests.data.formats import files
from tests.data.formats.files import (
  DEEP,
  GRAY,
  READING,
  RGB,
  dicom,
  encoded,
  nifti,
  shown,
  tiff,
  volume,
)


def bomb_of_nifti() -> bytes:
  raw = bytearray(nifti(volume(), packed=False))
  raw[40:56] = np.array([3, 30000, 30000, 30000, 1, 1, 1, 1], np.int16).tobytes()
  return bytes(raw)


# name -> (content, reason)
REFUSED = {
  "empty.png": (b"", "empty"),
  "text.png": (b"not an image at all", "not that of an image"),
  "cut.png": (encoded(GRAY, "PNG")[:60], ""),
  "cut.jpg": (encoded(RGB, "JPEG")[:300], ""),
  "cut.dcm": (dicom(DEEP)[:-40], "pydicom can't read it"),
  "cut.nii.gz": (nifti(volume())[:60], "nibabel can't read it"),
  "bomb.png": (files.png_header(13000, 13000), "--max_pixels"),
  "bomb.nii": (bomb_of_nifti(), "--max_"),
  "bomb.dcm": (dicom(GRAY, Rows=60000, Columns=60000), "--max_pixels"),
  "report.dcm": (dicom(GRAY, Rows=None, Columns=None, PixelData=None), "without an image"),
  "many_frames.dcm": (dicom(GRAY, NumberOfFrames=2**30), "--max_bytes"),
  "nothing.nii": (nifti(np.full((3, 4, 5), 7, np.int16), packed=False), "empty"),
  "not_a_number.tif": (tiff(np.full((4, 4), np.nan, np.float32)), "not finite"),
  "five_channels.tif": (
    tiff(np.zeros((4, 4, 5), np.uint8), photometric="minisblack", planarconfig="contig"),
    "",
  ),
  "volume.mha": (b"ObjectType = Image", "convert it"),
  "slide.svs": (b"whatever", "convert it"),
  "drawing.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image"),
  "notes.txt": (b"hello", "not an image"),
  "pickle.pkl": (b"\x80\x04\x95cos\nsystem\n.", "not an image"),
  "jpeg_lossless.dcm": (
    dicom(DEEP).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.4.57"[:20]), "",
  ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_shown_has_a_reason(tmp_path, name):
  content, reason = REFUSED[name]
  with pytest.raises(Unreadable, match=reason or None) as caught:
    shown(content, tmp_path, name)
  assert "\n" not in str(caught.value) and str(caught.value)
  assert "Doe" not in str(caught.value) and "4711" not in str(caught.value)


def test_only_regular_files_are_opened(tmp_path):
  os.mkfifo(tmp_path / "x.png")
  for path in (tmp_path / "x.png", tmp_path, "/dev/zero"):
    with pytest.raises(Unreadable, match="regular file"):
      registry.read(path, READING)
  with pytest.raises(Unreadable, match="can't be opened"):
    registry.read(tmp_path / "none.png", READING)


def test_limits_can_be_raised_and_lowered(tmp_path):
  content = encoded(GRAY, "PNG")
  with pytest.raises(Unreadable, match="6 x 9 pixels, more than --max_pixels=53"):
    shown(content, tmp_path, "x.png", Reading(max_pixels=53))
  assert len(shown(content, tmp_path, "x.png", Reading(max_pixels=54))) == 1
  pages = encoded(GRAY, "TIFF", save_all=True, append_images=[PIL.Image.fromarray(RGB)])
  with pytest.raises(Unreadable, match="--max_bytes=60"):
    shown(pages, tmp_path, "x.tif", Reading(max_bytes=60))


@pytest.mark.parametrize(
  "package, name, content",
  [
    ("pydicom", "x.dcm", dicom(GRAY)),
    ("nibabel", "x.nii", nifti(volume(), packed=False)),
    ("tifffile", "x.tif", tiff(DEEP.astype(np.float64))),
  ],
)
def test_a_missing_library_is_named(tmp_path, monkeypatch, package, name, content):
  monkeypatch.setitem(sys.modules, package, None)
  with pytest.raises(Unreadable, match=f"needs the package {package}.*medical"):
    shown(content, tmp_path, name)
