import pytest

from fedsafe_tff import versions
from fedsafe_tff.paper import steps
from fedsafe_tff.runs.run_dir import write_json
from tests.paper.stored import EPS, HERE, attack, by_older_definition, cache_of, cells, train


@pytest.fixture
def cache(tmp_path):
  return cache_of(tmp_path, HERE)


def test_only_what_is_missing_is_planned(tmp_path, cache):
  group = cells(tmp_path, "none", "server_adversarial_training", "distributed_noise")
  [planned] = steps.plan(group, cache)
  # Noise first, so that one adaptation serves both.
  assert [c.method for c in planned] == ["distributed_noise", "none", group[1].method]
  todo = steps.steps_of(planned, cache)
  assert [s.kind for s in todo] == ["train", "adapt", *["attack"] * 6]
  train(cache, group[0])
  for eps in EPS:
    attack(cache, group[2], eps)
  attack(cache, group[0], 0.01)
  [planned] = steps.plan(group, cache)
  assert [c.method for c in planned] == ["none", group[1].method]
  assert [s.kind for s in steps.steps_of(planned, cache)] == ["attack", "adapt", "attack", "attack"]
  assert cache.missing(group[0]) == [0.02] and cache.missing(group[2]) == []


def test_cells_of_one_configuration_are_attacked_once(tmp_path, cache):
  twice = cells(tmp_path, "none") * 2
  assert [s.kind for s in steps.steps_of(twice, cache)] == ["train", "attack", "attack"]


def test_time_is_estimated_from_the_likest_steps(tmp_path, cache):
  one, local = cells(tmp_path, "none", "local_adversarial_training")
  train(cache, one)
  attack(cache, one, 0.01)
  attack(cache, one, 0.02, seconds=4.0)
  estimate = steps.Estimate(steps.measured([one, local], cache))
  assert estimate.seconds(steps.attack_step(one)) == 3.0
  assert estimate.seconds(steps.train_step(local)) == 60.0  # the nearest known
  left = [steps.train_step(one), steps.attack_step(one), steps.adapt_step(one)]
  assert estimate.left(left) == (63.0, False)  # no adaptation was ever timed
  estimate.add(steps.train_step(local), 240.0)
  assert estimate.seconds(steps.train_step(local)) == 240.0
  assert estimate.seconds(steps.train_step(one)) == 60.0


def test_what_can_be_evaluated_anew_is_planned(tmp_path, cache):
  noised, single = cells(tmp_path, "distributed_noise", "none")
  for cell in (noised, single):
    for eps in EPS:
      by_older_definition(cache, cell, eps)
  attack(cache, noised, 0.02)
  assert steps.plan([noised, single], cache) == []  # an archive has no models
  train(cache, noised)
  manifest = cache.training(noised.config) / "manifest.json"
  facts = {"finished": "now", "data": {"parts": {"evaluation": 40}}}
  write_json(manifest, facts | {"result_versions": versions.current()})
  assert cache.missing(noised) == [] and cache.outdated(noised) == [0.01]
  assert steps.plan([noised, single], cache) == [[noised]]
  assert cache.to_do(noised) == [0.01]
  # By other keys the copies would be others than those that were attacked.
  for name in versions.DRAWN:
    now = versions.current()
    write_json(manifest, facts | {"result_versions": now | {name: now[name] - 1}})
    assert cache.outdated(noised) == []
