"""`fedsafe predict` reads files as the training did."""

import csv
import os

import numpy as np
import PIL.Image
import pytest

from fedsafe_tff.commands import export, predict
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.runs.prepare import prepare
from fedsafe_tff.runs.rebuild import config_of, rebuild
from fedsafe_tff.runs.report.run_folder import RunFolder
from tests.commands import exported


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("predicted")


@pytest.fixture(scope="module")
def run(folder):
  return exported.write_run(folder)


@pytest.fixture(scope="module")
def model(run):
  export.export([str(run)])
  return run / "export" / "global"


@pytest.fixture(scope="module")
def wanted(run):
  """Name to (label, probability), on the images as the training has them."""
  opened = RunFolder.read(run)
  rebuilt, images = rebuild(opened), prepare(config_of(opened)).image_set
  logits = Scorer(rebuilt.model).logits(rebuilt.weights, images.images).astype(np.float64)
  chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  labels = [images.class_names[k] for k in chances.argmax(1)]
  assert len(set(labels)) == 2
  return dict(zip(images.names, zip(labels, chances.max(1))))


def _parsed(text):
  cells = [line.split("\t") for line in text.splitlines()]
  return {name: (label, float(probability)) for name, label, probability in cells}


@pytest.mark.parametrize("source", ["run", "model"])
def test_every_file_as_in_training(source, run, model, folder, wanted, capsys):
  given = run if source == "run" else model
  images = folder / "images"
  assert predict.predict([str(given), str(images)]) == 0
  found = _parsed(capsys.readouterr().out)
  assert found.keys() == {str(images / name) for name in wanted} and len(found) == 32
  for name, (label, probability) in wanted.items():
    said = found[str(images / name)]
    assert said == (label, pytest.approx(probability, abs=6e-5)), name


@pytest.mark.parametrize("source", ["run", "model"])
def test_files_are_resized_as_the_trainings_arrays_were(source, tmp_path, capsys):
  rng = np.random.default_rng(3)
  images = rng.integers(0, 256, (32, *exported.SHAPE), np.uint8)
  np.savez(tmp_path / "some.npz", images=images, labels=np.arange(32) % 2)
  run = exported.write_run(
    tmp_path, dataset="npz", data_dir=tmp_path / "some.npz", spread=1.0
  )
  opened = RunFolder.read(run)
  rebuilt, trained = rebuild(opened), prepare(config_of(opened)).image_set
  logits = Scorer(rebuilt.model).logits(rebuilt.weights, trained.images).astype(np.float64)
  chances = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).max(1)
  if source == "model":
    export.export([str(run)])
    run = run / "export" / "global"
  files = []
  for number, image in enumerate(images[:4]):
    files.append(str(tmp_path / f"{number}.png"))
    PIL.Image.fromarray(image).save(files[-1])
  capsys.readouterr()
  assert predict.predict([str(run), *files]) == 0
  found = [probability for _, probability in _parsed(capsys.readouterr().out).values()]
  assert found == pytest.approx(list(chances[:4]), abs=6e-5)


def test_a_lone_deep_file_has_the_trainings_window(model, folder, wanted, capsys):
  name = "ill/3.png"
  with PIL.Image.open(folder / "images" / name) as image:
    assert image.mode.startswith("I")
  assert predict.predict([str(model), str(folder / "images" / name)]) == 0
  (found,) = _parsed(capsys.readouterr().out).values()
  assert found == (wanted[name][0], pytest.approx(wanted[name][1], abs=6e-5))


def test_colour_files_become_gray_and_pages_have_a_line_each(model, tmp_path, capsys):
  rng = np.random.default_rng(5)
  pages = [PIL.Image.fromarray(rng.integers(0, 256, (30, 18, 3), np.uint8)) for _ in range(2)]
  pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
  assert predict.predict([str(model), str(tmp_path / "a.tif")]) == 0
  names = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
  assert names == [f"{tmp_path}/a.tif (page 1)", f"{tmp_path}/a.tif (page 2)"]


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(model, tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  good = PIL.Image.fromarray(np.full((9, 9), 77, np.uint8))
  good.save("=1+1.png")
  good.save("line\nbreak.png")
  (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n no more")
  os.mkdir("more")
  good.save("more/last.png")
  (tmp_path / "more" / "notes.txt").write_text("no image")
  words = ["=1+1.png", "line\nbreak.png", "bad.png", "gone.png", "more"]
  assert predict.predict([str(model), *words, "--csv=out.csv"]) == 1
  out, err = capsys.readouterr()
  assert list(_parsed(out)) == ["=1+1.png", "line\\nbreak.png", "more/last.png"]
  assert err.count("\n") == 4 and err.endswith("2 of 6 could not be read\n")
  assert "bad.png: " in err and "gone.png: it can't be opened" in err and "notes.txt: " in err
  with open("out.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  assert [row["file"] for row in rows] == [
    "'=1+1.png", "line\\nbreak.png", "bad.png", "gone.png", "more/last.png", "more/notes.txt",
  ]  # fmt: skip
  assert {row["label"] for row in rows} <= {"'=healthy", "ill", ""}
  assert [bool(row["error"]) for row in rows] == [False, False, True, True, False, True]
  assert 0.5 <= float(rows[0]["probability"]) <= 1
  # In a folder, what is no image is named and no failure; named by itself, it is one.
  assert predict.predict([str(model), "more"]) == 0
  assert predict.predict([str(model), "more/notes.txt"]) == 1


def test_a_client_of_a_run_has_a_model_of_its_own(run, model, folder, capsys):
  image = str(folder / "images" / "ill" / "0.png")
  said = set()
  for words in ([], ["--client=0"], ["--client=2"]):
    assert predict.predict([str(run), image, *words]) == 0
    said.add(capsys.readouterr().out)
  assert len(said) == 3
  with pytest.raises(UserError, match="--client=1 has no effect: .* is one model"):
    predict.predict([str(model), image, "--client=1"])


def test_what_is_no_model_is_one_clear_line(folder, tmp_path):
  image = str(folder / "images" / "ill" / "0.png")
  for path in (image, str(tmp_path), str(tmp_path / "gone")):
    with pytest.raises(UserError, match="neither a run folder nor what `fedsafe export` wrote"):
      predict.predict([path, image])
  with pytest.raises(UserError, match="give a model and files"):
    predict.predict([])
  with pytest.raises(UserError, match="csw"):
    predict.predict([str(tmp_path), image, "--csw=x"])


def test_deep_files_of_a_training_that_had_none_are_named(tmp_path, capsys):
  exported.write_images(tmp_path / "images")
  for label in ("=healthy", "ill"):
    for number in range(1, 16, 2):
      (tmp_path / "images" / label / f"{number}.png").rename(tmp_path / f"{label}{number}.png")
  run = exported.write_run(tmp_path, validation_fraction=0.2)
  assert predict.predict([str(run), str(tmp_path / "ill1.png")]) == 1
  assert "ill1.png: it has more than 8 bits, and no image of its kind" in capsys.readouterr().err


def test_help_says_what_it_is_not(capsys):
  predict.predict(["--help"])
  assert "no\nmedical device" in capsys.readouterr().out
