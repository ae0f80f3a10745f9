"""The worst of several results, image by image: of attacks, of attackers, or of both."""

from collections.abc import Sequence

import numpy as np

from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.result import AttackResult


def worst(results: Sequence[AttackResult], attacker: str | None = None) -> AttackResult:
  """An image flips if any of the results flips it, and is right if it stays so under all.

  Args:
    results: Of the same clients, images and eps.
    attacker: The name of who does all of that; None for the one that they share, or "worst".

  Returns:
    One result. Others are those who are outside of all; queries are the sum, if any were counted.

  Raises:
    UserError: No results, or results that are not of the same clients, images and eps.
  """
  if not results:
    raise UserError("the worst of no results is none: give one at least")
  first = results[0]
  for other in results[1:]:
    same = other.flipped.shape == first.flipped.shape
    same &= other.clients == first.clients
    if not same or not np.array_equal(other.clean_right, first.clean_right):
      raise UserError("the worst is taken over results of the same copies and images only")
    if other.spec.eps != first.spec.eps or other.spec.norm != first.spec.norm:
      raise UserError(
        f"the worst is taken over attacks of one size, not of {first.spec.norm} "
        f"{first.spec.eps:g} and {other.spec.norm} {other.spec.eps:g}"
      )
  names = {result.attacker for result in results}
  counted = [result.queries for result in results if result.queries is not None]
  return AttackResult(
    spec=first.spec,
    flipped=np.logical_or.reduce([result.flipped for result in results]),
    right=np.logical_and.reduce([result.right for result in results]),
    clean_right=first.clean_right,
    outside=np.logical_and.reduce([result.outside for result in results]),
    random_noise_flip=first.random_noise_flip,
    zero_gradient=first.zero_gradient,
    attacker=attacker or (names.pop() if len(names) == 1 else "worst"),
    queries=np.sum(counted, axis=0) if counted else None,
    specs=tuple(spec for result in results for spec in result.specs),
    predicted=_labels(results),
    clean_predicted=first.clean_predicted,
    clients=first.clients,
    of_clients=first.of_clients,
  )


def _labels(results: Sequence[AttackResult]) -> np.ndarray | None:
  """Labels that some attack gave: one that flips where any does, a wrong one where there is."""
  if any(result.predicted is None for result in results):
    return None
  chosen, worth = results[0].predicted, np.full(results[0].flipped.shape, -1)
  for result in results:
    found = 2 * result.flipped.astype(int) + ~result.right
    chosen = np.where(found > worth, result.predicted, chosen)
    worth = np.maximum(found, worth)
  return chosen
