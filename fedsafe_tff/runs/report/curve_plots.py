"""Four curves: over the noise, over colluders, over rounds that are averaged, over queries."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from fedsafe_tff.runs.report import style

_PANELS = {
  "sigma": "sigma of the copies' noise, per weight",
  "colluders": "clients that pool their copies",
  "rounds": "rounds whose copies are averaged",
  "queries": "questions to the victim about an image",
}
_MARKS = ("o", "s", "^", "D")
_LOG = ("rounds", "queries")


def write(path: pathlib.Path, points: Sequence[Mapping[str, Any]], sigma: float) -> None:
  """Draws the points of `runs.curves`.

  Args:
    path: The PNG.
    points: As `runs.curves` makes them.
    sigma: Of the noise in all panels but the first.
  """
  figure = style.new_figure(11.0, 7.6)
  axes = style.subplots(figure, 2, 2, sharey=True)
  for axis, (curve, label) in zip(axes.ravel(), _PANELS.items()):
    here = [point for point in points if point["curve"] == curve]
    sizes = sorted({point["eps"] for point in here})
    attackers = list(dict.fromkeys(point["attacker"] for point in here))
    for color, eps in zip(style.COLORS * len(sizes), sizes):
      for mark, attacker in zip(_MARKS, attackers):
        of = [p for p in here if p["eps"] == eps and p["attacker"] == attacker]
        for side, line in (("self", "-"), ("avg", "--")):
          shown = [(p["x"], p[f"asr_{side}"]) for p in of if p[f"asr_{side}"] is not None]
          if curve == "queries" and side == "self":
            continue  # a black box has no copy of its own to attack
          axis.plot(*zip(*shown), line, color=color, marker=mark, markersize=4, linewidth=1.4,
                    label=f"{attacker}, {side}, eps {eps:g}")  # fmt: skip
    if curve == "sigma":
      clean = {p["x"]: p["clean_accuracy"] for p in here}
      axis.plot(*zip(*sorted(clean.items())), ":", color="#444444", label="clean accuracy")
    if curve in _LOG:
      axis.set_xscale("log")
    axis.set_xlabel(label + ("" if curve == "sigma" else f" (sigma {sigma:g})"))
    axis.set_ylim(0, 1)
    axis.legend(fontsize=6.5, ncols=2)
  for axis in axes[:, 0]:
    axis.set_ylabel("attack success rate")
  style.save(figure, path)
