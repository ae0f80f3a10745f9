"""Whether a model reads the disease or the origin of an image, told by the size of its file.

On the MRI data most tumours are 512x512 scans of one origin and hardly any image without a tumour
is, so that a model may be right about nearly all images for the wrong reason. What it makes of
tumours of other origins shows that; what a classifier that sees nothing but images of other origins
makes of them shows how much there is to learn.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import sklearn.decomposition
import sklearn.ensemble
import sklearn.model_selection
import sklearn.pipeline
import sklearn.preprocessing
import sklearn.svm

from fedsafe_tff.data.trivial import guess_by_size

_SIDE = 32  # of the images that the specialists see, in pixels
_FOLDS = 5


@dataclasses.dataclass(frozen=True)
class OriginCount:
  """Images of one class and one origin.

  Attributes:
    label: The class.
    is_512: Whether their files are 512x512.
    train: How many the clients train on.
    evaluation: How many are evaluated.
    model_wrong: On how many of the latter the model errs.
    rule_wrong: On how many the rule errs, whose answer is the training images' majority class among
      those that are, or are not, 512x512.
  """

  label: int
  is_512: bool
  train: int
  evaluation: int
  model_wrong: int
  rule_wrong: int


def by_origin(
  labels: np.ndarray,
  source_sizes: np.ndarray,
  train: np.ndarray,
  evaluation: np.ndarray,
  predicted: np.ndarray,
) -> list[OriginCount]:
  """Counts errors by class and origin.

  Args:
    labels: int [n], of all images.
    source_sizes: int [n, 2], height and width of the files in pixels.
    train: Indices of the training images.
    evaluation: Indices of the evaluated images, [m].
    predicted: The model's answers on these, [m].

  Returns:
    One entry per class and origin that has images in either part.
  """
  is_512 = (source_sizes == 512).all(axis=1)
  answers = guess_by_size(labels, source_sizes, train, evaluation)
  truth = labels[evaluation]
  counts = []
  for label in np.unique(labels):
    for flag in (True, False):
      rows = (truth == label) & (is_512[evaluation] == flag)
      trained = int(((labels[train] == label) & (is_512[train] == flag)).sum())
      if trained or rows.any():
        counts.append(
          OriginCount(
            label=int(label),
            is_512=flag,
            train=trained,
            evaluation=int(rows.sum()),
            model_wrong=int((predicted[rows] != label).sum()),
            rule_wrong=int((answers[rows] != label).sum()),
          )
        )
  return counts


@dataclasses.dataclass(frozen=True)
class Specialist:
  """A classifier trained and tested on images of one origin alone.

  Attributes:
    name: What it is.
    accuracy: Over all folds.
    recall: Per class, the share that it finds.
  """

  name: str
  accuracy: float
  recall: tuple[float, ...]


def specialists(
  images: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int = 0
) -> list[Specialist]:
  """Cross-validates classifiers that see these images alone; the majority class stands first.

  Args:
    images: uint8 [n, h, w, c].
    labels: int [n].
    groups: int [n]; images of one group are never on both sides.
    seed: Of the folds and of the trees.
  """
  features = _shrunk(images)
  folds = sklearn.model_selection.StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
  parts = min(60, *(len(train) for train, _ in folds.split(features, labels, groups)))
  models = {
    "support vectors on principal components": sklearn.pipeline.make_pipeline(
      sklearn.preprocessing.StandardScaler(),
      sklearn.decomposition.PCA(parts, random_state=seed),
      sklearn.svm.SVC(C=3.0),
    ),
    "randomised trees": sklearn.ensemble.ExtraTreesClassifier(400, random_state=seed),
  }
  found = [_scored("majority class", np.full(len(labels), np.bincount(labels).argmax()), labels)]
  for name, model in models.items():
    answers = sklearn.model_selection.cross_val_predict(
      model, features, labels, groups=groups, cv=folds
    )
    found.append(_scored(name, answers, labels))
  return found


def _scored(name: str, answers: np.ndarray, labels: np.ndarray) -> Specialist:
  recall: Sequence[float] = [float((answers[labels == k] == k).mean()) for k in np.unique(labels)]
  return Specialist(name, float((answers == labels).mean()), tuple(recall))


def _shrunk(images: np.ndarray) -> np.ndarray:
  """Means over blocks, about 32 a side, as rows of floats in [0, 1]."""
  rows, columns = (max(1, side // _SIDE) for side in images.shape[1:3])
  height, width = (images.shape[1] // rows, images.shape[2] // columns)
  cut = images[:, : height * rows, : width * columns].astype(np.float32) / 255.0
  blocks = cut.reshape(len(cut), height, rows, width, columns, -1).mean(axis=(2, 4))
  return blocks.reshape(len(cut), -1)
