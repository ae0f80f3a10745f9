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
    points: As `runs.curves` makes them; with `asr_self_low`, `asr_self_high` and their like, as
      `runs.curves_of_seeds` has them, a band is drawn from the one to the other.
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
          if curve == "queries" and side == "self":
            continue  # a black box has no copy of its own to attack
          name = f"asr_{side}"
          shown = [p for p in of if p[name] is not None]
          xs = [p["x"] for p in shown]
          axis.plot(xs, [p[name] for p in shown], line, color=color, marker=mark, markersize=4,
                    linewidth=1.4, label=f"{attacker}, {side}, eps {eps:g}")  # fmt: skip
          if shown and f"{name}_low" in shown[0]:
            ends = [[p[f"{name}_{end}"] for p in shown] for end in ("low", "high")]
            axis.fill_between(xs, *ends, color=color, alpha=0.08)
    if curve == "sigma":
      clean = {p["x"]: p["clean_accuracy"] for p in here}
      axis.plot(*zip(*sorted(clean.items())), ":", color="#444444", label="clean accuracy")
    if curve in _LOG:
      axis.set_xscale("log")
    axis.set_xlabel(label + ("" if curve == "sigma" else f" (sigma {sigma:g})"))
    axis.set_ylim(0, 1.32)  # above 1 is the legend's place: curves lie anywhere below
    axis.set_yticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axis.legend(fontsize=6.2, ncols=2, loc="upper right")
  for axis in axes[:, 0]:
    axis.set_ylabel("attack success rate")
  style.save(figure, path)
