"""What the numbers of a stored evaluation mean, and an older one's numbers in today's meaning.

Versions:
  1: `clean_accuracy_clients`, of the copies, is over the images that were attacked.
  2: it is over all evaluation images, attacked or not, as `clean_accuracy_global` always was.

Whoever changes the meaning of a number raises `VERSION`, and says here what an older evaluation
has in its place.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fedsafe_tff.errors import UserError

VERSION = 2
# A model that is hardly better than always answering the largest class resists attacks for no
# good reason: its answers don't depend on the image.
COLLAPSED = 0.02
_ROUNDING = 1e-9  # of accuracies that are equal


def has_collapsed(clean_accuracy: float, majority_class: float) -> bool:
  """Whether a model is hardly better than the majority class, both over all evaluation images."""
  return clean_accuracy - majority_class <= COLLAPSED


def version_of(evaluation: Mapping[str, Any], evaluation_images: int | None) -> int:
  """The version of an evaluation; one that names none is told by its numbers.

  Args:
    evaluation: Contents of a stored evaluation, of one attack or of several.
    evaluation_images: How many images the evaluation part holds; None where nobody knows.

  Raises:
    UserError: A later version made it.
  """
  told = evaluation.get("result_versions", {}).get("definitions")
  if told is not None:
    if told > VERSION:
      raise UserError(
        f"an evaluation has definitions {told}, and this version knows them up to {VERSION}: read "
        "it with the version that made it"
      )
    return told
  copies = evaluation.get("clean_accuracy_clients")
  attacked = _accuracy_on_attacked(evaluation)
  if not copies or attacked is None or evaluation.get("attacked_images") == evaluation_images:
    return VERSION  # both mean the same
  return 1 if abs(sum(copies) / len(copies) - attacked) < _ROUNDING else VERSION


def _accuracy_on_attacked(evaluation: Mapping[str, Any]) -> float | None:
  results = [evaluation["result"]] if "result" in evaluation else evaluation.get("results", [])
  return results[0].get("clean_accuracy") if results else None


def accuracies_of_copies(
  evaluation: Mapping[str, Any], *, one_model: bool, evaluation_images: int | None
) -> list[float] | None:
  """Clean accuracy of each client's copy on all evaluation images.

  Args:
    evaluation: Contents of a stored evaluation.
    one_model: Whether every client holds the global model as it is.
    evaluation_images: See `version_of`.

  Returns:
    A value per client; None where the evaluation has them by an older definition or not at all.
  """
  copies = evaluation.get("clean_accuracy_clients")
  if not copies or version_of(evaluation, evaluation_images) == VERSION:
    return copies or None
  return [evaluation["clean_accuracy_global"]] * len(copies) if one_model else None


def renewed(
  evaluation: Mapping[str, Any],
  *,
  clean_global: float,
  clean_copies: Sequence[float],
  accuracy_on_attacked: float,
) -> dict[str, Any] | None:
  """An older evaluation with the numbers that a newer definition has, of the same models.

  Args:
    evaluation: Contents of a stored evaluation of one attack.
    clean_global: The global model's accuracy on all evaluation images.
    clean_copies: Each copy's accuracy on them.
    accuracy_on_attacked: The copies' mean accuracy on the attacked images, before the attack.

  Returns:
    The evaluation in today's definitions, without what only its maker adds; None where the models
    are not those that were attacked: then its other numbers don't belong to them.
  """
  pairs = (
    (clean_global, evaluation["clean_accuracy_global"]),
    (accuracy_on_attacked, _accuracy_on_attacked(evaluation)),
  )
  if any(abs(now - before) > _ROUNDING for now, before in pairs):
    return None
  return dict(evaluation) | {"clean_accuracy_clients": list(clean_copies)}
