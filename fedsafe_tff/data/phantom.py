"""The embedded default data: brain-like slices drawn from a seed, with and without tumours.

Every slice has a skull, grey and white matter, ventricles, texture and scanner noise, all varied
in place, size, tilt and brightness. The kinds of tumour differ in place, shape and texture, as
the real ones do: *glioma*, ragged and mottled, deep in a hemisphere; *meningioma*, smooth and
bright, at the skull; *pituitary*, small and round, in the midline. Distractors (bright vessels,
dark spots) and tumours of low contrast keep a classifier from being perfect.
"""

import numpy as np
import psutil
import scipy.ndimage

from fedsafe_tff.data import seeds
from fedsafe_tff.data.image_files import Options
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.spec import DataSpec
from fedsafe_tff.errors import UserError

# The first is the default.
TASKS = {
  "two_class": ("none", "tumour"),
  "four_class": ("none", "glioma", "meningioma", "pituitary"),
}
DEFAULT_SIZE = 48
DEFAULT_IMAGES = 800
_WORK = 200  # bytes per pixel while a slice is drawn
_KINDS = ("glioma", "meningioma", "pituitary")


def _smooth_noise(rng: np.random.Generator, size: int, scale: float) -> np.ndarray:
  """Noise of mean 0 and standard deviation 1, smooth over `scale` of the image's side."""
  noise = scipy.ndimage.gaussian_filter(rng.standard_normal((size, size)), scale * size)
  return noise / (noise.std() + 1e-9)


def _ellipse(grid: np.ndarray, center, radii, tilt=0.0) -> np.ndarray:
  """Distance from the centre in radii: below 1 is inside."""
  y, x = grid[0] - center[0], grid[1] - center[1]
  c, s = np.cos(tilt), np.sin(tilt)
  return np.hypot((c * y + s * x) / radii[0], (-s * y + c * x) / radii[1])


def _inside(distance: np.ndarray, softness: float = 0.06) -> np.ndarray:
  """1 inside, 0 outside, with a soft border."""
  return 1.0 / (1.0 + np.exp(np.clip((distance - 1.0) / softness, -30, 30)))


def _tumour(rng: np.random.Generator, grid: np.ndarray, kind: str, radii, size: int):
  """A mask and a brightness for one tumour."""
  contrast = rng.uniform(0.18, 0.50)
  side = rng.choice([-1, 1])
  if kind == "glioma":
    center = (rng.uniform(-0.35, 0.35), side * rng.uniform(0.18, 0.4))
    radius = rng.uniform(0.12, 0.24)
    ragged = 1.0 + 0.28 * _smooth_noise(rng, size, 0.06)
    distance = _ellipse(grid, center, (radius, radius * rng.uniform(0.7, 1.2)), rng.uniform(0, 3))
    mottled = 1.0 + 0.6 * _smooth_noise(rng, size, 0.03)
    return _inside(distance / np.maximum(ragged, 0.3), 0.12), contrast * mottled
  if kind == "meningioma":
    angle = rng.uniform(0.4, np.pi - 0.4) * side
    center = (radii[0] * 0.86 * np.cos(angle), radii[1] * 0.86 * np.sin(angle))
    radius = rng.uniform(0.10, 0.20)
    distance = _ellipse(grid, center, (radius, radius * rng.uniform(0.9, 1.2)))
    return _inside(distance, 0.05), contrast * np.ones_like(distance)
  center = (rng.uniform(0.28, 0.42), rng.uniform(-0.05, 0.05))
  radius = rng.uniform(0.07, 0.13)
  distance = _ellipse(grid, center, (radius, radius * rng.uniform(0.9, 1.3)))
  return _inside(distance, 0.05), contrast * np.ones_like(distance)


