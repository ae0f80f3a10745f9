"""What the images and models of a sweep are, and what of the cache can't be compared with them."""

import pathlib
from collections.abc import Callable, Sequence

from fedsafe_tff.data import loading
from fedsafe_tff.errors import UserError
from fedsafe_tff.paper.cache import Cache, by_other_attackers
from fedsafe_tff.paper.cells import Cell
from fedsafe_tff.runs import inputs
from fedsafe_tff.runs.config import Config
from fedsafe_tff.training import own


class Known:
  """Identities of images and models, looked at once each.

  Attributes:
    unread: Tasks whose images or model can't be read, with the reason.
  """

  def __init__(self, log: Callable[[str], None], *, required: bool):
    """Begins to know nothing.

    Args:
      log: Is told how far reading is.
      required: Whether what can't be read is an error.
    """
    self._log, self._required = log, required
    self._found: dict[tuple[loading.DataSpec, str, str, str], str | None] = {}
    self.unread: dict[str, str] = {}

  def __call__(self, config: Config) -> str | None:
    """`Inputs.identity` of a configuration; None where it can't be told.

    Raises:
      UserError: It can't be told, and is required.
    """
    defense = config.defense if own.slots_of(config.defense) else ""
    key = (
      loading.relevant(inputs.data_spec(config)), config.model, defense, config.init_from
    )  # fmt: skip
    if key not in self._found:
      self._found[key] = self._look(config)
    return self._found[key]

  def _look(self, config: Config) -> str | None:
    try:
      image_set = inputs.read_images(config, self._log)
      return inputs.identify(config, image_set).identity
    except UserError as error:
      if self._required:
        raise UserError(f"{error}; --only_cached makes pages of what a cache holds") from None
      self.unread.setdefault(config.task or config.dataset, str(error))
      return None


def why_missing(cell: Cell, cache: Cache) -> str:
  """Why a cell is not in the cache."""
  found = len(cache.candidates(cell.config))
  if cache.known(cell.config) is None and found > 1:
    return (
      f"the cache holds results on {found} different images or models for these settings: give the "
      "folder of the images"
    )
  return "not in the cache"


def notes(cells: Sequence[Cell], cache: Cache, unread: Sequence[str]) -> list[str]:
  """What of the results could not be compared with the images, for the user and for the page."""
  told = []
  if unread:
    told.append(
      f"the images or the model of {', '.join(unread)} can't be read: what the cache holds for the "
      "settings is taken"
    )
  old = {cache.old_training(cell.config) for cell in cells}
  if cache.only_read:
    old &= {cache.training(cell.config) for cell in cells}
  count = sum(map(pathlib.Path.is_dir, old))
  if count:
    taken = (
      "taken by their settings alone"
      if cache.only_read
      else "they are not taken, --only_cached makes pages of them"
    )
    told.append(
      f"{count} trainings in the cache are from before the identity of images was recorded: {taken}"
    )
  evaluations = [
    (cell.config, cache.find_evaluation(cell.config, eps))
    for cell in cells
    if not cell.examples
    for eps in dict.fromkeys(cell.config.attack_eps)
  ]
  others = sum(found is not None and by_other_attackers(c, found) for c, found in evaluations)
  if others:
    told.append(
      f"in {others} evaluations who averages copies had noised ones in the place of healed ones, "
      "which nobody receives: without --only_cached they are made anew"
    )
  return told
