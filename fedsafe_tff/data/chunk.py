"""Decodes some files: their frames as rows of arrays, which is what workers hand back.

A chunk is a plain dictionary of arrays, so that it can be written as `.npz` without pickle and a
run that was killed finds it again.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import PIL.Image

from fedsafe_tff.data.formats import registry, window
from fedsafe_tff.data.formats.frame import Frame, Reading, Unreadable
from fedsafe_tff.data.near_duplicates import hash_image

Chunk = dict[str, np.ndarray]
# A fingerprint has as many parts as `hash_image` says, the two hashes first.
_LIKE = hash_image(PIL.Image.new("L", (32, 32)))
PRINTS = tuple(f"print_{k}" for k in range(len(_LIKE)))
Windows = Mapping[str, tuple[float, float]]
SINGLE = "single images of more than 8 bits"


def fingerprints(rows: Mapping[str, np.ndarray]) -> list:
  """Fingerprints as `near_duplicates.near_groups` takes them."""
  make = getattr(type(_LIKE), "_make", tuple)
  return [make(parts) for parts in zip(*(rows[name] for name in PRINTS))]


def series_name(frame: Frame, file_name: str) -> str:
  """What a frame's window is stored under: nothing of a DICOM tag but a hash."""
  if not frame.series:
    return SINGLE
  if frame.series in ("stack", "volume", "file"):
    return file_name
  return "series " + hashlib.sha256(frame.series.encode()).hexdigest()[:8]


def decode(
  files: Sequence[tuple[int, str, str]],
  *,
  image_size: int,
  channels: int,
  reading: Reading,
  windows: Windows | None = None,
  resampling: str = "bilinear",
) -> Chunk:
  """Decodes files.

  Args:
    files: (number, path, name) of each.
    image_size: Side of the square result, in pixels.
    channels: 1 or 3.
    reading: How files are read.
    windows: Window of every series; None in a first pass, in which files that need one are only
      measured.
    resampling: How frames are resized, a name of `PIL.Image.Resampling` in small letters.

  Returns:
    Per frame `number` (of its file) int [m], `pixels` uint8 [m, s, s, c], `size` int [m, 2],
    `exact` int64 [m], `print_0`, `print_1`, ... (see `fingerprints`), `gray` bool [m], `part`,
    `patient`, `site`, `kind` str [m]; per file that gave none `bad`, `bad_reason`, `bad_image`
    (whether it claims to be one); per file to be windowed and series `deep`, `deep_series`,
    `deep_ends` [d, 2], `deep_own` [d, 2] (NaN: none),
    and `deep_sample`, `deep_count`: the samples end to end and how many each has; `empty` int [1].
  """
  made = _Made(PIL.Image.Resampling[resampling.upper()])
  wanted = window.parse(reading.window)
  for number, path, name in files:
    try:
      contents = registry.read(path, reading, name)
      asks = not isinstance(wanted, tuple) and any(frame.deep for frame in contents.frames)
      if asks and windows is None:
        made.measure(number, name, contents.frames)
        continue
      ends = [_ends(frame, name, wanted, windows) for frame in contents.frames]
      shown = [window.show(frame, pair) for frame, pair in zip(contents.frames, ends)]
    except Unreadable as reason:
      made.bad.append((number, str(reason), not isinstance(reason, registry.NotAnImage)))
      continue
    made.empty += contents.empty
    for frame, pixels in zip(contents.frames, shown):
      made.add(number, frame, pixels, image_size, channels)
  return made.arrays(image_size, channels)


def _ends(frame: Frame, name: str, wanted, windows: Windows | None):
  if not frame.deep:
    return None
  if isinstance(wanted, tuple):
    return wanted
  ends = windows.get(series_name(frame, name))
  if ends is None and wanted != "dicom":
    raise Unreadable(
      "it has more than 8 bits, and no image of its kind was there to tell what is black and white"
    )
  if ends is None:
    raise Unreadable("it has no window of its own, which --window=dicom asks for")
  return ends


class _Made:
  """Rows as they come."""

  def __init__(self, way: PIL.Image.Resampling):
    self._way = way
    self.rows: list[tuple] = []
    self.bad: list[tuple[int, str, bool]] = []
    self.deep: list[tuple[int, str, window.Spread]] = []
    self.empty = 0

  def measure(self, number: int, name: str, frames: Sequence[Frame]) -> None:
    """Notes what the windows of a file's series are made from."""
    found: dict[str, window.Spread] = {}
    for frame in frames:
      if frame.deep:
        series, spread = series_name(frame, name), window.spread(frame)
        found[series] = found[series].join(spread) if series in found else spread
    self.deep += [(number, series, spread) for series, spread in found.items()]

  def add(
    self, number: int, frame: Frame, shown: np.ndarray, image_size: int, channels: int
  ) -> None:
    """Resizes a frame; hashes are of what was shown before."""
    shown = np.ascontiguousarray(shown)
    gray = shown.ndim == 2 or bool((shown == shown[..., :1]).all())
    plane = np.ascontiguousarray(shown[..., 0]) if gray and shown.ndim == 3 else shown
    image = PIL.Image.fromarray(plane)
    light = image if gray else image.convert("L")
    side = (image_size, image_size)
    if channels == 1 or gray:
      resized = np.asarray(light.resize(side, self._way))
      pixels = np.repeat(resized[..., np.newaxis], channels, -1)
    else:
      pixels = np.asarray(image.resize(side, self._way))
    # Gray images are one plane here however they are stored, so that copies are told as such.
    digest = hashlib.sha256(str(plane.shape).encode() + plane.tobytes()).digest()
    exact = int.from_bytes(digest[:8], "little", signed=True)
    hashes = hash_image(light)
    texts = (frame.part, frame.patient, frame.site, frame.kind)
    self.rows.append((number, pixels, shown.shape[:2], exact, hashes, gray, texts))

  def arrays(self, image_size: int, channels: int) -> Chunk:
    """As `decode` returns them."""
    rows, count = self.rows, len(self.rows)
    texts = np.array([row[6] for row in rows], str).reshape(count, 4)
    pixels = np.array([row[1] for row in rows], np.uint8)
    deep = [entry[2] for entry in self.deep]
    return {
      "number": np.array([row[0] for row in rows], np.int64),
      "pixels": pixels.reshape(count, image_size, image_size, channels),
      "size": np.array([row[2] for row in rows], np.int32).reshape(count, 2),
      "exact": np.array([row[3] for row in rows], np.int64),
      **{
        f"print_{k}": np.array([row[4][k] for row in rows], part.dtype).reshape(count, *part.shape)
        for k, part in enumerate(_LIKE)
      },
      "gray": np.array([row[5] for row in rows], bool),
      "part": texts[:, 0],
      "patient": texts[:, 1],
      "site": texts[:, 2],
      "kind": texts[:, 3],
      "bad": np.array([entry[0] for entry in self.bad], np.int64),
      "bad_reason": np.array([entry[1] for entry in self.bad], str),
      "bad_image": np.array([entry[2] for entry in self.bad], bool),
      "deep": np.array([entry[0] for entry in self.deep], np.int64),
      "deep_series": np.array([entry[1] for entry in self.deep], str),
      "deep_ends": np.array([(s.low, s.high) for s in deep], np.float64).reshape(-1, 2),
      "deep_own": np.array([s.own or (np.nan, np.nan) for s in deep], np.float64).reshape(-1, 2),
      "deep_sample": np.concatenate([s.sample for s in deep]) if deep else np.zeros(0),
      "deep_count": np.array([len(s.sample) for s in deep], np.int64),
      "empty": np.array([self.empty]),
    }

