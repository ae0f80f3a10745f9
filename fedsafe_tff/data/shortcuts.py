"""What of a file, other than what it shows, tells its class.

A rule of at most eight answers (a decision tree of depth 3) is learnt from one such property and
scored on groups that it has not seen. A property that beats the majority class is a shortcut: a
model may learn the scanner or the source instead of the disease.
"""

import dataclasses
import warnings

import numpy as np
import sklearn.model_selection
import sklearn.preprocessing
import sklearn.tree

from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.mapped import sparing

_FOLDS, _DEPTH, _MOST, _ROWS = 5, 3, 20_000, 1024
_MARGIN = 0.05
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Shortcut:
  """How far one property tells the class.

  Attributes:
    name: The property.
    accuracy: Share of images whose class it tells, on groups that it was not learnt from.
    majority: Share of the largest class.
    classes_alike: Mean share over the classes (balanced accuracy).
  """

  name: str
  accuracy: float
  majority: float
  classes_alike: float

  @property
  def warns(self) -> bool:
    """Whether it beats the majority class by more than chance and habit explain."""
    return self.accuracy > self.majority + _MARGIN


def find(image_set: ImageSet) -> list[Shortcut]:
  """Every property that varies, the strongest first; over 20,000 images at most.

  Images are looked at as the model sees them, sizes as they were in the files.
  """
  rows = np.arange(len(image_set))
  if len(rows) > _MOST:
    rows = np.linspace(0, len(rows) - 1, _MOST).astype(int)
  labels, groups = image_set.labels[rows], image_set.groups[rows]
  if not can_fold(labels, groups):
    return []
  found = []
  for name, values in _properties(image_set, rows).items():
    if len(np.unique(values, axis=0)) > 1:
      found.append(_score(name, values, labels, groups))
  return sorted(found, key=lambda shortcut: -shortcut.accuracy)


def can_fold(labels: np.ndarray, groups: np.ndarray) -> bool:
  """Whether there are two classes, and images and groups enough for the folds."""
  counts = np.unique(labels, return_counts=True)[1]
  return len(counts) > 1 and counts.max() >= _FOLDS and len(np.unique(groups)) >= _FOLDS


def _properties(image_set: ImageSet, rows: np.ndarray) -> dict[str, np.ndarray]:
  sizes = image_set.source_sizes[rows].astype(np.float64)
  with sparing(image_set.images):
    looks = looks_of(image_set.images, rows)
  properties = {
    "size of the file's image": np.column_stack([sizes, sizes[:, 0] == sizes[:, 1]]),
    "brightness": looks[:, 0:2],
    "border": looks[:, 2:4],
    "colour": looks[:, 4:],
  }
  if image_set.kinds is not None:
    properties["kind of file"] = _one_hot([image_set.kinds[i] for i in rows])
  if image_set.sites is not None:
    properties["site"] = _one_hot([image_set.sites[i] for i in rows])
  if image_set.images.shape[-1] == 1:
    del properties["colour"]
  return properties


def looks_of(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
  """Mean and deviation of brightness, the same of the outermost pixels, mean of every channel.

  Args:
    images: uint8 [n, h, w, c].
    rows: Which of them, int [m].

  Returns:
    float64 [m, 4 + c], in pixels of [0, 1].
  """
  made = []
  for start in range(0, len(rows), _ROWS):
    x = np.asarray(images[rows[start : start + _ROWS]], np.float32) / 255.0
    edge = np.concatenate([x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]], axis=1).reshape(len(x), -1)
    flat = x.reshape(len(x), -1)
    made.append(
      np.column_stack([flat.mean(1), flat.std(1), edge.mean(1), edge.std(1), x.mean((1, 2))])
    )
  return np.concatenate(made).astype(np.float64)


def _one_hot(values) -> np.ndarray:
  encoder = sklearn.preprocessing.OneHotEncoder(sparse_output=False, max_categories=50)
  return encoder.fit_transform(np.array(values, str)[:, None])


def _score(name: str, values: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> Shortcut:
  tree = sklearn.tree.DecisionTreeClassifier(max_depth=_DEPTH, random_state=_SEED)
  folds = sklearn.model_selection.StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=_SEED)
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a class with fewer groups than folds
    guesses = sklearn.model_selection.cross_val_predict(
      tree, values, labels, groups=groups, cv=folds
    )
  right = guesses == labels
  by_class = [right[labels == label].mean() for label in np.unique(labels)]
  return Shortcut(
    name, float(right.mean()), float(np.bincount(labels).max() / len(labels)),
    float(np.mean(by_class)),
  )  # fmt: skip
