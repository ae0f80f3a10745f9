from fedsafe_tff.runs.report import pareto
from fedsafe_tff.runs.report.pareto import Point


def test_the_front_has_who_is_beaten_by_nobody():
  points = [
    Point("plain", 0.90, 0.10), Point("robust", 0.85, 0.60), Point("beaten", 0.84, 0.55),
    Point("as clean as robust", 0.85, 0.50), Point("most robust", 0.70, 0.65),
  ]  # fmt: skip
  assert [p.name for p in pareto.front(points)] == ["most robust", "robust", "plain"]
  assert pareto.front([]) == []


def test_equal_points_are_both_on_the_front():
  assert len(pareto.front([Point("a", 0.8, 0.5), Point("b", 0.8, 0.5)])) == 2


def test_a_picture_of_any_runs(tmp_path):
  panels = [
    (0.01, [Point("a $x$", 0.9, 0.2, 60.0), Point("b", 0.8, 0.5, None)]),
    (0.03, [Point("a $x$", 0.9, 0.0, float("nan")), Point("c", 0.8, 0.1, 5.0)]),
  ]
  path = pareto.draw(panels, tmp_path / "pareto.png")
  assert path.read_bytes().startswith(b"\x89PNG")
  assert pareto.draw([(0.01, [])], tmp_path / "none.png").is_file()
