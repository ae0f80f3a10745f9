"""Certificates of a finished run: what the report says is what was counted, and nothing twice."""

import json

import numpy as np
import pytest

from fedsafe_tff.commands import certify, train
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.smoothing import Smoother
from fedsafe_tff.runs.load import load_run
from tests.runs import tiny

pytestmark = pytest.mark.usefixtures("built_once")
_ASKED = ["--sigma=0.05,0.5", "--images=6", "--n0=5", "--n=60", "--alpha=0.05"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  folder = tmp_path_factory.mktemp("certified")
  changes = {"rounds": 2, "defense": "noise_only", "noise_seed": 3, "attacks": "fgsm"}
  words = tiny.arguments(folder, **changes, attack_eps=0.1, attack_images=4)
  idle = ("--adaptation_epochs", "--attack_steps")
  assert train.train([word for word in words if not word.startswith(idle)]) == 0
  return folder / "run"


def test_a_run_is_certified_and_goes_on_where_it_was(run, monkeypatch, capsys):
  assert certify.certify([str(run), *_ASKED]) == 0
  assert "smoothed accuracy" in capsys.readouterr().out
  found = tiny.read_json(run / "certificates" / "certificates.json")
  rows = tiny.rows(run / "certificates" / "certificates.csv")
  assert [one["sigma"] for one in found["sigmas"]] == [0.05, 0.5] and len(rows) == 2 * 6
  for one in found["sigmas"]:
    mine = [row for row in rows if float(row["sigma"]) == one["sigma"]]
    right = np.array([row["predicted"] == row["label"] for row in mine])
    radius = np.array([float(row["radius_l2"]) for row in mine])
    assert radius.max() <= 2.0 * one["sigma"]  # of 60 draws no more can be known
    assert one["abstained"] == np.mean([row["predicted"] == "" for row in mine])
    for at in one["radii"]:
      assert at["certified_accuracy"] == pytest.approx((right & (radius >= at["l2"])).mean())
      assert at["linf"] == pytest.approx(at["l2"] / 16)  # of 16 x 16 pixels
  page = (run / "report.html").read_text()
  assert "Certified accuracy" in page and "whatever the attack" in page
  assert f"{found['sigmas'][0]['radii'][0]['certified_accuracy']:.3f} [" in page

  def forbidden(*args, **more):
    raise AssertionError("certified twice")

  monkeypatch.setattr(Smoother, "certify", forbidden)
  assert certify.certify([str(run), *_ASKED]) == 0
  assert tiny.read_json(run / "certificates" / "certificates.json") == found
  with pytest.raises(AssertionError, match="twice"):
    certify.certify([str(run), *_ASKED, "--client=1"])  # another model is another question


def test_a_clients_copy(run):
  certify.certify([str(run), "--sigma=0.05", *_ASKED[1:], "--client=2"])
  found = tiny.read_json(run / "certificates" / "certificates.json")
  loaded = load_run(run)
  rows = tiny.rows(run / "certificates" / "certificates.csv")
  images = loaded.prepared.image_set.images[[int(row["image"]) for row in rows]]
  logits = loaded.model.apply(loaded.copies[2], images / np.float32(255)).numpy()
  right = logits.argmax(1) == [int(row["label"]) for row in rows]
  assert found["model"] == "client 2's copy"
  assert found["clean_accuracy"] == pytest.approx(right.mean())


def test_a_damaged_file_is_one_clear_line(run):
  path = run / "certificates" / "certificates.json"
  before = path.read_text()
  path.write_text(json.dumps({"model": 3}))
  with pytest.raises(UserError, match="certificates.json is damaged"):
    certify.certify([str(run)])
  path.write_text(before)


@pytest.mark.parametrize(
  "words, message",
  [
    ([], "give a run folder"),
    (["none"], "none is not a run folder"),
    (["RUN", "--sigma=0"], "--sigma must be numbers above 0"),
    (["RUN", "--sigma=0.1,,0.2"], "--sigma=: '' is no number"),
    (["RUN", "--n=0"], "--n0 and --n at least 1"),
    (["RUN", "--alpha=1"], r"--alpha in \(0, 1\)"),
    (["RUN", "--images=many"], "--images=many is no whole number"),
    (["RUN", "--client=3"], "--client=3: the clients are 0 to 2"),
    (["RUN", "--rounds=3"], "'--rounds=3' is unknown here"),
  ],
)
def test_bad_input_is_one_clear_line(run, words, message):
  with pytest.raises(UserError, match=message) as caught:
    certify.certify([word.replace("RUN", str(run)) for word in words])
  assert "\n" not in str(caught.value)
