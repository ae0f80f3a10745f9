"""Files of odd kinds, pixel by pixel as a viewer shows them."""

import io

import numpy as np
import PIL.Image
import pydicom
import pytest

from fedsafe_tff.data.formats import registry
from fedsafe_tff.data.formats.frame import Reading, Unreadable, pseudonym
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


def levels(values, low=None, high=None) -> np.ndarray:
  """Gray levels between two values, by hand."""
  values = np.asarray(values, np.float64)
  low = values.min() if low is None else low
  high = values.max() if high is None else high
  return np.floor(np.clip((values - low) / (high - low), 0, 1) * 255 + 0.5).astype(np.uint8)


def rgb_of(gray):
  return np.repeat(gray[..., None], 3, -1)


def palette() -> PIL.Image.Image:
  image = PIL.Image.fromarray(np.arange(54, dtype=np.uint8).reshape(6, 9) % 4, "P")
  image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 10, 20, 30])
  return image


COLORS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [10, 20, 30]], np.uint8)
INDICES = np.arange(54).reshape(6, 9) % 4
ALPHA = np.dstack([RGB, np.where(np.arange(9) < 5, 255, 0) * np.ones((6, 1), np.uint8)]).astype(
  np.uint8
)
LAID = np.where(ALPHA[..., 3:] == 255, RGB, 0).astype(np.uint8)
BITS = GRAY > 127
TAG = 274


def turned(number: int) -> bytes:
  exif = PIL.Image.Exif()
  exif[TAG] = number
  return encoded(GRAY, "PNG", exif=exif)


