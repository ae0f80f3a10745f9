"""A run folder holds all that its model's predictions depend on."""

import os
import signal

import numpy as np
import pytest

from fedsafe_tff import keys
from fedsafe_tff.commands import train
from fedsafe_tff.data import sums
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.runs import loop, run_dir, saved_models
from fedsafe_tff.runs.facts import manifest_facts
from fedsafe_tff.runs.noise import Noise
from fedsafe_tff.runs.prepare import prepare
from fedsafe_tff.runs.rebuild import config_of, rebuild
from fedsafe_tff.runs.report.run_folder import RunFolder
from tests.models import keras_nets
from tests.runs import tiny

FIRST_SESSION: list[np.ndarray] = []  # the stems that it drew
STEM = "tests.models.keras_nets:frozen_stem"


def words(folder):
  """A run of a model with a frozen stem, without the flags that only others have."""
  changes = {"model": STEM, "defense": "noise_only", "attacks": "pgd", "attack_eps": "0.03"}
  words = tiny.arguments(folder, **changes)
  return [word for word in words if not word.startswith("--adaptation_epochs")]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
  """A run with a frozen stem that was stopped after a round; its second session drew another."""
  folder = tmp_path_factory.mktemp("stem")
  keras_nets.STEMS.clear()
  arguments = words(folder)
  save = loop.Checkpoints.save

  def save_and_stop(self, state, version):
    save(self, state, version)
    os.kill(os.getpid(), signal.SIGTERM)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop.Checkpoints, "save", save_and_stop)
    assert train.train(arguments) == 1
  FIRST_SESSION[:] = keras_nets.STEMS
  keras_nets.STEMS.clear()
  assert train.train(arguments) == 0
  return folder / "run"


def test_a_frozen_random_stem_is_rebuilt_from_the_run_folder(stopped):
  run = RunFolder.read(stopped)
  rebuilt = rebuild(run)
  # It is a stem of the first session, with which the second one went on, whatever it drew itself.
  kept = rebuilt.model.frozen[0][1]
  assert any(np.array_equal(kept, drawn) for drawn in FIRST_SESSION)
  assert keras_nets.STEMS and not any(np.array_equal(kept, drawn) for drawn in keras_nets.STEMS)
  images, labels = prepare(config_of(run)).images("evaluation")
  scorer = Scorer(rebuilt.model, 64)
  found = [(scorer.predict(w, images) == labels).mean() for w in (rebuilt.weights, *rebuilt.copies)]
  evaluation = run.evaluation
  assert found[0] == evaluation["clean_accuracy_global"]
  assert found[1:] == evaluation["clean_accuracy_clients"]


def test_keras_itself_predicts_the_same_with_what_the_file_holds(stopped):
  stored = saved_models.read(stopped / "models" / "client_00001.npz")
  kernel, bias = stored.frozen
  assert [name.split("/")[-1] for name in stored.frozen_names] == ["kernel:0", "bias:0"]
  model = keras_nets.frozen_stem((16, 16, 1), 2)
  model.layers[0].set_weights([kernel, bias])
  model.layers[2].set_weights(stored.weights)
  images = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 1)).astype(np.uint8)
  rebuilt = rebuild(RunFolder.read(stopped))
  ours = Scorer(rebuilt.model, 64).logits(rebuilt.copies[1], images)
  np.testing.assert_allclose(ours, model(images / np.float32(255)), atol=1e-5)
  assert np.abs(ours).max() > 0.01


def test_the_cnn_needs_no_images_to_be_rebuilt(tmp_path):
  config = tiny.config(tmp_path, defense="distributed_noise", **tiny.CNN)
  prepared = prepare(config)
  weights = [w.numpy() for w in prepared.model.init(keys.root(3))]
  path = tmp_path / "run"
  saved_models.save(path / "models", weights, [weights] * 3, prepared.model)
  run_dir.write_json(path / "config.json", config.as_dict())
  run_dir.write_manifest(path, **manifest_facts(config, prepared, Noise.from_config(config, 5)))
  run = RunFolder.read(path)
  rebuilt = rebuild(run)
  images = prepared.images("evaluation")[0]
  np.testing.assert_array_equal(
    Scorer(rebuilt.model, 64).logits(rebuilt.weights, images),
    Scorer(prepared.model, 64).logits(weights, images),
  )
  stored = saved_models.read(tmp_path / "run" / "models" / "global.npz")
  assert stored.names[:2] == ("conv_1/kernel", "conv_1/bias")
  assert stored.frozen_names == ("normalisation/mean", "normalisation/stddev")
  file = tmp_path / "run" / "models" / "global.npz"
  (file.parent / sums.NAME).unlink()
  np.savez(file, **{f"{i:02d}": w for i, w in enumerate(stored.weights)})  # as older versions did
  with pytest.raises(UserError, match="stored what trains alone.*normalisation/mean"):
    rebuild(run)
  np.savez(file, names=[], frozen_names=stored.frozen_names, **{
    "00": stored.weights[0], "frozen/00": stored.frozen[0], "frozen/01": stored.frozen[1],
  })  # fmt: skip
  with pytest.raises(UserError, match="--model=cnn makes another model"):
    rebuild(run)
