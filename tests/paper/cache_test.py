import dataclasses
import subprocess
import sys

import pytest

from fedsafe_tff.data import sums
from fedsafe_tff.errors import Notice, UserError
from fedsafe_tff.paper import identity, known, rows, steps
from fedsafe_tff.paper.cache import Cache
from fedsafe_tff.paper.cells import make_cell
from fedsafe_tff.runs.run_dir import write_json
from tests.paper import synthetic
from tests.paper.stored import EPS, HERE, OTHER, adapt, attack, cache_of, cells, make_old, train


@pytest.fixture
def cache(tmp_path):
  return cache_of(tmp_path, HERE)


def flip(file):
  data = bytearray(file.read_bytes())
  data[len(data) // 2] ^= 1
  file.write_bytes(data)


def test_an_evaluation_by_another_versions_defaults_is_made_anew(tmp_path, cache):
  [cell] = cells(tmp_path, "none")
  stored = identity.evaluation_config(cell.config, 0.01).as_dict() | {"evaluation_batch_size": 7}
  attack(cache, cell, 0.01, config=stored)
  assert cache.missing(cell) == [0.01, 0.02] and rows.of_cells(cache, [cell]) == []


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


def test_what_is_damaged_counts_as_missing_and_is_named(tmp_path, cache):
  cell, other = cells(tmp_path, "server_adversarial_training", "none")
  train(cache, cell)
  for eps in EPS:
    attack(cache, cell, eps)
    attack(cache, other, eps)
  adapt(cache, cell)
  assert cache.missing(cell) == [] and cache.has_adapted(cell.config)
  flip(cache.evaluation(cell.config, EPS[1]))
  with pytest.warns(Notice, match="evaluations/.*json is taken for missing.*is damaged"):
    assert cache.missing(cell) == [EPS[1]]
  assert cache.missing(other) == []
  model = cache.adapted(cell.config)
  sums.record(model, sums.of_file(model))
  flip(model)
  with pytest.warns(Notice, match="adapted/.*npz is taken for missing"):
    assert not cache.has_adapted(cell.config)
  flip(model)
  assert cache.has_adapted(cell.config)


def test_without_the_model_of_the_last_round_it_is_untrained(tmp_path, cache):
  [cell] = cells(tmp_path, "none")
  train(cache, cell)
  checkpoints = cache.training(cell.config) / "checkpoints"
  [last] = checkpoints.iterdir()
  last.rename(checkpoints / f"program_state_{cell.config.rounds - 1}")
  assert not cache.is_trained(cell.config)


def test_results_on_other_images_are_not_found(tmp_path, cache):
  [cell] = cells(tmp_path, "distributed_noise")
  train(cache, cell)
  attack(cache, cell, 0.01)
  adapt(cache, cell)
  assert cache.missing(cell) == [0.02] and cache.is_trained(cell.config)
  assert cache.has_adapted(cell.config)
  other = cache_of(tmp_path, OTHER)
  assert other.missing(cell) == [0.01, 0.02] and rows.of_cells(other, [cell]) == []
  assert not other.is_trained(cell.config) and not other.has_adapted(cell.config)
  assert steps.plan([cell], other) == [[cell]]


def test_what_lies_in_a_folder_is_compared_too(tmp_path, cache):
  [cell] = cells(tmp_path, "distributed_noise")
  train(cache, cell, identity=OTHER)
  for eps, stored in zip(EPS, ({"identity": OTHER}, {})):
    attack(cache, cell, eps, **stored)
  assert cache.missing(cell) == [0.01]
  with pytest.raises(UserError, match="trained on other images.*another --cache"):
    cache.is_trained(cell.config)
  for wrong in ({"identity": OTHER}, {"identity": None}):
    adapt(cache, cell, **wrong)
    assert not cache.has_adapted(cell.config)
  adapt(cache, cell)
  assert cache.has_adapted(cell.config)


def test_an_adapted_model_by_another_versions_defaults_is_made_anew(tmp_path, cache):
  [cell] = cells(tmp_path, "distributed_noise")
  train(cache, cell)
  stored = identity.adapted_config(cell.config).as_dict() | {"adaptation_epochs": 77}
  adapt(cache, cell, config=stored)
  assert not cache.has_adapted(cell.config)
  assert [s.kind for s in steps.steps_of([cell], cache)] == ["adapt", "attack", "attack"]


def test_without_the_images_results_of_the_settings_are_taken_if_all_are_of_the_same(tmp_path):
  [cell] = cells(tmp_path, "none")
  attack(cache_of(tmp_path, HERE), cell, 0.01)
  blind = cache_of(tmp_path, None, only_read=True)
  assert blind.missing(cell) == [0.02] and len(rows.of_cells(blind, [cell])) == 1
  assert known.why_missing(cell, blind) == "not in the cache"
  [note] = known.notes([cell], blind, ["phantom"])
  assert "the images or the model of phantom can't be read" in note
  attack(cache_of(tmp_path, OTHER), cell, 0.01)
  assert blind.missing(cell) == [0.01, 0.02] and rows.of_cells(blind, [cell]) == []
  assert "results on 2 different images or models" in known.why_missing(cell, blind)


@pytest.mark.parametrize("inputs", [HERE, None])
def test_results_from_before_there_were_identities_are_read_and_told(tmp_path, cache, inputs):
  [cell] = cells(tmp_path, "none")
  old = make_old(cache, cell, 0.01)
  # A sweep does not take them for its own: nobody knows what images they are of.
  assert cache.missing(cell) == [0.01, 0.02] and not cache.is_trained(cell.config)
  [note] = known.notes([cell], cache, [])
  assert "1 trainings" in note and "they are not taken" in note
  reading = cache_of(tmp_path, inputs, only_read=True)
  assert reading.missing(cell) == [0.02]
  [row] = rows.of_cells(reading, [cell])
  assert row["training"] == f"trainings/{old.name}"
  [note] = known.notes([cell], reading, [])
  assert "before the identity of images was recorded: taken by their settings alone" in note
  attack(cache, cell, 0.02)  # what has an identity goes first
  if inputs:
    assert reading.missing(cell) == [0.01] and known.notes([cell], reading, []) == []


def test_two_sweeps_in_one_cache(cache):
  program = (
    "import pathlib, sys\nfrom fedsafe_tff.errors import UserError\n"
    "from fedsafe_tff.paper.cache import Cache\n"
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


def test_suites_share_the_training_and_leave_the_papers_evaluations_where_they_are(tmp_path):
  cache = cache_of(tmp_path, HERE)
  found = []
  for evaluation in ("paper", "standard", "strong"):
    request = synthetic.request(tmp_path, evaluation=evaluation)
    found.append(make_cell(request, request.tasks[0], "distributed_noise", 0, eps=EPS))
  configs = [cell.config for cell in found]
  assert len({cache.training(c) for c in configs}) == len({cache.adapted(c) for c in configs}) == 1
  assert len({cache.evaluation(c, 0.01) for c in configs}) == 3
  assert cache.trials(configs[1], 200) == cache.trials(configs[2], 200)
  assert cache.trials(configs[1], 200) != cache.trials(configs[2], 100)
  assert rows.of_attackers(cache, found) == []
  # As it was before there were suites in tables.
  assert "evaluation" not in identity.evaluation_config(configs[0], 0.01).identity()


def test_example_images_are_the_papers_under_every_evaluation(tmp_path):
  cache = cache_of(tmp_path, HERE)
  files = set()
  for evaluation in ("paper", "strong"):
    request = synthetic.request(tmp_path, evaluation=evaluation)
    cell = make_cell(request, request.tasks[0], "none", 0, eps=EPS, examples=True)
    files.add(cache.examples(cell.config))
  assert len(files) == 1


def test_without_the_images_what_began_from_given_weights_is_told_apart(tmp_path):
  [cold] = cells(tmp_path, "none")
  warm = dataclasses.replace(cold, config=dataclasses.replace(cold.config, init_from="public"))
  blind = cache_of(tmp_path, None, only_read=True)
  train(cache_of(tmp_path, HERE), warm, init_hash="c" * 64)
  assert blind.is_trained(warm.config) and not blind.is_trained(cold.config)
  train(cache_of(tmp_path, OTHER), cold)
  assert blind.training(warm.config) != blind.training(cold.config)
  assert blind.is_trained(warm.config) and blind.is_trained(cold.config)


def test_healed_copies_are_attacked_anew_where_who_averages_held_others(tmp_path):
  cache, old = cache_of(tmp_path, HERE), {"result_versions": {"keys": 2, "splits": 2}}
  request = synthetic.request(tmp_path, evaluation="strong")
  healed, noised = (
    make_cell(request, request.tasks[0], m, 0, eps=EPS) for m in ("combined", "noise_only")
  )
  for cell in (healed, noised):
    attack(cache, cell, 0.01, **old)
    attack(cache, cell, 0.02, result_versions={"attackers": 2})
  assert cache.missing(healed) == [0.01] and cache.missing(noised) == []
  page = cache_of(tmp_path, HERE, only_read=True)
  assert page.missing(healed) == [] and known.notes([noised], page, []) == []
  [note] = known.notes([healed, noised], page, [])
  assert "in 1 evaluations who averages copies had noised ones" in note
