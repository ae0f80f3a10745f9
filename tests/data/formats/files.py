"""Writes files of odd kinds that tests of the formats share, and reads them."""

import io
import pathlib
import struct
import zlib

import nibabel
import numpy as np
import PIL.Image
import pydicom
import pydicom.uid
import tifffile

from fedsafe_tff.data.formats import registry, window
from fedsafe_tff.data.formats.frame import Reading

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (6, 9)).astype(np.uint8)
RGB = RNG.integers(0, 256, (6, 9, 3)).astype(np.uint8)
READING = Reading()
DEEP = RNG.integers(0, 4096, (6, 9)).astype(np.uint16)


def encoded(values, form: str, mode: str | None = None, **options) -> bytes:
  """An array as a picture that Pillow writes."""
  image = values if isinstance(values, PIL.Image.Image) else PIL.Image.fromarray(values, mode)
  stream = io.BytesIO()
  image.save(stream, form, **options)
  return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
  """A PNG that promises so many pixels, all zero."""

  def part(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

  rows = zlib.compress(b"\0" * (width + 1) * min(height, 64))
  header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
  return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", rows) + part(b"IEND", b"")


def dicom(values: np.ndarray, *, meta: bool = True, **tags) -> bytes:
  """A DICOM file of one or more gray or RGB frames; None takes a tag away."""
  data = pydicom.Dataset()
  data.SOPClassUID = pydicom.uid.MRImageStorage
  data.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["image"])
  data.SeriesInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["series"])
  data.StudyInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["study"])
  data.Modality = "MR"
  data.PatientName, data.PatientID, data.PatientBirthDate = "Doe^Jane", "ID-4711", "19590301"
  data.InstitutionName = "St. Elsewhere"
  color = values.ndim > 2 and values.shape[-1] == 3
  data.Rows, data.Columns = values.shape[-3:-1] if color else values.shape[-2:]
  if values.ndim == (4 if color else 3):
    data.NumberOfFrames = len(values)
  data.SamplesPerPixel = 3 if color else 1
  data.PhotometricInterpretation = "RGB" if color else "MONOCHROME2"
  if color:
    data.PlanarConfiguration = 0
  data.BitsAllocated = data.BitsStored = values.dtype.itemsize * 8
  data.HighBit = data.BitsStored - 1
  data.PixelRepresentation = int(values.dtype.kind == "i")
  data.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
  for name, value in tags.items():
    if value is None:
      delattr(data, name)
    else:
      setattr(data, name, value)
  data.file_meta = pydicom.dataset.FileMetaDataset()
  data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
  data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
  data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
  stream = io.BytesIO()
  if meta:
    data.save_as(stream, enforce_file_format=True)
  else:
    del data.file_meta
    data.save_as(stream, implicit_vr=True, little_endian=True)
  return stream.getvalue()


def nifti(values: np.ndarray, affine=None, packed: bool = True, two: bool = False) -> bytes:
  """A NIfTI volume, packed by gzip or not."""
  kind = nibabel.Nifti2Image if two else nibabel.Nifti1Image
  image = kind(values, np.eye(4) if affine is None else affine)
  raw = image.to_bytes()
  if not packed:
    return raw
  import gzip

  return gzip.compress(raw, mtime=0)


def tiff(values, **options) -> bytes:
  stream = io.BytesIO()
  tifffile.imwrite(stream, values, **options)
  return stream.getvalue()


def volume():
  """A volume whose values tell their place: 100 x + 10 y + z, in right, anterior, superior."""
  x, y, z = np.meshgrid(np.arange(3), np.arange(4), np.arange(5), indexing="ij")
  return (100 * x + 10 * y + z + 1).astype(np.int16)


def shown(
  content: bytes, folder: pathlib.Path, name: str, reading: Reading = READING
) -> list[np.ndarray]:
  """Every frame of a file, windowed over the file."""
  path = folder / name
  path.write_bytes(content)
  frames = registry.read(path, reading).frames
  wanted = window.parse(reading.window)
  if isinstance(wanted, tuple):
    return [window.show(frame, wanted) for frame in frames]
  spreads = [window.spread(frame) for frame in frames if frame.deep]
  ends = None
  if spreads:
    whole = spreads[0]
    for spread in spreads[1:]:
      whole = whole.join(spread)
    ends = window.of_series(whole, wanted)
  return [window.show(frame, ends) for frame in frames]