# name -> (content, frames as they must be shown)
AS_SHOWN = {
  "gray.png": (encoded(GRAY, "PNG"), [GRAY]),
  "rgb.png": (encoded(RGB, "PNG"), [RGB]),
  "a jpeg in truth.png": (encoded(GRAY, "BMP"), [GRAY]),
  "gray.bmp": (encoded(GRAY, "BMP"), [GRAY]),
  "rgb.bmp": (encoded(RGB, "BMP"), [RGB]),
  "lossless.webp": (encoded(RGB, "WEBP", lossless=True), [RGB]),
  "lossless.jp2": (encoded(RGB, "JPEG2000", irreversible=False), [RGB]),
  "gray.pgm": (encoded(GRAY, "PPM"), [GRAY]),
  "rgb.ppm": (encoded(RGB, "PPM"), [RGB]),
  "one_bit.png": (encoded(PIL.Image.fromarray(BITS), "PNG"), [BITS * np.uint8(255)]),
  "one_bit.tif": (encoded(PIL.Image.fromarray(BITS), "TIFF"), [BITS * np.uint8(255)]),
  "packed_bits.tif": (
    encoded(PIL.Image.fromarray(BITS), "TIFF", compression="group4"),
    [BITS * np.uint8(255)],
  ),
  "palette.png": (encoded(palette(), "PNG"), [COLORS[INDICES]]),
  "palette.gif": (encoded(palette(), "GIF"), [COLORS[INDICES]]),
  "palette.bmp": (encoded(palette(), "BMP"), [COLORS[INDICES]]),
  "see_through.png": (encoded(ALPHA, "PNG"), [LAID]),
  "see_through_palette.png": (
    encoded(palette(), "PNG", transparency=1),
    [np.where((INDICES == 1)[..., None], 0, COLORS[INDICES]).astype(np.uint8)],
  ),
  "see_through_gray.png": (
    encoded(np.dstack([GRAY, ALPHA[..., 3]]), "PNG"),
    [rgb_of(np.where(ALPHA[..., 3] == 255, GRAY, 0).astype(np.uint8))],
  ),
  "cmyk.tif": (
    encoded(PIL.Image.fromarray(RGB).convert("CMYK"), "TIFF"),
    [np.asarray(PIL.Image.fromarray(RGB).convert("CMYK").convert("RGB"))],
  ),
  "turned_3.png": (turned(3), [GRAY[::-1, ::-1]]),
  "turned_6.png": (turned(6), [np.rot90(GRAY, -1)]),
  "turned_8.png": (turned(8), [np.rot90(GRAY, 1)]),
  "mirrored_2.png": (turned(2), [GRAY[:, ::-1]]),
  "mirrored_5.png": (turned(5), [GRAY.T]),
  "turned.tif": (encoded(GRAY, "TIFF", tiffinfo={TAG: 6}), [np.rot90(GRAY, -1)]),
  "deep.png": (encoded(DEEP, "PNG"), [levels(DEEP)]),
  "deep.tif": (encoded(DEEP, "TIFF"), [levels(DEEP)]),
  "deep.pgm": (encoded(DEEP, "PPM"), [levels(DEEP)]),
  "signed.tif": (tiff(DEEP.astype(np.int16) - 1024), [levels(DEEP)]),
  "huge_values.tif": (
    tiff(DEEP.astype(np.uint32) + 2**31 - 2000),
    [levels(DEEP.astype(np.float64) + 2**31 - 2000)],
  ),
  "float.tif": (tiff(DEEP.astype(np.float32) / 7), [levels(DEEP.astype(np.float32) / 7)]),
  "double.tif": (tiff(DEEP.astype(np.float64) / 7), [levels(DEEP / 7)]),
  "planes.tif": (tiff(np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig=2), [RGB]),
  "white_is_zero.tif": (tiff(GRAY, photometric="miniswhite"), [255 - GRAY]),
  "deep_white_is_zero.tif": (tiff(DEEP, photometric="miniswhite"), [255 - levels(DEEP)]),
  "big.tif": (tiff(GRAY, bigtiff=True), [GRAY]),
  "pages.tif": (
    encoded(GRAY, "TIFF", save_all=True, append_images=[PIL.Image.fromarray(RGB)]),
    [GRAY, RGB],
  ),
  "deep_pages.tif": (
    tiff(np.stack([DEEP // 4, DEEP])),
    [levels(DEEP // 4, min(DEEP.min() // 4, DEEP.min()), DEEP.max()),
     levels(DEEP, min(DEEP.min() // 4, DEEP.min()), DEEP.max())],
  ),
  "moving.gif": (
    encoded(
      PIL.Image.fromarray(BITS * np.uint8(255)), "GIF", save_all=True,
      append_images=[PIL.Image.fromarray(~BITS * np.uint8(255))],
    ),
    [rgb_of(BITS * np.uint8(255)), rgb_of(~BITS * np.uint8(255))],
  ),
  "plain.dcm": (dicom(GRAY), [GRAY]),
  "no ending": (dicom(GRAY), [GRAY]),
  "without_preamble.dcm": (dicom(GRAY, meta=False), [GRAY]),
  "deep.dcm": (dicom(DEEP), [levels(DEEP)]),
  "windowed.dcm": (
    dicom(DEEP, WindowCenter=1000, WindowWidth=501),
    [levels(DEEP, 749.5, 1249.5)],
  ),
  "exact_window.dcm": (
    dicom(DEEP, WindowCenter=1000, WindowWidth=500, VOILUTFunction="LINEAR_EXACT"),
    [levels(DEEP, 750, 1250)],
  ),
  "two_windows.dcm": (
    dicom(DEEP, WindowCenter=[1000, 50], WindowWidth=[501, 9]),
    [levels(DEEP, 749.5, 1249.5)],
  ),
  "rescaled.dcm": (
    dicom(DEEP, RescaleSlope=2, RescaleIntercept=-1024, WindowCenter=0, WindowWidth=1001),
    [levels(DEEP * 2.0 - 1024, -500.5, 499.5)],
  ),
  "inverted.dcm": (dicom(GRAY, PhotometricInterpretation="MONOCHROME1"), [255 - GRAY]),
  "deep_inverted.dcm": (
    dicom(
      DEEP, PhotometricInterpretation="MONOCHROME1", WindowCenter=2000, WindowWidth=1001
    ),
    [255 - levels(DEEP, 1499.5, 2499.5)],
  ),
  "signed.dcm": (dicom(DEEP.astype(np.int16) - 2000), [levels(DEEP)]),
  "frames.dcm": (
    dicom(np.stack([DEEP // 2, DEEP]), WindowCenter=1000, WindowWidth=501),
    [levels(DEEP // 2, 749.5, 1249.5), levels(DEEP, 749.5, 1249.5)],
  ),
  "colour.dcm": (dicom(RGB), [RGB]),
  "colour_frames.dcm": (dicom(np.stack([RGB, RGB[::-1]])), [RGB, RGB[::-1]]),
}  # fmt: skip


@pytest.mark.parametrize("name", AS_SHOWN)
def test_as_a_viewer_shows_it(tmp_path, name):
  content, expected = AS_SHOWN[name]
  found = shown(content, tmp_path, name)
  assert len(found) == len(expected)
  for mine, theirs in zip(found, expected):
    assert mine.dtype == np.uint8
    np.testing.assert_array_equal(mine, theirs)


def test_lossy_pictures_are_those_of_pillow(tmp_path):
  big = np.asarray(PIL.Image.fromarray(RGB).resize((48, 32)))
  for name, form in (("x.jpg", "JPEG"), ("x.webp", "WEBP"), ("x.avif", "AVIF")):
    if form not in PIL.Image.SAVE:
      continue
    content = encoded(big, form, quality=90)
    with PIL.Image.open(io.BytesIO(content)) as image:
      np.testing.assert_array_equal(shown(content, tmp_path, name)[0], np.asarray(image))


def test_a_cmyk_jpeg_of_photoshop_is_not_a_negative(tmp_path):
  image = PIL.Image.new("CMYK", (16, 16), (0, 0, 0, 0))  # white
  assert shown(encoded(image, "JPEG"), tmp_path, "x.jpg")[0].min() > 250


def test_transparency_on_white(tmp_path):
  found = shown(encoded(ALPHA, "PNG"), tmp_path, "x.png", Reading(transparency="white"))[0]
  np.testing.assert_array_equal(found, np.where(ALPHA[..., 3:] == 255, RGB, 255))


def test_windows_that_are_asked_for(tmp_path):
  content = encoded(DEEP, "PNG")
  fixed = shown(content, tmp_path, "x.png", Reading(window="100,900"))[0]
  np.testing.assert_array_equal(fixed, levels(DEEP, 100, 900))
  low, high = np.percentile(DEEP, [0.5, 99.5])
  found = shown(content, tmp_path, "x.png", Reading(window="percentile"))[0]
  np.testing.assert_array_equal(found, levels(DEEP, low, high))
  with pytest.raises(Unreadable, match="no window of its own"):
    shown(content, tmp_path, "x.png", Reading(window="dicom"))
  own = dicom(DEEP, WindowCenter=1000, WindowWidth=501)
  found = shown(own, tmp_path, "x.dcm", Reading(window="dicom"))[0]
  np.testing.assert_array_equal(found, levels(DEEP, 749.5, 1249.5))


@pytest.mark.parametrize("packed", [True, False])
def test_axial_slices_look_from_the_feet_with_the_front_up(tmp_path, packed):
  values = volume()
  name = "x.nii.gz" if packed else "x.nii"
  found = shown(nifti(values, packed=packed), tmp_path, name)
  assert len(found) == 5 and found[0].shape == (4, 3)
  expected = levels(values[:, :, 2], values.min(), values.max())
  for row in range(4):  # the front is the highest y, the patient's right the highest x
    for column in range(3):
      assert found[2][row, column] == expected[2 - column, 3 - row]


def test_a_volume_that_is_stored_from_right_to_left_is_turned(tmp_path):
  values = volume()
  flipped = np.diag([-1.0, 1, 1, 1])
  mine = shown(nifti(values[::-1], flipped), tmp_path, "x.nii.gz")
  theirs = shown(nifti(values), tmp_path, "y.nii.gz")
  np.testing.assert_array_equal(mine, theirs)


def test_other_axes_empty_slices_time_and_scale(tmp_path):
  values = volume()
  found = shown(nifti(values), tmp_path, "x.nii", Reading(slice_axis=0))
  assert len(found) == 3 and found[0].shape == (5, 4)
  assert found[1][0, 0] == levels(values)[1, 3, 4]  # the top of the head, the front
  assert shown(nifti(values), tmp_path, "x.nii", Reading(slice_axis=1))[0].shape == (5, 3)
  values[:, :, :2] = 7
  path = tmp_path / "sub-07_T1w.nii.gz"
  path.write_bytes(nifti(values))
  contents = registry.read(path, READING)
  assert contents.empty == 2 and [f.part for f in contents.frames] == [
    "axial 3", "axial 4", "axial 5",
  ]  # fmt: skip
  assert {f.patient for f in contents.frames} == {pseudonym("07")}
  assert len(shown(nifti(np.stack([volume(), volume()], -1)), tmp_path, "t.nii")) == 10
  assert len(shown(nifti(volume(), two=True, packed=False), tmp_path, "2.nii")) == 5
  scaled = nifti(volume().astype(np.float32) * 0.01)
  np.testing.assert_array_equal(
    shown(scaled, tmp_path, "s.nii")[0], shown(nifti(volume()), tmp_path, "x.nii")[0]
  )


def test_dicom_tells_patient_and_site_and_nothing_of_the_name(tmp_path):
  path = tmp_path / "x.dcm"
  path.write_bytes(dicom(GRAY))
  frame = registry.read(path, READING).frames[0]
  assert frame.patient == pseudonym("ID-4711") and frame.site == "St. Elsewhere"
  everything = repr(vars(frame))
  for secret in ("Doe", "Jane", "4711", "1959"):
    assert secret not in everything
  path.write_bytes(dicom(GRAY, PatientID=""))
  assert registry.read(path, READING).frames[0].patient.startswith("p")


def test_a_palette_of_dicom(tmp_path):
  table = np.arange(256, dtype=np.uint16) << 8
  data = {
    f"{color}PaletteColorLookupTable{part}": value
    for color, order in (("Red", 1), ("Green", -1), ("Blue", 1))
    for part, value in (("Descriptor", [256, 0, 16]), ("Data", table[::order].tobytes()))
  }
  found = shown(
    dicom(GRAY, PhotometricInterpretation="PALETTE COLOR", **data), tmp_path, "x.dcm"
  )[0]
  np.testing.assert_array_equal(found, np.dstack([GRAY, 255 - GRAY, GRAY]))


def test_an_enhanced_dicom_has_a_window_per_frame(tmp_path):
  def group(slope):
    transform, outer = pydicom.Dataset(), pydicom.Dataset()
    transform.RescaleSlope, transform.RescaleIntercept = slope, 0
    outer.PixelValueTransformationSequence = [transform]
    return outer

  content = dicom(
    np.stack([DEEP, DEEP]), PerFrameFunctionalGroupsSequence=[group(1), group(2)],
    WindowCenter=1000, WindowWidth=501,
  )
  found = shown(content, tmp_path, "x.dcm")
  np.testing.assert_array_equal(found[0], levels(DEEP, 749.5, 1249.5))
  np.testing.assert_array_equal(found[1], levels(DEEP * 2.0, 749.5, 1249.5))
