"""From values of more than 8 bits to gray levels: one window for a whole series.

  auto        the series' own window (DICOM) where it has one, else from its lowest to its
              highest value
  percentile  from the 0.5th to the 99.5th percentile of the series, over up to 4096 values a frame
  LOW,HIGH    these two values, for all files
  dicom       the series' own window; series without one are left out

Values at or below the lower end are black, at or above the upper end white. Images of 8 bits are
shown as they are. A series is a DICOM series, or a volume or stack in one file; single images
without a series share one window over the whole data set, so that no class or hospital has one of
its own.
"""

import dataclasses
import math

import numpy as np

from fedsafe_tff.data.formats.frame import Frame, Unreadable
from fedsafe_tff.errors import UserError

NAMES = ("auto", "percentile", "dicom")
_LOW, _HIGH = 0.5, 99.5
_SAMPLE = 4096


def parse(text: str) -> str | tuple[float, float]:
  """One of `NAMES`, or the two ends.

  Raises:
    UserError: Neither.
  """
  if text in NAMES:
    return text
  try:
    low, high = (float(part) for part in text.split(","))
  except ValueError:
    low = high = math.nan
  if not (math.isfinite(low) and math.isfinite(high) and low < high):
    raise UserError(
      f"--window={text}: expected one of {', '.join(NAMES)}, or two numbers, the lower first"
    )
  return low, high


@dataclasses.dataclass(eq=False)
class Spread:
  """What a series' window is made from.

  Attributes:
    low: Lowest value.
    high: Highest value.
    sample: Some of the values, float64.
    own: The window of the first frame that has one of its own, or None.
  """

  low: float
  high: float
  sample: np.ndarray
  own: tuple[float, float] | None = None

  def join(self, later: "Spread") -> "Spread":
    """That of both; the files' own windows may differ from slice to slice, the first one counts."""
    sample = np.concatenate([self.sample, later.sample])
    own = later.own if self.own is None else self.own
    return Spread(min(self.low, later.low), max(self.high, later.high), sample, own)


def spread(frame: Frame) -> Spread:
  """Of one frame.

  Raises:
    Unreadable: Values that are not finite.
  """
  values = frame.values
  if values.dtype.kind == "f" and not np.isfinite(values).all():
    raise Unreadable("it has values that are not finite numbers")
  flat = values.ravel()
  step = -(-flat.size // _SAMPLE)
  sample = flat[::step].astype(np.float64)
  return Spread(float(values.min()), float(values.max()), sample, frame.window)


def of_series(found: Spread, window: str) -> tuple[float, float]:
  """The window of a series.

  Raises:
    Unreadable: It has none of its own, and `window` is "dicom".
  """
  if window != "percentile" and found.own is not None:
    return found.own
  if window == "dicom":
    raise Unreadable("it has no window of its own, which --window=dicom asks for")
  if window == "percentile":
    low, high = np.percentile(found.sample, [_LOW, _HIGH])
    if low < high:
      return float(low), float(high)
  return found.low, found.high


def show(frame: Frame, ends: tuple[float, float] | None) -> np.ndarray:
  """The frame as a viewer shows it, uint8 [h, w] or [h, w, 3]."""
  if not frame.deep:
    return 255 - frame.values if frame.inverted else frame.values
  low, high = ends
  values = frame.values.astype(np.float64)
  if not np.isfinite(values).all():
    raise Unreadable("it has values that are not finite numbers")
  scaled = (values - low) / (high - low) if high > low else (values > low).astype(np.float64)
  levels = np.floor(np.clip(scaled, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
  return 255 - levels if frame.inverted else levels
