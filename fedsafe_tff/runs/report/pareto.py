"""What a defence gives for what it takes: clean accuracy against robust accuracy, time as size."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence

from fedsafe_tff.runs.report import style
from fedsafe_tff.runs.report.progress import duration

_MARKS = "os^Dv"
_SMALLEST, _LARGEST = 40.0, 400.0  # areas of marks, in square points


@dataclasses.dataclass(frozen=True)
class Point:
  """A defence at one size of the perturbation.

  Attributes:
    name: In the legend.
    clean: Clean accuracy of what the clients use, in [0, 1].
    robust: Accuracy of it under the worst attack, on the adversary's own copy.
    seconds: What training and the clients' copies took; None where nobody measured.
  """

  name: str
  clean: float
  robust: float
  seconds: float | None = None


def front(points: Sequence[Point]) -> list[Point]:
  """The points that no other one beats in one accuracy without losing in the other, by clean."""
  best = [
    p for p in points
    if not any(
      (q.clean >= p.clean and q.robust > p.robust) or (q.clean > p.clean and q.robust >= p.robust)
      for q in points
    )
  ]  # fmt: skip
  return sorted(best, key=lambda point: (point.clean, point.robust))


def draw(panels: Sequence[tuple[float, Sequence[Point]]], path: pathlib.Path) -> pathlib.Path:
  """A panel per size of the perturbation, the front as a line; a hollow mark is of unknown time.

  Args:
    panels: Sizes in pixels of [0, 1], with their points; a name has one colour in all of them.
    path: Where the PNG goes.
  """
  figure = style.new_figure(max(5.2, 4.0 * len(panels)), 4.2)
  axes = style.subplots(figure, 1, len(panels), sharey=True)[0]
  names = list(dict.fromkeys(point.name for _, points in panels for point in points))
  taken = [p.seconds or 0.0 for _, points in panels for p in points]
  longest = max(filter(math.isfinite, taken), default=0.0)
  for axis, (eps, points) in zip(axes, panels):
    line = front(points)
    axis.plot([p.clean for p in line], [p.robust for p in line], color="#999999", zorder=1)
    for point in points:
      look = _look(names.index(point.name))
      area = _area(point.seconds, longest)
      if longest and area is None:  # the smallest would say that it was quick
        look["facecolors"] = "none"
        look["edgecolors"] = look.pop("color")
      axis.scatter(
        point.clean, point.robust, s=area or _SMALLEST, alpha=0.85, zorder=2, **look
      )
    axis.margins(0.15)  # the largest marks reach that far
    axis.set_title(f"eps {eps:g}", fontsize=10)
    axis.set_xlabel("clean accuracy")
  axes[0].set_ylabel("accuracy under the worst attack\n(adversary's own copy)")
  for index, name in enumerate(names):
    axes[0].scatter([], [], s=_SMALLEST, label=style.plain(name), **_look(index))
  for seconds in (longest / 4, longest) if longest else ():
    label, area = f"{duration(seconds)} of training", _area(seconds, longest)
    axes[0].scatter([], [], s=area, color="#bbbbbb", label=label)
  handles, labels = axes[0].get_legend_handles_labels()
  figure.legend(handles, labels, fontsize=8, loc="outside lower center", ncols=3)
  return style.save(figure, path)


def _look(index: int) -> dict[str, str]:
  """Colour and mark of the index-th name; the pairs repeat after 35."""
  colors = len(style.COLORS)
  return {"color": style.COLORS[index % colors], "marker": _MARKS[index // colors % len(_MARKS)]}


def _area(seconds: float | None, longest: float) -> float | None:
  if not seconds or not math.isfinite(seconds) or not longest:
    return None
  return _SMALLEST + (_LARGEST - _SMALLEST) * seconds / longest
