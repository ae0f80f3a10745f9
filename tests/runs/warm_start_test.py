import shutil

import numpy as np
import pytest

from fedsafe_tff import keys
from fedsafe_tff.commands import attack
from fedsafe_tff.errors import UserError
from fedsafe_tff.models import gn_cnn
from fedsafe_tff.runs import load, rebuild, run, run_dir, saved_models, warm_start
from fedsafe_tff.runs.report.run_folder import RunFolder
from tests.runs import tiny

GN = {"model": "gn_cnn", "conv_widths": "4,4,4,4,4,4", "pool_grid": 1}


def network(classes=2):
  return gn_cnn.build_gn_cnn(
    input_shape=(16, 16, 1), num_classes=classes, conv_widths=(4,) * 6, pool_grid=1,
    mean=(0.3,), stddev=(0.2,),
  )  # fmt: skip


@pytest.fixture(scope="module")
def public(tmp_path_factory):
  """Weights of a network of three classes, as a run stores them."""
  rng = np.random.default_rng(0)
  model = network(3)
  weights = [rng.normal(0, 0.5, s.shape).astype(np.float32) for s in model.weight_specs()]
  folder = tmp_path_factory.mktemp("public")
  saved_models.save(folder / "models", weights, [weights], model)
  return str(folder), weights


def test_the_classifier_alone_begins_anew_for_other_classes(public):
  folder, weights = public
  model = warm_start.begin_from(network(2), folder, "classifier")
  assert [s.shape.as_list() for s in model.weight_specs()] == [[4, 2], [2]]
  assert not any(w.numpy().any() for w in model.init(keys.root(0)))
  for (_, frozen), stored in zip(model.frozen[2:], weights[:-2], strict=True):
    np.testing.assert_array_equal(frozen, stored)
  with pytest.raises(UserError, match="is of another model"):
    warm_start.begin_from(network(2), folder)


def test_a_classifier_of_as_many_classes_is_not_taken_either(public):
  model = warm_start.begin_from(network(3), public[0], "classifier")
  assert not any(w.numpy().any() for w in model.init(keys.root(0)))
  whole = warm_start.begin_from(network(3), public[0])
  np.testing.assert_array_equal(whole.init(keys.root(0))[-1], public[1][-1])


@pytest.fixture(scope="module")
def private(public, tmp_path_factory):
  """A private run of the classifier alone on two classes."""
  folder = tmp_path_factory.mktemp("private")
  settings = {
    "init_from": public[0], "trainable": "classifier", "privacy": "dp_sgd", "clip_norm": 5.0,
    "target_epsilon": 8.0, "batch_size": 8, "noise_seed": 1, "runtime": "device",
    "learning_rate": 0.1, **GN,
  }  # fmt: skip
  return run.run(tiny.config(folder, defense="server_adversarial_training", **settings))


def test_a_private_run_trains_the_classifier_and_keeps_the_rest(public, private):
  stored = saved_models.read(private / "models" / "global.npz")
  assert [w.shape for w in stored.weights] == [(4, 2), (2,)]
  assert all(w.any() for w in stored.weights)
  for mine, theirs in zip(stored.frozen[2:], public[1][:-2], strict=True):
    np.testing.assert_array_equal(mine, theirs)
  left = tiny.read_json(private / "privacy.json")["now"]["not_covered"]
  assert any("--init_from" in what for what in left)


def test_its_model_is_made_again_with_and_without_its_images(private):
  images = np.random.default_rng(0).uniform(size=(5, 16, 16, 1)).astype(np.float32)
  alone = rebuild.rebuild(RunFolder.read(private))
  with_images = load.load_run(private)
  logits = alone.model.apply(alone.weights, images)
  np.testing.assert_array_equal(logits, with_images.model.apply(with_images.weights, images))
  assert np.ptp(logits, axis=0).max() > 0


def test_a_run_is_loaded_where_what_it_began_with_lies_elsewhere_now(public, private, tmp_path):
  copy, gone = tmp_path / "copy", str(tmp_path / "gone")
  shutil.copytree(private, copy)
  config = tiny.read_json(copy / "config.json") | {"init_from": gone}
  run_dir.write_json(copy / "config.json", config)
  with pytest.raises(UserError, match=f"--init_from={gone} holds no weights"):
    load.load_run(copy)
  (loaded, there) = (load.load_run(copy, init_from=public[0]), load.load_run(private))
  assert loaded.prepared.inputs == there.prepared.inputs
  assert "init_from" in attack.MOVED  # so that the commands take it


def test_what_was_trained_so_can_be_begun_from_whole(private):
  """Frozen layers and classifier together are a model again."""
  stored = saved_models.read(private / "models" / "global.npz")
  model = warm_start.begin_from(network(2), str(private))
  weights = model.init(keys.root(0))
  assert len(weights) == len(network(2).weight_specs())
  np.testing.assert_array_equal(weights[-2], stored.weights[0])
