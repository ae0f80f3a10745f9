"""Copies that hashes miss: a picture at another resolution, with a border, shifted or cropped.

Each picture is compared with its nearest neighbours. One of the two is moved onto the other, by a
scale and a shift for each axis, until their gray values agree as well as they can (Gauss-Newton
on least squares, as Lucas and Kanade align images, 1981; from coarse to fine). What then counts is
the correlation of the details: neighbouring slices of one head share outline and brightness, but
not the details.

On the brain MRI scans the details of every copy that was found correlate by 0.987 or more, those of
the most similar pair of different slices by 0.980; on the pathology patches no pair comes near.
"""

from collections.abc import Iterator

import numpy as np
import scipy.ndimage
import threadpoolctl

SIDE = 64  # of the pictures that are compared, in pixels
MIN_DETAIL = 0.983

_NEIGHBOURS = 4
_MIN_NEIGHBOUR = 0.8  # correlation without alignment, at the coarsest side
# Side, steps of Gauss-Newton there, and the correlation below which a pair is dropped after them.
_LEVELS = ((16, 5, 0.96), (32, 3, 0.975), (SIDE, 3, 0.985))
_BLUR, _DETAIL = 1.0, 3.0  # sigmas in pixels of the finest side: details lie between the two
_COARSE_BLUR = 1.7
_LARGEST = np.array([0.18, 0.18, 0.08, 0.08], np.float32)  # change of scale; shift in sides
_STEP = 0.06
_MARGIN = 16  # a frame of a 16th of the side is not looked at: a border may be there
_MIN_SPREAD = 0.04
_ROWS = 512  # pictures compared with all others at a time
_PIXELS = 2**18  # of pairs aligned at a time


