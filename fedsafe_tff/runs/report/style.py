"""One look for all plots: colours that colour-blind readers can tell apart, no clutter."""

import pathlib
from typing import Any

import matplotlib
import numpy as np

from fedsafe_tff.data.files import atomic_path

matplotlib.use("Agg")

import matplotlib.figure  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402

# Okabe and Ito's palette, without its yellow, which is faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#444444")
_SETTINGS = {
  "font.size": 10,
  "axes.spines.top": False,
  "axes.spines.right": False,
  "axes.grid": True,
  "grid.color": "#e4e4e4",
  "axes.axisbelow": True,
  "legend.frameon": False,
  "figure.constrained_layout.use": True,
}


def new_figure(width: float, height: float) -> matplotlib.figure.Figure:
  """A figure of `width` by `height` inches with the house style."""
  with matplotlib.rc_context(_SETTINGS):
    figure = matplotlib.figure.Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
  return figure


def subplots(
  figure: matplotlib.figure.Figure, rows: int, columns: int, **keywords: Any
) -> np.ndarray:
  """A 2-D array of axes in the house style."""
  with matplotlib.rc_context(_SETTINGS):
    return figure.subplots(rows, columns, squeeze=False, **keywords)


def plain(text: str) -> str:
  """Text that somebody else chose: its dollars typeset nothing."""
  return " ".join(text.split()).replace("$", r"\$")


def save(figure: matplotlib.figure.Figure, path: pathlib.Path) -> pathlib.Path:
  """Writes a PNG."""
  with atomic_path(path) as temporary:
    figure.savefig(temporary, dpi=130, format="png")
  return path
