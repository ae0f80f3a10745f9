"""What a reader gives: frames as a viewer shows them, or a reason why there are none."""

import dataclasses
import hashlib

import numpy as np

from fedsafe_tff.errors import UserError

MAX_PIXELS = 50_000_000
MAX_BYTES = 2 * 2**30
BACKGROUNDS = ("black", "white")


class Unreadable(Exception):
  """Why a file gives no frames, in a few words without anything of the file's own text."""


class MissingLibrary(Unreadable):
  """A library that reads this kind of file is not installed."""

  def __init__(self, kind: str, package: str):
    super().__init__(
      f"{kind} needs the package {package}: pip install 'fedsafe-tff[medical]', or the pinned "
      "requirements-medical.txt"
    )


@dataclasses.dataclass(frozen=True)
class Reading:
  """How files are read; all of it changes pixels.

  Attributes:
    window: How values of more than 8 bits become gray levels, see `window`.
    transparency: What transparent pixels are laid on, one of `BACKGROUNDS`.
    slice_axis: Axis along which a NIfTI volume is cut, of right, anterior, superior: 0, 1 or 2.
    max_pixels: Most pixels of one frame.
    max_bytes: Most bytes that one file unpacks to.
  """

  window: str = "auto"
  transparency: str = "black"
  slice_axis: int = 2
  max_pixels: int = MAX_PIXELS
  max_bytes: int = MAX_BYTES

  def __post_init__(self):
    if self.transparency not in BACKGROUNDS:
      raise UserError(f"--transparency={self.transparency}: choose one of {', '.join(BACKGROUNDS)}")

  def check_size(self, height: int, width: int, frames: int = 1, pixel_bytes: int = 1) -> None:
    """Refuses what a header promises before anything is unpacked.

    Raises:
      Unreadable: More than the limits, or nothing at all.
    """
    if min(height, width, frames) < 1:
      raise Unreadable(f"it has {frames} frames of {height} x {width} pixels")
    if height * width > self.max_pixels:
      raise Unreadable(
        f"it unpacks to {height} x {width} pixels, more than --max_pixels={self.max_pixels}"
      )
    self.check_bytes(height * width * frames * pixel_bytes)

  def check_bytes(self, count: int) -> None:
    """Raises Unreadable when a file unpacks to more than `max_bytes`."""
    if count > self.max_bytes:
      raise Unreadable(f"it unpacks to {count} bytes, more than --max_bytes={self.max_bytes}")


DEFAULT = Reading()


@dataclasses.dataclass(eq=False)
class Frame:
  """One image of a file.

  Attributes:
    values: uint8 [h, w] or [h, w, 3], as shown; of any other type [h, w], to be windowed.
    part: Which one of the file's, such as "page 2"; empty where it is the only one.
    window: The file's own lowest and highest value that is shown, or None.
    series: Frames of one series share a window; empty joins all files that name none.
    inverted: Whether the highest value is black.
    patient: Pseudonym of the patient, or empty.
    site: Name of the hospital, or empty.
    kind: Kind of file and bits per channel, such as "PNG 8 bit".
  """

  values: np.ndarray
  part: str = ""
  window: tuple[float, float] | None = None
  series: str = ""
  inverted: bool = False
  patient: str = ""
  site: str = ""
  kind: str = ""

  @property
  def deep(self) -> bool:
    """Whether its values must be windowed."""
    return self.values.dtype != np.uint8


@dataclasses.dataclass(eq=False)
class Contents:
  """What a file holds: frames, and how many empty slices were left out."""

  frames: list[Frame]
  empty: int = 0


def pseudonym(*identity: str) -> str:
  """What stands for a patient in caches, logs and reports: "p" and 12 hex digits of a sha256.

  Whoever knows the list of all identities can find them again by trying: a pseudonym is not
  anonymity.
  """
  if not identity or not identity[-1].strip():
    return ""
  text = "\0".join(part.strip() for part in identity)
  return "p" + hashlib.sha256(b"fedsafe/patient/" + _bytes(text)).hexdigest()[:12]


def _bytes(text: str) -> bytes:
  return text.encode("utf-8", "surrogateescape")