def find(pictures: np.ndarray) -> np.ndarray:
  """Pairs of pictures that show the same.

  Args:
    pictures: uint8 [n, SIDE, SIDE], gray.

  Returns:
    Pairs of indices, the smaller one first, int64 [pairs, 2].
  """
  finest = _smooth(pictures.astype(np.float32), _BLUR)
  smooth = _smooth(finest, _COARSE_BLUR)  # else a shift by half a coarse pixel looks like a change
  levels = {
    side: _block_means(smooth if side < SIDE // 2 else finest, side) for side, _, _ in _LEVELS
  }
  pairs = _neighbours(levels[_LEVELS[0][0]])
  # Thousands of systems of six equations: threads of BLAS wait for one another at each of them, for
  # seconds where the machine has other work.
  with threadpoolctl.threadpool_limits(1, "blas"):
    return _aligned(finest, levels, pairs)


def _aligned(
  finest: np.ndarray, levels: dict[int, np.ndarray], pairs: np.ndarray
) -> np.ndarray:
  """Those of the pairs that show the same after they are aligned, level by level."""
  moves = np.zeros([len(pairs), 4], np.float32)
  for side, steps, least in _LEVELS:
    kept = []
    for some in _batches(len(pairs), side):
      left, right = (levels[side][index] for index in pairs[some].T)
      moves[some] = _align(left, right, moves[some], steps)
      kept.append(_correlation(left, *_moved(right, moves[some])) >= least)
    kept = np.concatenate(kept) if kept else np.zeros(0, bool)
    pairs, moves = pairs[kept], moves[kept]
  same = [
    _same_details(*(finest[index] for index in pairs[some].T), moves[some])
    for some in _batches(len(pairs), SIDE)
  ]
  return pairs[np.concatenate(same)] if same else pairs


def _smooth(pictures: np.ndarray, sigma: float) -> np.ndarray:
  return scipy.ndimage.gaussian_filter(pictures, (0, sigma, sigma))


def _block_means(pictures: np.ndarray, side: int) -> np.ndarray:
  block = pictures.shape[1] // side
  return pictures.reshape(len(pictures), side, block, side, block).mean((2, 4))


def _batches(count: int, side: int) -> Iterator[slice]:
  size = _PIXELS // side**2
  return (slice(start, start + size) for start in range(0, count, size))


def _neighbours(pictures: np.ndarray) -> np.ndarray:
  """Each picture's nearest ones by the correlation of its pixels, as pairs [pairs, 2]."""
  pixels = pictures.reshape(len(pictures), -1)
  pixels = pixels - pixels.mean(1, keepdims=True)
  pixels /= np.linalg.norm(pixels, axis=1, keepdims=True) + 1e-6
  nearest = min(_NEIGHBOURS, len(pixels) - 1)
  found = [np.zeros([0, 2], np.int64)]
  for start in range(0, len(pixels) if nearest else 0, _ROWS):
    alike = pixels[start : start + _ROWS] @ pixels.T
    own = np.arange(len(alike))
    alike[own, start + own] = -1.0
    columns = np.argpartition(-alike, nearest - 1, axis=1)[:, :nearest]
    rows, places = np.nonzero(np.take_along_axis(alike, columns, 1) >= _MIN_NEIGHBOUR)
    found.append(np.stack([start + rows, columns[rows, places]], 1))
  return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def _hat(distance: np.ndarray) -> np.ndarray:
  return np.maximum(0.0, 1.0 - np.abs(distance))


def _sampling(scale: np.ndarray, shift: np.ndarray, side: int):
  """Along one axis: linear interpolation as matrices, its derivative, and what lies inside.

  Args:
    scale: Change of scale about the centre, [pairs].
    shift: In sides, [pairs].
    side: Of the pictures, in pixels.

  Returns:
    Matrices [pairs, side, side], their derivatives by the shift, and bool [pairs, side].
  """
  pixel = np.arange(side, dtype=np.float32)
  centre = (side - 1) / 2
  place = pixel + (pixel - centre) * scale[:, None] + shift[:, None] * side
  away = pixel - place[:, :, None]
  margin = side // _MARGIN
  inside = (place >= 0) & (place <= side - 1) & (pixel >= margin) & (pixel < side - margin)
  return _hat(away), (_hat(away - 1) - _hat(away + 1)) * (side / 2), inside


def _moved(pictures: np.ndarray, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Pictures after their moves, and a mask of what can be compared, both [pairs, side, side]."""
  side = pictures.shape[1]
  rows, _, inside_y = _sampling(moves[:, 0], moves[:, 2], side)
  columns, _, inside_x = _sampling(moves[:, 1], moves[:, 3], side)
  mask = inside_y[:, :, None] & inside_x[:, None, :]
  return rows @ pictures @ columns.transpose(0, 2, 1), mask.astype(np.float32)


def _align(left: np.ndarray, right: np.ndarray, moves: np.ndarray, steps: int) -> np.ndarray:
  """Gauss-Newton on left = gain * moved(right) + offset, [pairs, side, side] each.

  Args:
    left: Pictures that stay.
    right: Pictures that are moved.
    moves: Change of scale and shift, each for y and x, to begin with: [pairs, 4].
    steps: How many.

  Returns:
    The moves.
  """
  side = left.shape[1]
  centred = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / side
  for _ in range(steps):
    rows, rows_slope, inside_y = _sampling(moves[:, 0], moves[:, 2], side)
    columns, columns_slope, inside_x = _sampling(moves[:, 1], moves[:, 3], side)
    columns, columns_slope = columns.transpose(0, 2, 1), columns_slope.transpose(0, 2, 1)
    by_rows = rows @ right
    moved = by_rows @ columns
    slope_y, slope_x = (rows_slope @ right) @ columns, by_rows @ columns_slope
    terms = [
      slope_y * centred[:, None], slope_x * centred, slope_y, slope_x, moved, np.ones_like(moved),
    ]  # fmt: skip
    mask = (inside_y[:, :, None] & inside_x[:, None, :]).reshape(len(moves), 1, -1)
    terms = np.stack(terms, 1).reshape(len(moves), len(terms), -1) * mask
    normal = terms @ terms.transpose(0, 2, 1)
    wanted = (terms @ left.reshape(len(left), -1, 1))[..., 0]
    # Scaled to ones on the diagonal, a little added: a picture without any slope has no solution.
    size = np.sqrt(np.einsum("pii->pi", normal)) + 1e-3
    normal = normal / (size[:, :, None] * size[:, None, :]) + 1e-5 * np.eye(6, dtype=np.float32)
    solved = np.linalg.solve(normal, (wanted / size)[..., None])[..., 0] / size
    gain = np.where(np.abs(solved[:, 4:5]) > 0.1, solved[:, 4:5], 1.0)
    moves = moves + np.clip(solved[:, :4] / gain, -_STEP, _STEP)
    moves = np.clip(moves, -_LARGEST, _LARGEST)
  return moves


def _correlation(left: np.ndarray, right: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """Pearson's, within the mask, [pairs]."""
  count = mask.sum((1, 2), keepdims=True) + 1e-6
  left, right = (
    (picture - (picture * mask).sum((1, 2), keepdims=True) / count) * mask
    for picture in (left, right)
  )
  size = np.sqrt((left**2).sum((1, 2)) * (right**2).sum((1, 2)))
  return (left * right).sum((1, 2)) / (size + 1e-6)


def _same_details(left: np.ndarray, right: np.ndarray, moves: np.ndarray) -> np.ndarray:
  """Whether the details agree, and are more than a speck or two, bool [pairs]."""
  right, mask = _moved(right, moves)
  weight = _smooth(mask, _DETAIL) + 1e-3
  left, right = (
    (picture - _smooth(picture * mask, _DETAIL) / weight) * mask for picture in (left, right)
  )
  spread = (left**2).sum((1, 2)) ** 2 / ((left**4).sum((1, 2)) * mask.sum((1, 2)) + 1e-6)
  return (_correlation(left, right, mask) >= MIN_DETAIL) & (spread >= _MIN_SPREAD)
