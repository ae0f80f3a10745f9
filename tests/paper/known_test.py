"""What a cache holds is compared with the images and the models that are there now."""

import dataclasses
import importlib
import shutil
import sys
import types

import numpy as np
import PIL.Image
import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.paper import sweep, work
from fedsafe_tff.paper.cache import Cache
from fedsafe_tff.paper.known import Known
from fedsafe_tff.paper.request import Request, Task
from fedsafe_tff.runs import inputs
from fedsafe_tff.runs.config import Config
from tests.paper import synthetic

SETTINGS = {
  "image_size": 16, "conv_widths": "4,4,4,4,8,8", "dense_widths": "8,8,8,8", "rounds": 2,
  "min_client_images": 1, "noise_seed": 0,
}  # fmt: skip


def write_npz(path, value, published=None):
  rng = np.random.default_rng(value)
  images = rng.integers(0, 255, (80, 16, 16), dtype=np.uint8)
  values = {"images": images, "labels": np.arange(80) % 2, "groups": np.arange(80)}
  np.savez(path, **values, **({} if published is None else {"published_test": published}))


def write_images(root, value):
  rng = np.random.default_rng(value)
  for part in ("Training", "Testing"):
    for name in ("no_tumor", "glioma_tumor"):
      (root / part / name).mkdir(parents=True, exist_ok=True)
      for index in range(20):
        pixels = rng.integers(0, 255, (20, 20), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(root / part / name / f"{index}.bmp")


class Maker:
  """Makes Figure 2 of a task from a cache; what it lacks is counted instead of computed."""

  def __init__(self, folder, capsys, monkeypatch):
    self._folder, self._capsys = folder, capsys
    self._done = []
    monkeypatch.setattr(work, "do_group", lambda cells, *rest: self._done.extend(cells) or [])

  def __call__(self, only_cached=False, **settings):
    """The number of cells that were to be done, and what was said, on the page too."""
    self._done.clear()
    config = Config(**SETTINGS, cache_dir=str(self._folder / "prepared"), **settings)
    request = Request(
      name="figure2",
      tasks=(Task(config.dataset, config),),
      seeds=(0,),
      out=self._folder / "out",
      cache=self._folder / "cache",
      eps=(0.1,),
      only_cached=only_cached,
    )
    page, _ = sweep.run(request)
    return len(self._done), self._capsys.readouterr().out + page.read_text()

  def fill(self, **settings):
    """As if what is lacking had been done."""
    assert self(**settings)[0] == 3
    for cell in self._done:
      cache = Cache(self._folder / "cache", Known(lambda text: None, required=True))
      synthetic.store_evaluation(cache, cell, cell.config.attack_eps[0])
    assert self(**settings)[0] == 0


@pytest.fixture
def make(tmp_path, capsys, monkeypatch):
  return Maker(tmp_path, capsys, monkeypatch)


def test_an_npz_that_was_overwritten_is_not_served_from_the_cache(make, tmp_path):
  file = tmp_path / "own.npz"
  settings = {"dataset": "npz", "data_dir": str(file)}
  write_npz(file, 1)
  make.fill(**settings)
  assert "everything is in the cache" in make(**settings)[1]
  write_npz(file, 2)
  done, said = make(**settings)
  assert done == 3 and "everything is in the cache" not in said
  write_npz(file, 1)
  assert make(**settings)[0] == 0
  # Only the published test part differs: evaluation images would be those that were trained on.
  write_npz(file, 1, np.arange(80) % 4 < 2)
  assert make(**settings)[0] == 3
  write_npz(file, 1, np.arange(80) % 4 > 1)
  make.fill(**settings)
  write_npz(file, 1, np.arange(80) % 4 < 2)
  assert make(**settings)[0] == 3


def test_a_warm_start_is_another_training_than_one_from_scratch(tmp_path, monkeypatch):
  asked = []
  monkeypatch.setattr(inputs, "read_images", lambda config, log: None)

  def identify(config, image_set):
    asked.append(config.init_from)
    return types.SimpleNamespace(identity=f"begun with {config.init_from}")

  monkeypatch.setattr(inputs, "identify", identify)
  known = Known(lambda text: None, required=True)
  configs = [Config(init_from=name) for name in ("", "one", "other", "")]
  assert [known(c) for c in configs] == [f"begun with {n}" for n in ("", "one", "other", "")]
  assert asked == ["", "one", "other"]


def test_a_file_may_move_and_another_of_its_name_is_another(make, tmp_path, monkeypatch):
  for place, value in (("here", 1), ("there", 2)):
    (tmp_path / place).mkdir()
    write_npz(tmp_path / place / "own.npz", value)
  monkeypatch.chdir(tmp_path / "here")
  make.fill(dataset="npz", data_dir="own.npz")
  shutil.copy("own.npz", tmp_path / "moved.npz")
  monkeypatch.chdir(tmp_path / "there")
  assert make(dataset="npz", data_dir="own.npz")[0] == 3
  assert make(dataset="npz", data_dir="../moved.npz")[0] == 0


@pytest.mark.parametrize("linked", [False, True])
def test_scans_that_were_replaced_are_noticed(make, tmp_path, linked):
  settings = {"dataset": "brain_tumor", "task": "glioma", "data_dir": str(tmp_path / "mri")}
  write_images(tmp_path / "real", 1)
  (tmp_path / "mri").mkdir()
  for part in ("Training", "Testing"):
    (tmp_path / "mri" / part).mkdir()
    for name in ("no_tumor", "glioma_tumor"):
      link = tmp_path / "mri" / part / name
      if linked:
        link.symlink_to(tmp_path / "real" / part / name)
      else:
        shutil.copytree(tmp_path / "real" / part / name, link)
  make.fill(**settings)
  write_images(tmp_path / ("real" if linked else "mri"), 2)
  assert make(**settings)[0] == 3


def test_without_the_images_pages_are_made_of_the_cache_and_say_so(make, tmp_path):
  settings = {"dataset": "brain_tumor", "task": "glioma", "data_dir": str(tmp_path / "mri")}
  write_images(tmp_path / "mri", 1)
  make.fill(**settings)
  compared = make(only_cached=True, **settings)
  assert compared[0] == 0 and "can't be read" not in compared[1]
  numbers = (tmp_path / "out" / "numbers.csv").read_text()
  shutil.rmtree(tmp_path / "mri")
  with pytest.raises(UserError, match="not a folder.*--only_cached makes pages"):
    make(**settings)
  (tmp_path / "out" / "numbers.csv").unlink()
  done, said = make(only_cached=True, **settings)
  assert done == 0 and said.count("the images or the model of glioma can't be read") == 2
  assert str(tmp_path) not in (tmp_path / "out" / "README.md").read_text()
  assert (tmp_path / "out" / "numbers.csv").read_text() == numbers
  write_images(tmp_path / "mri", 2)
  done, said = make(only_cached=True, **settings)
  assert "## Cells that are lacking" in said and "seed 0: not in the cache" in said


def test_of_a_users_model_the_source_counts(make, tmp_path, monkeypatch):
  text = (
    "import tensorflow as tf\n\n\ndef build(input_shape, num_classes):\n"
    "  layers = tf.keras.layers\n"
    "  return tf.keras.Sequential([layers.Input(input_shape), layers.Flatten(), WIDE"
    "layers.Dense(num_classes)])\n"
  )
  write_npz(tmp_path / "own.npz", 1)
  settings = {"dataset": "npz", "data_dir": str(tmp_path / "own.npz"), "model": "my_net:build"}
  monkeypatch.syspath_prepend(str(tmp_path))

  def write(wide):
    (tmp_path / "my_net.py").write_text(text.replace("WIDE", wide))
    sys.modules.pop("my_net", None)
    importlib.invalidate_caches()

  write("")
  make.fill(**settings)
  write("layers.Dense(5), ")
  assert make(**settings)[0] == 3
  write("")
  assert make(**settings)[0] == 0
  sys.modules.pop("my_net", None)


def test_images_are_read_once(tmp_path):
  write_npz(tmp_path / "own.npz", 1)
  config = Config(dataset="npz", data_dir=str(tmp_path / "own.npz"))
  known = Known(lambda text: None, required=True)
  first = known(config)
  (tmp_path / "own.npz").unlink()
  assert known(dataclasses.replace(config, seed=3, attack_steps=1)) == first
  with pytest.raises(UserError, match="is not a file"):
    known(dataclasses.replace(config, image_size=8))
