"""Curves over a finished run: what a point says is what the attacker got, and nothing twice."""

import csv

import numpy as np
import pytest

from fedsafe_tff.commands import curves, train
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.transfer import Evaluator
from fedsafe_tff.runs import curves as curves_lib
from tests.runs import tiny

pytestmark = pytest.mark.usefixtures("built_once")
GRID = curves_lib.Grid(
  eps=(0.05, 0.2), images=5, sigmas=(0.0, 0.2), clients=3, colluders=(1, 2), rounds=(1, 4),
  queries=20, steps=2, draws=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  folder = tmp_path_factory.mktemp("curved")
  changes = {"rounds": 2, "defense": "noise_only", "noise_seed": 3, "attacks": "fgsm"}
  words = tiny.arguments(folder, **changes, downlink_sigma=0.2, attack_eps=0.1, attack_images=4)
  idle = ("--adaptation_epochs", "--attack_steps")
  assert train.train([word for word in words if not word.startswith(idle)]) == 0
  return folder / "run"


@pytest.fixture(scope="module")
def points(run):
  said = []
  return curves_lib.curves_of_run(run, GRID, log=said.append).points, said


def of(points, curve, **where):
  return [p for p in points if p["curve"] == curve and all(p[k] == v for k, v in where.items())]


def test_every_curve_has_its_points_at_every_size(run, points):
  points, said = points
  found = {(p["curve"], p["x"], p["attacker"]) for p in points}
  assert {(c, x, a) for c, x, a in found if c != "queries"} == {
    ("sigma", 0.0, "own_copy"), ("sigma", 0.2, "own_copy"), ("sigma", 0.2, "noise_ensemble"),
    ("colluders", 1, "colluding_mean"), ("colluders", 2, "colluding_mean"),
    ("colluders", 2, "colluding_ensemble"), ("rounds", 1, "averaging"), ("rounds", 4, "averaging"),
  }  # fmt: skip
  assert [p["x"] for p in of(points, "queries", eps=0.05)] == [1, 2, 6, 20]
  assert len(points) == 2 * (8 + 4) and len(said) == 9
  with (run / "curves" / "curves.csv").open() as file:
    rows = list(csv.DictReader(file))
  assert [float(row["asr_self"]) for row in rows] == [p["asr_self"] for p in points]
  assert (run / "curves" / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_what_must_hold_of_them(points):
  points, _ = points
  for eps in GRID.eps:
    (shared,) = of(points, "sigma", x=0.0, eps=eps)
    assert shared["asr_self"] == pytest.approx(shared["asr_avg"])  # all hold one model
    (own,) = of(points, "sigma", x=0.2, eps=eps, attacker="own_copy")
    assert own["asr_self"] != own["asr_avg"]
    once = of(points, "rounds", x=1, eps=eps)[0]
    # One round's average is the own copy of the same draws.
    assert once["asr_self"] == own["asr_self"] and once["asr_avg"] == own["asr_avg"]
    asked = [p["asr_avg"] for p in of(points, "queries", eps=eps)]
    assert asked == sorted(asked) and asked[0] == 0.0  # the first question is the image itself


def test_a_second_call_attacks_nothing(run, points, monkeypatch):
  monkeypatch.setattr(Evaluator, "attack", None)
  again = curves_lib.curves_of_run(run, GRID, log=lambda line: None)
  assert again.points == points[0] and (again.sigma, again.images) == (0.2, 5)


def test_copies_of_other_sigmas_have_the_same_noise_scaled(run):
  loaded = curves_lib.load_run(run)
  drawn = curves_lib._Drawn(loaded, GRID, np.arange(2))
  once, twice = drawn.copies(0.1, 2), drawn.copies(0.2, 2)
  for weights, a, b in zip(loaded.weights, once[1], twice[1]):
    np.testing.assert_allclose(b - weights, 2 * (a - weights), atol=1e-6)
  assert not np.allclose(once[0][0], once[1][0])
  assert not np.allclose(once[0][0], drawn.copies(0.1, 1, round_=1)[0][0])


@pytest.mark.parametrize(
  "words, said",
  [
    ([], "give a run folder"),
    (["nowhere"], "nowhere"),
    (["RUN", "--attack_eps=2"], "attack_eps"),
    (["RUN", "--attack_images=x"], "no whole number"),
    (["RUN", "--sigma=2"], "unknown here"),
  ],
)
def test_bad_input_is_one_line(run, words, said):
  with pytest.raises(UserError, match=said):
    curves.curves([word.replace("RUN", str(run)) for word in words])
