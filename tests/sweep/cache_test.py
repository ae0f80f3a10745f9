import subprocess
import sys

import pytest

from fedsafe_tff import versions
from fedsafe_tff.errors import UserError
from fedsafe_tff.experiment.run_dir import write_json
from fedsafe_tff.sweep import identity, steps
from fedsafe_tff.sweep.cache import Cache
from fedsafe_tff.sweep.cells import make_cell
from tests.sweep import synthetic

EPS = (0.01, 0.02)


@pytest.fixture
def cache(tmp_path):
  return Cache(tmp_path / "cache")


def cells(tmp_path, *methods, seed=0, **settings):
  request = synthetic.request(tmp_path, settings=settings)
  return [make_cell(request, request.tasks[0], m, seed, eps=EPS) for m in methods]


def train(cache, cell):
  folder = cache.training(cell.config)
  write_json(folder / "config.json", identity.training_config(cell.config).as_dict())
  write_json(folder / "manifest.json", {"finished": "now", "training_seconds": 60.0})
  (folder / "checkpoints" / f"program_state_{cell.config.rounds}").mkdir(parents=True)


def attack(cache, cell, eps, asr=0.25, **more):
  evaluation = {
    "config": identity.evaluation_config(cell.config, eps).as_dict(),
    "result": {"attack": "pgd", "eps": eps, "clean_accuracy": 0.9, "asr_self": asr},
    "clean_accuracy_global": 0.91,
    "clean_accuracy_clients": [0.90, 0.94],
    "majority_class": 0.6,
    "attacked_images": 29,
    "git_commit": "abc",
    "seconds": 2.0,
  }
  write_json(cache.evaluation(cell.config, eps), evaluation | more)


def test_rows_say_where_every_number_is_from(tmp_path, cache):
  cell, other = cells(tmp_path, "distributed_noise", "none")
  attack(cache, cell, 0.02, asr=0.5)
  [row] = cache.rows([cell, other])
  assert (row["task"], row["method"], row["seed"], row["eps"]) == (
    "phantom", "distributed_noise", 0, 0.02,
  )
  assert row["asr_self"] == 0.5 and row["clean_accuracy_global"] == 0.91
  assert row["clean_accuracy_all"] == pytest.approx(0.92)
  assert (cache.folder / row["evaluation"]).is_file()
  assert row["training"] == f"trainings/{identity.training_name(cell.config)}"
  assert row["evaluation"].startswith(row["training"] + "/evaluations/")
  assert row["git_commit"] == "abc"
  assert (row["keys"], row["splits"], row["definitions"]) == (1, 1, 2)


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


def test_an_evaluation_by_another_versions_defaults_is_made_anew(tmp_path, cache):
  [cell] = cells(tmp_path, "none")
  stored = identity.evaluation_config(cell.config, 0.01).as_dict() | {"evaluation_batch_size": 7}
  attack(cache, cell, 0.01, config=stored)
  assert cache.missing(cell) == [0.01, 0.02] and cache.rows([cell]) == []


def test_a_training_by_another_versions_defaults_is_refused(tmp_path, cache):
  [cell] = cells(tmp_path, "none")
  train(cache, cell)
  assert cache.is_trained(cell.config)
  write_json(
    cache.training(cell.config) / "config.json",
    identity.training_config(cell.config).as_dict() | {"batch_size": 7},
  )
  with pytest.raises(UserError, match="other defaults.*delete it, or give another --cache"):
    cache.is_trained(cell.config)


def test_an_unfinished_or_damaged_manifest_means_untrained(tmp_path, cache):
  [cell] = cells(tmp_path, "none")
  assert not cache.is_trained(cell.config)
  train(cache, cell)
  (cache.training(cell.config) / "manifest.json").write_text('{"fin')
  assert not cache.is_trained(cell.config)


def test_without_the_model_of_the_last_round_it_is_untrained(tmp_path, cache):
  [cell] = cells(tmp_path, "none")
  train(cache, cell)
  checkpoints = cache.training(cell.config) / "checkpoints"
  [last] = checkpoints.iterdir()
  last.rename(checkpoints / f"program_state_{cell.config.rounds - 1}")
  assert not cache.is_trained(cell.config)


def test_two_sweeps_in_one_cache(cache):
  program = (
    "import pathlib, sys\nfrom fedsafe_tff.errors import UserError\n"
    "from fedsafe_tff.sweep.cache import Cache\n"
    "try:\n  with Cache(pathlib.Path(sys.argv[1])).locked(): print('mine')\n"
    "except UserError as error: print(error)\n"
  )

  def second():
    command = [sys.executable, "-c", program, str(cache.folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout

  with cache.locked():
    assert "wait for it, or give another --cache" in second()
  assert second() == "mine\n"


def test_a_cache_that_cannot_be_made(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="--cache=.*can't be written to"):
    with Cache(tmp_path / "file" / "cache").locked():
      pass


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


def by_older_definition(cache, cell, eps):
  """Attacks 29 of 40 images; the copies' accuracy is that on the attacked ones."""
  attack(cache, cell, eps, clean_accuracy_clients=[0.85, 0.95])
  folder = cache.training(cell.config)
  manifest = {"finished": "now", "data": {"parts": {"evaluation": 40}}}
  write_json(folder / "manifest.json", manifest)


def test_a_column_has_one_definition(tmp_path, cache):
  group = cells(tmp_path, "none", "server_adversarial_training", "distributed_noise")
  for cell in group:
    by_older_definition(cache, cell, 0.01)
    attack(cache, cell, 0.02)
  found = {(row["method"], row["eps"]): row for row in cache.rows(group)}
  values = {place: row["clean_accuracy_all"] for place, row in found.items()}
  for method in ("none", "server_adversarial_training"):
    assert values[method, 0.01] == 0.91  # the global model's, which every client holds
  assert values["distributed_noise", 0.01] is None
  assert [values[c.method, 0.02] for c in group] == pytest.approx([0.92] * 3)
  assert {place[1]: row["definitions"] for place, row in found.items()} == {0.01: 1, 0.02: 2}


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
