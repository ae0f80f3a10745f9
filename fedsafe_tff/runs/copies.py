"""What clients receive for use, some clients at a time.

A healed copy costs an adaptation, so that those of many clients are long work: it is told of, what
is made is kept on disk, and what was stopped goes on with it. A copy depends on the state and its
client alone (`training.copies`), so that the bits are those of all at once.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fedsafe_tff.attackers.holding import digest
from fedsafe_tff.runs import loop
from fedsafe_tff.runs.kept_models import Kept, Weights
from fedsafe_tff.runs.report.progress import duration
from fedsafe_tff.runs.trainers import Trainer

AT_ONCE = 8


def made_of(trainer: Trainer, state: Any, made_by: str = "") -> bytes:
  """What the copies of a state depend on.

  Args:
    trainer: What makes the copies.
    state: What they are made of.
    made_by: What they depend on besides.
  """
  keyed = [np.asarray(state.distributor[name]) for name in ("round", "noise_key")]
  return digest((*trainer.weights(state), *keyed)) + made_by.encode()


def make(
  trainer: Trainer,
  state: Any,
  clients: int,
  kept: Kept,
  after_some: Callable[[str, bool], None],
) -> tuple[list[Weights], float]:
  """Makes the copies that are left, at most `AT_ONCE` in a call of the runtime.

  Args:
    trainer: Makes them.
    state: Of the last round.
    clients: How many clients there are.
    kept: Where they are kept.
    after_some: Is told of some, once they are kept, and whether they were the last; to stop it may
      raise.

  Returns:
    A copy for each client, and the seconds that all took, those before a stop too.

  Raises:
    loop.Diverged: Weights that are not finite.
  """
  found = {client: kept.find(client) for client in range(clients)}
  copies = {client: one[0] for client, one in found.items() if one is not None}
  spent = sum(one[1] for one in found.values() if one is not None)
  left = [client for client, one in found.items() if one is None]
  before, started = clients - len(left), time.monotonic()
  for first in range(0, len(left), AT_ONCE):
    these = left[first : first + AT_ONCE]
    begun = time.monotonic()
    made = trainer.copies(state, these)
    took = time.monotonic() - begun
    for client, copy in zip(these, made, strict=True):
      loop.check_finite(copy, f"the copy of client {client}", "--adaptation_learning_rate")
    spent += took
    for client, copy in zip(these, made, strict=True):
      copies[client] = copy
      kept.add(client, copy, took / len(these))
    done = first + len(these)
    seconds = (time.monotonic() - started) / done * (len(left) - done)
    after_some(
      f"copy {before + done}/{clients} healed  left {duration(seconds)}", done == len(left)
    )
  return [copies[client] for client in range(clients)], spent
