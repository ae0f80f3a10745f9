"""Epsilon over the rounds, as a picture."""

import math
import pathlib
from collections.abc import Mapping

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.mechanisms.mechanism import Mechanism

_POINTS = 24


def epsilon_over_rounds(
  mechanisms: Mapping[str, Mechanism], rounds: int
) -> dict[str, list[tuple[int, float]]]:
  """(round, epsilon) of each mechanism that has one, at some two dozen rounds."""
  numbers = sorted({max(1, round(rounds * i / _POINTS)) for i in range(1, _POINTS + 1)})
  curves = {}
  for name, mechanism in mechanisms.items():
    points = [(number, mechanism.account(number).epsilon) for number in numbers]
    if all(math.isfinite(epsilon) for _, epsilon in points):
      curves[name] = points
  return curves


def save(curves: Mapping[str, list[tuple[int, float]]], path: str, delta: float) -> None:
  """Draws the curves, epsilon in logarithms, and writes the picture.

  Raises:
    UserError: Nothing to draw, or a file that can't be written.
  """
  if not curves:
    raise UserError("no mechanism has a finite epsilon: there is nothing to draw")
  import matplotlib

  matplotlib.use("Agg")
  from matplotlib import pyplot

  figure, axes = pyplot.subplots(figsize=(6, 4))
  for name, points in curves.items():
    axes.plot(*zip(*points), label=name, marker="." if len(points) < 3 else None)
  axes.set_yscale("log")
  axes.set_xlabel("round")
  axes.set_ylabel(f"epsilon at delta {delta:g}")
  axes.legend()
  axes.grid(alpha=0.3)
  figure.tight_layout()
  try:
    pathlib.Path(path).expanduser().parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(pathlib.Path(path).expanduser(), dpi=120)
  except (OSError, ValueError) as error:
    raise UserError(f"--plot={path} can't be written ({error})") from None
  finally:
    pyplot.close(figure)
