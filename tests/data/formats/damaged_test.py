"""Files with bytes changed or cut off give frames or a reason, and nothing else."""

import numpy as np
import pytest

from fedsafe_tff.data.formats import npy, registry, window
from fedsafe_tff.data.formats.frame import Reading, Unreadable
from tests.data.formats import files

READING = Reading(max_pixels=10_000, max_bytes=1_000_000)
VOLUME = np.random.default_rng(0).integers(0, 900, (5, 6, 4)).astype(np.int16)
WHOLE = {
  "x.png": files.encoded(files.RGB, "PNG"),
  "deep.png": files.encoded(files.DEEP, "PNG"),
  "x.jpg": files.encoded(files.RGB, "JPEG"),
  "x.gif": files.encoded(files.GRAY, "GIF"),
  "x.bmp": files.encoded(files.RGB, "BMP"),
  "x.webp": files.encoded(files.RGB, "WEBP"),
  "x.tif": files.encoded(files.DEEP, "TIFF"),
  "packed.tif": files.encoded(files.RGB, "TIFF", compression="tiff_lzw"),
  "x.dcm": files.dicom(files.DEEP, WindowCenter=100, WindowWidth=50),
  "x.nii": files.nifti(VOLUME, packed=False),
  "x.nii.gz": files.nifti(VOLUME),
}


@pytest.mark.parametrize("name", WHOLE)
def test_damaged_images(tmp_path, name):
  rng = np.random.default_rng(0)
  path = tmp_path / name
  for attempt in range(60):
    content = bytearray(WHOLE[name])
    if attempt % 3 == 0:
      content = content[: rng.integers(1, len(content))]
    else:
      head = len(content) if attempt % 3 == 1 else min(400, len(content))
      for place in rng.integers(0, head, 1 + attempt % 4):
        content[place] = rng.integers(256)
    path.write_bytes(content)
    try:
      frames = registry.read(path, READING).frames
      shown = [window.show(f, (0.0, 255.0)) for f in frames if not f.deep or window.spread(f)]
    except Unreadable as reason:
      assert str(reason) and "\n" not in str(reason)
    else:
      assert all(pixels.dtype == np.uint8 for pixels in shown)


def test_a_file_of_no_pictures_is_unreadable(tmp_path):
  path, content = tmp_path / "x.tif", bytearray(WHOLE["x.tif"])
  content[4:8] = (2**27 + 8).to_bytes(4, "little")  # the first page lies behind the end
  path.write_bytes(content)
  with pytest.raises(Unreadable):
    registry.read(path, READING)


def test_damaged_archives(tmp_path):
  rng = np.random.default_rng(0)
  path = tmp_path / "x.npz"
  np.savez_compressed(path, images=files.GRAY, labels=np.arange(6))
  whole = path.read_bytes()
  for attempt in range(120):
    content = bytearray(whole)
    for place in rng.integers(0, len(content), 1 + attempt % 4):
      content[place] = rng.integers(256)
    path.write_bytes(content[: len(content) - attempt % 5])
    try:
      with path.open("rb") as file:
        npy.read(file, READING)
    except Unreadable as reason:
      assert str(reason)
