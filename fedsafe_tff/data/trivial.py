"""What a model must beat: the majority class, colour statistics, the size of the file.

A classifier that is no better than these has not learned the disease. On the MRI data "512x512
pixels means tumour" alone scores 0.94 on the published glioma split, and on pathology a ridge
regression on colour statistics reaches about 0.8.
"""

import numpy as np
import sklearn.linear_model
import sklearn.pipeline
import sklearn.preprocessing

from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.mapped import sparing

VERSION = 1  # of what is computed: results are remembered under it
_ROWS = 1024
_MOST = 20_000


def trivial_baselines(
  image_set: ImageSet, train: np.ndarray, evaluation: np.ndarray
) -> dict[str, float]:
  """Accuracy of each baseline on the evaluation part; over 20,000 images of each at most.

  Args:
    image_set: The images.
    train: Indices to learn from.
    evaluation: Indices to score on.

  Returns:
    `majority_class`, `color_ridge`, and `source_512` where source sizes vary.
  """
  train, evaluation = _some(train), _some(evaluation)
  labels, truth = image_set.labels[train], image_set.labels[evaluation]
  scores = {"majority_class": float((truth == np.bincount(labels).argmax()).mean())}
  ridge = sklearn.pipeline.make_pipeline(
    sklearn.preprocessing.StandardScaler(), sklearn.linear_model.RidgeClassifier(alpha=1.0)
  )
  with sparing(image_set.images):
    ridge.fit(_statistics(image_set.images, train), labels)
    scores["color_ridge"] = float(ridge.score(_statistics(image_set.images, evaluation), truth))
  if len(np.unique(image_set.source_sizes, axis=0)) > 1:
    guesses = guess_by_size(image_set.labels, image_set.source_sizes, train, evaluation)
    scores["source_512"] = float((guesses == truth).mean())
  return scores


def _some(rows: np.ndarray) -> np.ndarray:
  if len(rows) <= _MOST:
    return rows
  return rows[np.linspace(0, len(rows) - 1, _MOST).astype(int)]


def guess_by_size(
  labels: np.ndarray, source_sizes: np.ndarray, train: np.ndarray, evaluation: np.ndarray
) -> np.ndarray:
  """Answers on `evaluation`, int [m]: the majority class of the training images that are, or are
  not, 512x512, as the file to be judged is.

  Args:
    labels: int [n], of all images.
    source_sizes: int [n, 2], height and width of the files in pixels.
    train: Indices to learn from.
    evaluation: Indices to judge.
  """
  is_512 = (source_sizes == 512).all(axis=1)
  rule = {}
  for flag in (False, True):
    here = labels[train][is_512[train] == flag]
    rule[flag] = np.bincount(here if len(here) else labels[train]).argmax()
  return np.array([rule[bool(flag)] for flag in is_512[evaluation]])


def _statistics(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
  """Those of some images, a few at a time: as floats they are many times as large."""
  starts = range(0, len(rows), _ROWS)
  return np.concatenate([_color_statistics(images[rows[s : s + _ROWS]]) for s in starts])


def _color_statistics(images: np.ndarray) -> np.ndarray:
  """Per channel mean, standard deviation, nine quantiles and 16 histogram bins, [n, 27 c]."""
  pixels = images.reshape(len(images), -1, images.shape[-1]).astype(np.float32) / 255.0
  quantiles = np.quantile(pixels, np.linspace(0.1, 0.9, 9), axis=1)
  bins = images.reshape(len(images), -1, images.shape[-1]) >> 4
  histograms = [(bins == level).mean(1) for level in range(16)]
  parts = [pixels.mean(1), pixels.std(1), *quantiles, *histograms]
  return np.concatenate(parts, axis=1)
