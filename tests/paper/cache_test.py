import subprocess
import sys

import numpy as np
import pytest

from fedsafe_tff import versions
from fedsafe_tff.data import sums
from fedsafe_tff.errors import Notice, UserError
from fedsafe_tff.paper import identity, known, steps
from fedsafe_tff.paper.cache import Cache, read_json
from fedsafe_tff.paper.cells import make_cell
from fedsafe_tff.runs.run_dir import write_json
from tests.paper import synthetic

EPS = (0.01, 0.02)
HERE, OTHER = "a" * 64, "b" * 64  # identities of images


def cache_of(tmp_path, inputs, **more):
  return Cache(tmp_path / "cache", known=lambda config: inputs, **more)


@pytest.fixture
def cache(tmp_path):
  return cache_of(tmp_path, HERE)


def cells(tmp_path, *methods, seed=0, **settings):
  request = synthetic.request(tmp_path, settings=settings)
  return [make_cell(request, request.tasks[0], m, seed, eps=EPS) for m in methods]


def train(cache, cell, **more):
  folder = cache.training(cell.config)
  write_json(folder / "config.json", identity.training_config(cell.config).as_dict())
  manifest = {"finished": "now", "training_seconds": 60.0, "identity": cache.known(cell.config)}
  write_json(folder / "manifest.json", manifest | more)
  (folder / "checkpoints" / f"program_state_{cell.config.rounds}").mkdir(parents=True)


def attack(cache, cell, eps, asr=0.25, **more):
  result = {"attack": "pgd", "eps": eps, "clean_accuracy": 0.9, "asr_self": asr}
  synthetic.store_evaluation(cache, cell, eps, **{"result": result} | more)


def adapt(cache, cell, **more):
  facts = {"config": identity.adapted_config(cell.config).as_dict(), "identity": HERE} | more
  file = cache.adapted(cell.config)
  write_json(file.with_suffix(".json"), facts)
  np.savez(file, np.zeros(1))


def make_old(cache, cell, eps):
  """As versions wrote it that knew of no identity of images."""
  stage = identity.evaluation_config(cell.config, eps)
  train(cache, cell)
  attack(cache, cell, eps)
  folder = cache.training(cell.config)
  old = folder.with_name(identity.old_training_name(cell.config))
  folder.rename(old)
  file = old / "evaluations" / f"{identity.digest(stage)}.json"
  stored = read_json(file)
  del stored["identity"]
  file.unlink()
  write_json(old / "evaluations" / f"{identity.old_digest(stage)}.json", stored)
  return old


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
  assert row["training"] == f"trainings/{identity.training_name(cell.config, HERE)}"
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


def flip(file):
  data = bytearray(file.read_bytes())
  data[len(data) // 2] ^= 1
  file.write_bytes(data)


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
  assert other.missing(cell) == [0.01, 0.02] and other.rows([cell]) == []
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
  assert blind.missing(cell) == [0.02] and len(blind.rows([cell])) == 1
  assert known.why_missing(cell, blind) == "not in the cache"
  [note] = known.notes([cell], blind, ["phantom"])
  assert "the images or the model of phantom can't be read" in note
  attack(cache_of(tmp_path, OTHER), cell, 0.01)
  assert blind.missing(cell) == [0.01, 0.02] and blind.rows([cell]) == []
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
  [row] = reading.rows([cell])
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
  assert cache.attacker_rows(found) == []
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
