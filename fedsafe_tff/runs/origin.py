"""What a trained model makes of images of other origins than most, as Markdown."""

import numpy as np

from fedsafe_tff.data.shortcuts import can_fold
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.evaluation.origin import by_origin, specialists
from fedsafe_tff.runs.load import load_run
from fedsafe_tff.runs.report.render import markdown
from fedsafe_tff.runs.report.run_folder import RunFolder


def describe(run: RunFolder) -> str:
  """Errors of a run's global model by class and origin, and what there is to learn without it.

  Args:
    run: A finished run on images from files.

  Raises:
    UserError: The run has no model, its images have changed, or all files are of one size.
  """
  loaded = load_run(run.path)
  prepared = loaded.prepared
  images, parts = prepared.image_set, prepared.parts
  other = ~(images.source_sizes == 512).all(axis=1)
  if other.all() or not other.any():
    raise UserError(f"{run.path}: origins are told by files of 512x512 pixels beside others")
  if not can_fold(images.labels[other], images.groups[other]):
    raise UserError(
      f"{run.path}: of the {other.sum()} images of other sizes than 512x512 there are too few, or "
      "those of one class alone: nothing can be learnt from them"
    )
  predicted = Scorer(loaded.model, 64).predict(loaded.weights, loaded.images("evaluation")[0])
  counts = by_origin(images.labels, images.source_sizes, parts.train, parts.evaluation, predicted)
  title = images.class_names
  errors = markdown(
    ["images", "in training", "evaluated", "the model errs on", "the 512x512 rule errs on"],
    [
      [
        f"{title[c.label]}, {'512x512' if c.is_512 else 'other sizes'}",
        *map(str, (c.train, c.evaluation, c.model_wrong, c.rule_wrong)),
      ]
      for c in counts
    ],
  )
  found = specialists(images.images[other], images.labels[other], images.groups[other])
  here = np.unique(images.labels[other])
  learnable = markdown(
    ["classifier", "accuracy", *(f"finds of {title[label]}" for label in here)],
    [[s.name, f"{s.accuracy:.3f}", *(f"{r:.0%}" for r in s.recall)] for s in found],
  )
  return (
    f"{run.title()}, seed {loaded.config.seed}: {run.path.name}\n\n{errors}\n"
    f"Classifiers that see only the {other.sum()} images of other sizes, in training and in test "
    f"(five folds by near-duplicate group):\n\n{learnable}"
  )
