"""Plots of attack success rates against what varies, with intervals over seeds."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from fedsafe_tff.paper.cells import method_name
from fedsafe_tff.paper.results import Results
from fedsafe_tff.runs.report import style

# As in the paper: benign clients left, the adversary right.
COLUMNS = (("asr_avg", "benign clients (avg)"), ("asr_self", "adversary (self)"))
_MARKERS = ("o", "s", "^", "D", "v")


def curves(
  results: Results,
  path: pathlib.Path,
  *,
  methods: Sequence[str],
  x: Callable[[dict[str, Any]], float],
  x_label: str,
  log_x: bool = False,
  paper_points: dict[str, tuple[float, float]] | None = None,
) -> pathlib.Path | None:
  """A row of panels per task: ASR of the benign clients and of the adversary against `x`.

  Args:
    results: The rows.
    path: The PNG.
    methods: Keys of `METHODS`, in order.
    x: Place of a row on the horizontal axis.
    x_label: What that is.
    log_x: Whether the axis is logarithmic.
    paper_points: By task, a point (x, ASR) that the paper gives for the benign clients.

  Returns:
    `path`; None where there is nothing to draw.
  """
  tasks = results.distinct("task")
  if not tasks:
    return None
  figure = style.new_figure(8.4, 2.7 * len(tasks) + 0.4)
  axes = style.subplots(figure, len(tasks), 2, sharex=True, sharey=True)
  for line, task in zip(axes, tasks):
    for axis, (metric, title) in zip(line, COLUMNS):
      for number, method in enumerate(methods):
        _curve(axis, results, metric, {"task": task, "method": method}, x, number)
      if metric == "asr_avg" and paper_points and task in paper_points:
        axis.plot(*paper_points[task], "*", color="black", markersize=10, label="paper")
      axis.set_title(f"{task}: {title}", fontsize=10, parse_math=False)
      axis.set_ylim(-0.03, 1.03)
      if log_x:
        axis.set_xscale("log")
    line[0].set_ylabel("attack success rate")
  for axis in axes[-1]:
    axis.set_xlabel(x_label)
  axes[0, 0].legend(fontsize=8)
  return style.save(figure, path)


def _curve(axis, results: Results, metric: str, where: dict, x: Callable, number: int) -> None:
  color = style.COLORS[number % len(style.COLORS)]
  by_x: dict[float, list] = {}
  for row in results.select(**where):
    by_x.setdefault(x(row), []).append(row)
  places, means, lows, highs = [], [], [], []
  for place in sorted(by_x):
    found = Results(by_x[place]).estimate(metric)
    if found is not None:
      half = found.half_width or 0.0
      places.append(place)
      means.append(found.mean)
      lows.append(found.mean - half)
      highs.append(found.mean + half)
  if places:
    label = method_name(where["method"])
    marker = _MARKERS[number % len(_MARKERS)]
    axis.plot(places, means, color=color, marker=marker, markersize=4, label=label)
    axis.fill_between(places, lows, highs, color=color, alpha=0.15, linewidth=0)