def draw_slice(rng: np.random.Generator, size: int, kind: str) -> np.ndarray:
  """One slice, uint8 [size, size]; `kind` is "none" or a tumour."""
  axis = np.linspace(-1.0, 1.0, size)
  grid = np.stack(np.meshgrid(axis, axis, indexing="ij"))
  grid = grid - rng.uniform(-0.06, 0.06, size=(2, 1, 1))
  tilt = rng.uniform(-0.15, 0.15)
  c, s = np.cos(tilt), np.sin(tilt)
  grid = np.stack([c * grid[0] + s * grid[1], -s * grid[0] + c * grid[1]])
  radii = (rng.uniform(0.78, 0.9), rng.uniform(0.62, 0.76))
  head = _ellipse(grid, (0, 0), radii)
  brain = _inside(head / 0.88, 0.03)
  skull = np.exp(-(((head - 0.96) / 0.045) ** 2)) * rng.uniform(0.5, 0.9)
  folds = np.abs(_smooth_noise(rng, size, 0.035))
  white = _inside(_ellipse(grid, (0, 0), (radii[0] * 0.62, radii[1] * 0.62)) + 0.12 * folds, 0.1)
  image = brain * (rng.uniform(0.30, 0.40) + rng.uniform(0.06, 0.14) * white - 0.05 * folds)
  opening = rng.uniform(0.6, 1.3)
  for half in (-1, 1):
    ventricle = _ellipse(
      grid,
      (-0.05, half * rng.uniform(0.09, 0.13)),
      (0.24 * opening, 0.06 * opening),
      half * rng.uniform(0.15, 0.4),
    )
    image -= 0.24 * brain * _inside(ventricle, 0.1)
  image -= 0.08 * brain * np.exp(-((grid[1] / 0.015) ** 2))
  for _ in range(rng.integers(1, 5)):  # vessels and spots: as bright as a faint tumour, but small
    center = rng.uniform(-0.5, 0.5, 2)
    radius = rng.uniform(0.02, 0.06)
    spot = _inside(
      _ellipse(grid, center, (radius, radius * rng.uniform(1, 2.5)), rng.uniform(0, 3))
    )
    image += rng.choice([-1, 1]) * rng.uniform(0.05, 0.20) * brain * spot
  if kind != "none":
    mask, brightness = _tumour(rng, grid, kind, radii, size)
    image += brain * mask * brightness
  image += skull
  bias_field = 1.0 + 0.12 * _smooth_noise(rng, size, 0.3)
  image = image * bias_field * rng.uniform(0.85, 1.15)
  image = scipy.ndimage.gaussian_filter(image, 0.5)
  image += rng.normal(0.0, rng.uniform(0.015, 0.035), image.shape)
  return np.round(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8)


def load(*, task: str, num_images: int, image_size: int, seed: int) -> ImageSet:
  """Draws a data set: 40 % without a tumour, the kinds of tumour in equal parts.

  Args:
    task: "two_class" (none, tumour) or "four_class".
    num_images: How many; 0: 800.
    image_size: Side in pixels; 0: 48.
    seed: Decides every pixel.

  Raises:
    UserError: Unknown task, too small an image.
  """
  if task not in TASKS:
    raise UserError(f"--task={task} is unknown for phantom: choose one of {', '.join(TASKS)}")
  size, count = image_size or DEFAULT_SIZE, num_images or DEFAULT_IMAGES
  if size < 16:
    raise UserError(f"--image_size={size} is too small for phantom: at least 16")
  _check_memory(size, count)
  rng = seeds.generator(seed, "phantom/kinds")
  kinds = ["none" if i % 5 < 2 else _KINDS[i % 3] for i in range(count)]
  rng.shuffle(kinds)
  images = np.stack(
    [
      draw_slice(seeds.generator(seed, f"phantom/{index}"), size, kind)
      for index, kind in enumerate(kinds)
    ]
  )[..., np.newaxis]
  labels = [min(("none", *_KINDS).index(kind), len(TASKS[task]) - 1) for kind in kinds]
  return ImageSet(
    images=images,
    labels=np.array(labels, np.int32),
    class_names=TASKS[task],
    names=tuple(f"phantom/{i}/{kind}" for i, kind in enumerate(kinds)),
    groups=np.arange(count, dtype=np.int64),  # every slice has its own draw
    exact=np.arange(count, dtype=np.int64),
    published_test=np.arange(count) >= round(0.75 * count),
    source_sizes=np.full([count, 2], size, np.int32),
  )


def _check_memory(size: int, count: int) -> None:
  """Refuses what would end in the middle, without a word, by the system's hand."""
  wanted, free = size**2 * (2 * count + _WORK), psutil.virtual_memory().available
  if wanted > free:
    raise UserError(
      f"out of memory: {count} images of {size} x {size} pixels take {wanted / 2**30:.1f} GiB, and "
      f"{free / 2**30:.1f} are free: lower --num_images or --image_size"
    )


def from_spec(spec: DataSpec, options: Options) -> ImageSet:
  """Loads what a spec says; see `load`."""
  return load(
    task=spec.task, num_images=spec.num_images, image_size=options.image_size, seed=spec.seed
  )
