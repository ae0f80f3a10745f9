"""Certified accuracy against the radius, a curve for each sigma of the smoothing."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from fedsafe_tff.runs.report import style


def write(path: pathlib.Path, found: Mapping[str, Any]) -> None:
  """Draws `certificates.json`.

  Args:
    path: The PNG.
    found: Contents of the file.
  """
  figure = style.new_figure(7.0, 4.6)
  axis = style.subplots(figure, 1, 1)[0, 0]
  for color, one in zip(style.COLORS * len(found["sigmas"]), found["sigmas"]):
    radii = [row["l2"] for row in one["radii"]]
    shares = [row["certified_accuracy"] for row in one["radii"]]
    axis.plot(radii, shares, color=color, marker="o", markersize=4, label=f"sigma {one['sigma']:g}")
    if all(row["interval"] for row in one["radii"]):
      ends = zip(*(row["interval"] for row in one["radii"]))
      axis.fill_between(radii, *ends, color=color, alpha=0.12)
  axis.axhline(found["clean_accuracy"], color="#444444", linestyle=":",
               label="accuracy without smoothing")  # fmt: skip
  pixels = float(np.sqrt(np.prod(found["input_shape"])))
  above = axis.secondary_xaxis("top", functions=(lambda x: x / pixels, lambda x: x * pixels))
  above.set_xlabel("largest change of every pixel within it (L-infinity)")
  axis.set_xlabel("L2 radius, in pixels of [0, 1]")
  axis.set_ylabel("certified accuracy")
  axis.set_ylim(-0.03, 1.03)
  axis.legend(fontsize=8)
  style.save(figure, path)
