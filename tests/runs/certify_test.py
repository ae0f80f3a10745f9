"""Certificates of a finished run: what the report says is what was counted, and nothing twice."""

import dataclasses
import json

import numpy as np
import pytest

from fedsafe_tff.commands import certify, report, train
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation import suites
from fedsafe_tff.evaluation.smoothing import Smoother
from fedsafe_tff.runs import certify as certify_lib
from fedsafe_tff.runs import run_dir
from fedsafe_tff.runs.attackers import evaluation_key
from fedsafe_tff.runs.load import load_run
from fedsafe_tff.runs.report import build
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


def entry(run, number=0):
  """An entry of the file, and its rows."""
  one = tiny.read_json(run / "certificates" / "certificates.json")["models"][number]
  return one, tiny.rows(run / "certificates" / f"{one['name']}.csv")


def test_a_run_is_certified_and_goes_on_where_it_was(run, monkeypatch, capsys):
  assert certify.certify([str(run), *_ASKED]) == 0
  assert "smoothed accuracy" in capsys.readouterr().out
  found, rows = entry(run)
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
  assert certify.certify([str(run), "--sigma=0.5", *_ASKED[1:]]) == 0
  assert entry(run) == (found, rows)  # what was asked for before is not lost
  with pytest.raises(AssertionError, match="twice"):
    certify.certify([str(run), *_ASKED, "--client=1"])  # another model is another question


def test_a_clients_copy_stands_beside_the_global_model(run):
  certify.certify([str(run), *_ASKED])
  certify.certify([str(run), "--sigma=0.05", *_ASKED[1:], "--client=2"])
  models = tiny.read_json(run / "certificates" / "certificates.json")["models"]
  assert [one["model"] for one in models] == ["the global model", "client 2's copy"]
  found, rows = entry(run, 1)
  loaded = load_run(run)
  images = loaded.prepared.image_set.images[[int(row["image"]) for row in rows]]
  logits = loaded.model.apply(loaded.copies[2], images / np.float32(255)).numpy()
  right = logits.argmax(1) == [int(row["label"]) for row in rows]
  assert found["clean_accuracy"] == pytest.approx(right.mean())
  smoother = Smoother(loaded.model, 0.05)
  told = smoother.certify(
    loaded.copies[2], images, key=evaluation_key(loaded.config), n0=5, n=60, alpha=0.05
  )
  assert [float(row["radius_l2"]) for row in rows] == told.radius.tolist()
  page = (run / "report.html").read_text()
  assert page.count("Certified accuracy against the L2 radius") == 2


def test_images_of_one_patient_have_no_intervals(run, monkeypatch):
  prepared = load_run(run).prepared
  patients = tuple("ab"[i % 2] for i in range(len(prepared.image_set.labels)))
  real = certify_lib.load_run

  def loaded(*args, **moved):
    found = real(*args, **moved)
    images = dataclasses.replace(found.prepared.image_set, patients=patients)
    prepared = dataclasses.replace(found.prepared, image_set=images)
    return dataclasses.replace(found, prepared=prepared)

  monkeypatch.setattr(certify_lib, "load_run", loaded)
  certify.certify([str(run), "--sigma=0.05", "--images=5", *_ASKED[2:]])
  found, _ = entry(run, -1)
  assert all(at["interval"] is None for one in found["sigmas"] for at in one["radii"])


def test_all_images_are_all_of_them_under_a_suite_too(run, monkeypatch):
  config = tiny.read_json(run / "config.json")
  before = (run / "config.json").read_text()
  run_dir.write_json(run / "config.json", config | {"evaluation": "strong"})
  monkeypatch.setattr(suites, "SUITES", {"strong": suites.Suite("strong", (), images=2)})
  try:
    certify.certify([str(run), "--sigma=0.05", "--images=0", *_ASKED[2:]])
  finally:
    (run / "config.json").write_text(before)
  _, rows = entry(run, -1)
  assert len(rows) == len(load_run(run).prepared.parts.evaluation) > 2


def test_a_damaged_file_is_made_again(run):
  path = run / "certificates" / "certificates.json"
  certify.certify([str(run), *_ASKED])
  path.write_text(json.dumps({"models": 3}))
  assert report.report([str(run)]) == 1
  page = (run / "report.html").read_text()
  assert "certificates/certificates.json is damaged and left out" in page
  with pytest.raises(UserError, match="certificates.json is damaged"):
    build.build(run)
  certify.certify([str(run), *_ASKED])
  assert entry(run)[0]["model"] == "the global model"
  assert report.report([str(run)]) == 0


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
