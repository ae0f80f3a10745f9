"""Runs of one process that have the same settings share what is built and traced for them.

A tiny run spends nine tenths of its time on building graphs: TFF's computations, their compiled
form, and attacks, which belong to the model. None of them has a state, so a run takes what an
earlier one with the same settings, images and seeds has built; it still trains and attacks.
`runs/demo_test.py` and the runs in processes of their own build all of it anew.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from fedsafe_tff.models import registry
from fedsafe_tff.runs import prepare, rebuild, trainers
from fedsafe_tff.runs.config.evaluation import EvaluationConfig
from fedsafe_tff.runtime import in_process, native
from tests.runs import tiny

# What a learning process does not depend on; the folder of the images and the seed of the noise
# are taken from what was made of them.
_IDLE = {field.name for field in dataclasses.fields(EvaluationConfig)} | {
  "run_dir", "cache_dir", "data_dir", "keep_checkpoints", "checkpoint_every", "noise_seed"
}  # fmt: skip
# Models whose functions can't change in the course of a session, as a user's file does in tests.
_FIXED = ("cnn", tiny.FLAGS["model"])

_made: dict[Any, Any] = {}


def _once(key: Any, make: Callable[[], Any], *kept: Any) -> Any:
  """What `make` gave the first time; `kept` is what the key names by its id."""
  if key not in _made:
    _made[key] = (make(), kept)
  return _made[key][0]


def _process(real: Callable[..., Any]) -> Callable[..., Any]:
  """A learning process, by all settings, images, model and noise that it is built from."""

  def build(config, prepared, *noise):
    values = {k: v for k, v in dataclasses.asdict(config).items() if k not in _IDLE}
    drawn = [(n.seed, n.uplink_sigma, n.downlink_sigma, n.min_images) for n in noise]
    sizes = [len(rows) for rows in prepared.clients]
    key = (
      real.__name__, id(prepared.model), str(prepared.store.directory),
      repr(sorted(values.items())), repr(drawn), repr(sizes), prepared.largest_patient,
    )  # fmt: skip
    return _once(key, lambda: real(config, prepared, *noise), prepared.model)

  return build


def _model(real: Callable[..., Any]) -> Callable[..., Any]:
  def build(name, **settings):
    if name not in _FIXED:
      return real(name, **settings)
    given = {k: v.tobytes() if isinstance(v, np.ndarray) else v for k, v in settings.items()}
    return _once(("model", name, repr(sorted(given.items()))), lambda: real(name, **settings))

  return build


def _compiled(kind: str, real: Callable[[Any], Any]) -> Callable[[Any], Any]:
  return lambda comp: _once((kind, id(comp)), lambda: real(comp), comp)


def install(patch: pytest.MonkeyPatch) -> None:
  """Lets runs share what they build until `patch` is undone."""
  for user in (prepare, rebuild):
    patch.setattr(user, "build_model", _model(user.build_model))
  for name in ("build_fed_safe", "build_baseline"):
    patch.setattr(trainers, name, _process(getattr(trainers, name)))
  patch.setattr(native, "_compile", _compiled("native", native._compile))
  device = _compiled("in process", in_process.InProcessRuntime._compile)
  patch.setattr(in_process.InProcessRuntime, "_compile", staticmethod(device))


@contextlib.contextmanager
def anew() -> Iterator[None]:
  """Nothing built before is taken within; what is built within is forgotten."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys.modules[__name__], "_made", {})
    patch.setattr(registry, "_last", [])
    yield
