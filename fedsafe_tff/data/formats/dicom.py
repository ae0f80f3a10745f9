"""DICOM: rescaled, windowed by its own tags, turned bright where MONOCHROME1, every frame.

Only the tags named here are read: the patient's name and birth date are never parsed. The patient's
id leaves this module as a pseudonym, and no text of the file enters an error.
"""

import warnings
from typing import Any, BinaryIO

import numpy as np

from fedsafe_tff.data.formats.frame import (
  Contents,
  Frame,
  MissingLibrary,
  Reading,
  Unreadable,
  pseudonym,
)

_TAGS = (
  "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation",
  "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
  "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth",
  "VOILUTFunction", "VOILUTSequence", "PixelData", "FloatPixelData", "DoubleFloatPixelData",
  "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
  "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
  "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
  "PatientID", "InstitutionName", "SeriesInstanceUID", "StudyInstanceUID", "Modality",
  "SOPClassUID", "PixelAspectRatio", "NumberOfSeriesRelatedInstances",
  "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip


def read(file: BinaryIO, reading: Reading) -> Contents:
  """Every frame.

  Raises:
    Unreadable: It holds no image, is damaged or too large, or is packed in a way that needs
      another library.
  """
  try:
    import pydicom
  except ImportError:
    raise MissingLibrary("DICOM", "pydicom") from None
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # they quote values
    try:
      pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
      # Pixels last, so that sizes are looked at before anything is unpacked.
      header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS), force=True)
      frames = _check_header(header, reading)
      file.seek(0)
      data = pydicom.dcmread(file, specific_tags=list(_TAGS), force=True)
      return Contents(_frames(data, frames))
    except Unreadable:
      raise
    except Exception as error:  # pydicom raises many kinds, and their texts quote the file
      raise Unreadable(f"pydicom can't read it ({type(error).__name__})") from None


def _check_header(data: Any, reading: Reading) -> int:
  if "Rows" not in data or "Columns" not in data:
    raise Unreadable("it is DICOM without an image (a report, plan or directory)")
  frames = int(data.get("NumberOfFrames", 1) or 1)
  size = max(1, int(data.get("BitsAllocated", 8)) // 8) * int(data.get("SamplesPerPixel", 1))
  reading.check_size(int(data.Rows), int(data.Columns), frames, size)
  return frames


def _frames(data: Any, count: int) -> list[Frame]:
  from pydicom import pixels

  syntax = data.file_meta.get("TransferSyntaxUID") if hasattr(data, "file_meta") else None
  if syntax is None:
    data.ensure_file_meta()
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"  # what a file without a header has
  elif syntax.is_compressed and not _can_unpack(syntax):
    raise Unreadable(
      "it is packed by a codec that pydicom needs another package for: pip install pylibjpeg "
      "pylibjpeg-libjpeg pylibjpeg-openjpeg"
    )
  color = str(data.get("PhotometricInterpretation", "MONOCHROME2")).upper()
  stored = pixels.pixel_array(data)  # YBR becomes RGB
  if color == "PALETTE COLOR":
    stored = pixels.apply_color_lut(stored, data)
    if stored.dtype == np.uint16:
      stored = (stored >> 8).astype(np.uint8)
    channels = 3
  else:
    channels = int(data.get("SamplesPerPixel", 1))
  shape = stored.shape[-2:] if channels == 1 else stored.shape[-3:]
  stored = stored.reshape((count, *shape))
  facts = {
    "series": str(data.get("SeriesInstanceUID", "")) or "file",
    "patient": _patient(data),
    "site": str(data.get("InstitutionName", "") or "").strip(),
    "kind": f"DICOM {int(data.get('BitsStored', 8))} bit",
  }
  made = []
  for number, values in enumerate(stored):
    part = f"frame {number + 1}" if count > 1 else ""
    if channels > 1:
      made.append(Frame(_eight_bits(values), part, **facts))
    else:
      made.append(_gray(values, part, _functions(data, number), color == "MONOCHROME1", facts))
  return made


def _can_unpack(syntax) -> bool:
  from pydicom.pixels import get_decoder

  try:
    return get_decoder(syntax).is_available
  except NotImplementedError:
    return False


def _patient(data: Any) -> str:
  """A patient's id is meant to be unique; where it is missing, a study belongs to one patient."""
  identity = str(data.get("PatientID", "") or "").strip()
  return pseudonym(identity) or pseudonym("study", str(data.get("StudyInstanceUID", "") or ""))


def _eight_bits(values: np.ndarray) -> np.ndarray:
  if values.dtype == np.uint8:
    return values
  if values.dtype == np.uint16:
    return (values >> 8).astype(np.uint8)
  raise Unreadable(f"it has colours of type {values.dtype}")


def _functions(data: Any, number: int) -> Any:
  """The data set that rescale and window of a frame stand in: of enhanced files, its groups."""
  import pydicom

  found = pydicom.Dataset()
  found.update({e.tag: e for e in data if e.keyword in _VALUES})
  groups = list(data.get("SharedFunctionalGroupsSequence", []) or [])
  groups += list(data.get("PerFrameFunctionalGroupsSequence", []) or [])[number : number + 1]
  for group in groups:
    for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
      for item in group.get(name, []) or []:
        found.update({e.tag: e for e in item if e.keyword in _VALUES})
  return found


_VALUES = ("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth",
           "VOILUTFunction", "VOILUTSequence", "BitsStored", "PixelRepresentation",
           "PhotometricInterpretation")  # fmt: skip


def _gray(values: np.ndarray, part: str, tags: Any, inverted: bool, facts: dict) -> Frame:
  from pydicom import pixels

  plain = values.dtype == np.uint8 and not any(
    name in tags for name in ("ModalityLUTSequence", "WindowWidth", "VOILUTSequence")
  )
  if plain and tags.get("RescaleSlope", 1) == 1 and tags.get("RescaleIntercept", 0) == 0:
    return Frame(values, part, inverted=inverted, **facts)
  rescaled = pixels.apply_modality_lut(values, tags)
  window = None
  function = str(tags.get("VOILUTFunction", "LINEAR") or "LINEAR").upper()
  if tags.get("VOILUTSequence") or (function == "SIGMOID" and "WindowWidth" in tags):
    rescaled = pixels.apply_voi_lut(rescaled, tags)
    table = tags.get("VOILUTSequence")
    bits = int(table[0].LUTDescriptor[2]) if table else int(tags.get("BitsStored", 8))
    window = (0.0, float(2**bits - 1))
  elif "WindowWidth" in tags and "WindowCenter" in tags:
    window = _ends(_first(tags.WindowCenter), _first(tags.WindowWidth), function)
  return Frame(np.asarray(rescaled, np.float64), part, window=window, inverted=inverted, **facts)


def _first(value: Any) -> float:
  return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)


def _ends(center: float, width: float, function: str) -> tuple[float, float] | None:
  """The lowest and the highest value shown, DICOM PS3.3 C.11.2.1.2."""
  if function == "LINEAR_EXACT":
    low, high = center - width / 2, center + width / 2
  else:
    low, high = center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
  return (low, high) if high >= low else None
