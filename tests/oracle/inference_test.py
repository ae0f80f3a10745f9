"""The statistics of the tables against their definitions."""

import math

import numpy as np
import pytest

from fedsafe_tff.paper import statistics
from fedsafe_tff.paper.results import Results
from tests.oracle import inference
from tests.paper.synthetic import row

RNG = np.random.default_rng(4)


def test_quantiles_of_the_oracle_are_those_of_printed_tables():
  printed = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262, 30: 2.042}
  for degrees, quantile in printed.items():
    assert inference.t_quantile(0.975, degrees) == pytest.approx(quantile, abs=6e-4)
    assert inference.t_tail(quantile, degrees) == pytest.approx(0.05, abs=3e-5)


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_intervals(count):
  values = RNG.uniform(0, 1, count).tolist()
  mean, half_width = inference.interval(values)
  found = statistics.estimate(values)
  assert found.mean == pytest.approx(mean)
  assert found.half_width == pytest.approx(half_width, rel=1e-6)
  assert (found.low, found.high) == pytest.approx((mean - half_width, mean + half_width), rel=1e-6)


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_paired_comparisons(count):
  first, second = (dict(enumerate(RNG.uniform(0, 1, count + 2))) for _ in range(2))
  del first[0], second[count + 1]  # they have no partner
  found = statistics.compare(first, second)
  left, right = ([values[s] for s in range(1, count + 1)] for values in (first, second))
  assert found.p == pytest.approx(inference.paired_p(left, right), rel=1e-6)
  mean, half_width = inference.interval([b - a for a, b in zip(left, right)])
  assert found.difference.mean == pytest.approx(mean)
  assert found.difference.half_width == pytest.approx(half_width, rel=1e-6)


@pytest.mark.parametrize("difference", [0.0, 0.1, -0.25])
def test_differences_that_are_all_alike(difference):
  for count in (2, 5):
    first = {seed: 0.25 * seed for seed in range(count)}
    second = {seed: value + difference for seed, value in first.items()}
    expected = inference.sign_flip_p([difference] * count)
    assert statistics.compare(first, second).p == pytest.approx(expected)


def test_holms_adjustment_decides_as_his_procedure():
  for size in (1, 2, 3, 7, 24):
    p_values = (RNG.uniform(0, 1, size) ** 4).tolist()
    p_values[0] = p_values[-1]  # a tie
    adjusted = statistics.holm(p_values)
    assert statistics.holm([*p_values, None])[:-1] == adjusted
    for level in np.linspace(0.001, 0.999, 97):
      rejected = inference.holm_rejects(p_values, level)
      assert [p <= level for p in adjusted] == rejected, (size, level)


def test_means_by_seed_leave_out_seeds_that_lack_a_size():
  """Three tasks with holes against sums by hand."""
  rows = [
    row(method, task=task, seed=seed, eps=eps, own=float(RNG.uniform()))
    for method in ("none", "distributed_noise")
    for task in ("a", "b")
    for seed in range(5)
    for eps in (0.01, 0.03, 0.05)
    if RNG.random() > 0.1
  ]
  results = Results(rows)
  complete = 0
  for task in ("a", "b"):
    table = {
      method: {
        (r["seed"], r["eps"]): r["asr_self"]
        for r in rows
        if (r["method"], r["task"]) == (method, task)
      }
      for method in ("none", "distributed_noise")
    }
    means = {}
    for method, values in table.items():
      sizes = {eps for _, eps in values}
      means[method] = {
        seed: math.fsum(values[seed, eps] for eps in sizes) / len(sizes)
        for seed in range(5)
        if all((seed, eps) in values for eps in sizes)
      }
      found = results.by_seed("asr_self", method=method, task=task)
      assert found == pytest.approx(means[method])
      complete += len(found)
    compared = results.compare(
      "asr_self", {"method": "none"}, {"method": "distributed_noise"}, task=task
    )
    seeds = sorted(means["none"].keys() & means["distributed_noise"].keys())
    left, right = ([means[m][s] for s in seeds] for m in ("none", "distributed_noise"))
    assert compared.difference.count == len(seeds)
    assert compared.p == pytest.approx(inference.paired_p(left, right), rel=1e-6)
  assert 4 < complete < 20  # there are holes, and not in all


@pytest.mark.parametrize("over, collapsed", [(0.0199, True), (0.0201, False), (-0.1, True)])
def test_a_collapsed_model_is_told_by_all_evaluation_images(over, collapsed):
  rows = [
    row("none", seed=seed, eps=eps, majority_class=0.64, clean_accuracy=0.9,
        clean_accuracy_all=0.64 + (over if seed == 2 else 0.2))
    for seed in range(3)
    for eps in (0.01, 0.03)
  ]  # fmt: skip
  assert Results(rows).collapsed(method="none") == ({2} if collapsed else set())
