import shutil

import numpy as np
import pytest

from fedsafe_tff.commands import train
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.runs.load import load_run
from tests.runs import tiny

pytestmark = pytest.mark.usefixtures("built_once")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  folder = tmp_path_factory.mktemp("loaded")
  words = tiny.arguments(
    folder, rounds=1, defense="noise_only", noise_seed=3, attacks="fgsm", attack_eps=0.1,
    **tiny.CNN,
  )
  idle = ("--adaptation_epochs", "--attack_steps")
  assert train.train([word for word in words if not word.startswith(idle)]) == 0
  return folder / "run"


def test_a_notebook_goes_on_where_the_binary_stopped(run):
  loaded = load_run(run)
  scorer = Scorer(loaded.model)
  images, labels = loaded.images("evaluation")
  assert images.dtype == np.uint8 and images.shape[1:] == loaded.model.input_shape
  for weights, accuracy in zip(
    [loaded.weights, *loaded.copies],
    [loaded.results["clean_accuracy_global"], *loaded.results["clean_accuracy_clients"]],
    strict=True,
  ):
    assert scorer.loss_and_accuracy(weights, images, labels)[1] == pytest.approx(accuracy)
  assert len(loaded.copies) == 3 and (loaded.copies[0][0] != loaded.copies[1][0]).any()
  partition = tiny.read_json(run / "partition.json")
  for client, counts in enumerate(partition["clients"]):
    _, own = loaded.client_images(client)
    np.testing.assert_array_equal(np.bincount(own, minlength=len(counts)), counts)
  assert list(loaded.class_names) == partition["class_names"]
  assert loaded.config.defense == "noise_only" and len(loaded.folder.metrics) == 1


def test_runs_that_cannot_be_loaded(run, tmp_path):
  with pytest.raises(UserError, match="not a run folder"):
    load_run(tmp_path)
  copy = tmp_path / "copy"
  shutil.copytree(run, copy)
  with pytest.raises(UserError, match="other images than"):
    load_run(copy, seed=5)
  shutil.rmtree(copy / "models")
  with pytest.raises(UserError, match="global.npz can't be read"):
    load_run(copy)
