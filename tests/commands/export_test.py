"""What `fedsafe export` writes stands alone."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from fedsafe_tff.commands import export
from fedsafe_tff.data import sums
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.runs import export as exports
from fedsafe_tff.runs.rebuild import rebuild
from fedsafe_tff.runs.report.run_folder import RunFolder
from tests.commands import exported
from tests.runs import tiny

# A stranger's program: no module of ours can be imported in it.
STRANGER = """
import sys
sys.modules["fedsafe_tff"] = None
import numpy as np, tensorflow as tf
folder, images, out = sys.argv[1:]
images = np.load(images)
model = tf.saved_model.load(folder)
floats = images.astype(np.float32) / 255
signature = {name: model.signatures[name] for name in ("serving_default", "uint8")}
np.savez(
  out,
  logits=[model(images), model(floats)],
  named=[signature["uint8"](images=images)["logits"], signature["serving_default"](images=floats)["logits"]],
  probabilities=[model.probabilities(images), model.probabilities(floats)],
  names=[name.decode() for name in model.class_names.numpy()],
)
"""  # noqa: E501


@pytest.fixture(scope="module", params=["own", "cnn"])
def run(request, tmp_path_factory):
  folder = tmp_path_factory.mktemp("exported")
  # Through the CNN's eleven layers, logits of a larger spread would be too large to compare.
  return exported.write_run(folder, 0.1, **(tiny.CNN if request.param == "cnn" else {}))


def test_a_stranger_gets_the_same_logits(run, tmp_path, capsys):
  folder = tmp_path / "model"
  assert export.export([str(run), "--client=1", f"--out={folder}"]) is None
  assert capsys.readouterr().out.endswith(f"model: {folder}\n")
  images = np.random.default_rng(2).integers(0, 256, (5, 12, 12, 1), np.uint8)
  np.save(tmp_path / "images.npy", images)
  subprocess.run(
    [sys.executable, "-c", STRANGER, folder, tmp_path / "images.npy", tmp_path / "out.npz"],
    check=True, capture_output=True, cwd=tmp_path,
  )  # fmt: skip
  rebuilt = rebuild(RunFolder.read(run))
  wanted = Scorer(rebuilt.model).logits(rebuilt.copies[1], images)
  other = Scorer(rebuilt.model).logits(rebuilt.weights, images)
  assert np.abs(wanted - other).max() > 0.01
  found = np.load(tmp_path / "out.npz")
  chances = np.exp(wanted) / np.exp(wanted).sum(1, keepdims=True)
  for typed in (0, 1):
    np.testing.assert_allclose(found["logits"][typed], wanted, atol=1e-5)
    np.testing.assert_allclose(found["named"][typed], wanted, atol=1e-5)
    np.testing.assert_allclose(found["probabilities"][typed], chances, atol=1e-5)
  assert found["names"].tolist() == ["=healthy", "ill"]


def test_by_default_the_global_model_into_the_run_folder(run):
  export.export([str(run)])
  model, facts = exports.load(run / "export" / "global")
  rebuilt = rebuild(RunFolder.read(run))
  images = np.random.default_rng(3).integers(0, 256, (5, 12, 12, 1), np.uint8)
  wanted = Scorer(rebuilt.model).logits(rebuilt.weights, images)
  np.testing.assert_allclose(model(images), wanted, atol=1e-5)
  assert (facts.model, facts.input_shape) == ("global", (12, 12, 1))
  # The lowest and the highest value of all 16-bit images.
  assert facts.window == (700.0, 26200.0)
  with pytest.raises(UserError, match="is there already: remove it, or give another --out"):
    export.export([str(run)])
  assert list((run / "export").iterdir()) == [run / "export" / "global"]


def test_what_cannot_be_exported(run, tmp_path):
  with pytest.raises(UserError, match="--client=3 is unknown: the clients of .* are 0 to 2"):
    export.export([str(run), "--client=3"])
  with pytest.raises(UserError, match="give one run folder"):
    export.export([])
  with pytest.raises(UserError, match="client=x"):
    export.export([str(run), "--client=x"])
  with pytest.raises(UserError, match="is not a run folder"):
    export.export([str(tmp_path)])
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="can't write .*/file/model"):
    export.export([str(run), f"--out={tmp_path}/file/model"])
  bare = tmp_path / "bare"
  shutil.copytree(run, bare, ignore=shutil.ignore_patterns("models"))
  with pytest.raises(UserError, match="global.npz can't be read .*: train the run again"):
    export.export([str(bare)])


def test_a_model_unlike_what_is_told_of_it_is_refused(run, tmp_path):
  folder = tmp_path / "model"
  export.export([str(run), f"--out={folder}"])
  file = folder / exports.FACTS
  told = json.loads(file.read_text())
  assert "no medical device" in told["notice"]
  file.write_text(json.dumps(told | {"input_shape": [13, 13, 1]}))
  with pytest.raises(UserError, match="fedsafe.json is damaged"):
    exports.load(folder)
  sums.record_tree(folder)
  with pytest.raises(UserError, match=r"images \(12, 12, 1\) .* tells of \(13, 13, 1\)"):
    exports.load(folder)
  file.write_text(json.dumps(told | {"format": 99}))
  sums.record_tree(folder)
  with pytest.raises(UserError, match="another version"):
    exports.load(folder)
  file.write_text(json.dumps(told))
  sums.record_tree(folder)
  (folder / "saved_model.pb").write_bytes(b"damaged")
  with pytest.raises(UserError, match="saved_model.pb is damaged"):
    exports.load(folder)
  (folder / sums.NAME).unlink()  # as before there were checksums
  with pytest.raises(UserError, match="can't be loaded"):
    exports.load(folder)


def test_help_says_what_it_is_not(capsys):
  export.export(["--help"])
  assert "no medical device" in capsys.readouterr().out
