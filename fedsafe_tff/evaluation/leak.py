"""What copies of evaluation images among the training images are worth to a model."""

import numpy as np


def accuracy_by_copy(
  labels: np.ndarray,
  predicted: np.ndarray,
  groups: np.ndarray,
  train: np.ndarray,
  evaluation: np.ndarray,
) -> dict[str, float | int]:
  """Accuracy on images that have a copy in training and on those that have none.

  Both are means over classes, since the two kinds may differ in how many images of each they hold.

  Args:
    labels: int [n], of all images.
    predicted: The model's answers on the evaluated images, [m].
    groups: int [n]; images of one group are exact or near copies.
    train: Indices of the training images.
    evaluation: Indices of the evaluated images, [m].

  Returns:
    `copied_images`, `copied_accuracy`, `other_images` and `other_accuracy`; empty unless both kinds
    hold every class.
  """
  truth = labels[evaluation]
  copied = np.isin(groups[evaluation], groups[train])
  told: dict[str, float | int] = {}
  for name, rows in (("copied", copied), ("other", ~copied)):
    of_class = [rows & (truth == label) for label in np.unique(labels)]
    if not all(chosen.any() for chosen in of_class):
      return {}
    recalls = [(predicted[chosen] == truth[chosen]).mean() for chosen in of_class]
    told |= {f"{name}_images": int(rows.sum()), f"{name}_accuracy": float(np.mean(recalls))}
  return told
