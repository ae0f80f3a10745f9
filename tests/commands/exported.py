"""A run folder with models, made without training, for tests of export and predict."""

import pathlib

import numpy as np
import PIL.Image

from fedsafe_tff import keys
from fedsafe_tff.runs import run_dir, saved_models
from fedsafe_tff.runs.facts import manifest_facts
from fedsafe_tff.runs.noise import Noise
from fedsafe_tff.runs.prepare import prepare
from tests.runs import tiny

SHAPE = (20, 16)  # of the files; the model takes 12 x 12


def write_images(folder: pathlib.Path) -> None:
  """Gray PNG files of two classes, half of them of 16 bits."""
  rng = np.random.default_rng(0)
  for label in ("=healthy", "ill"):
    (folder / label).mkdir(parents=True)
    for number in range(16):
      values = rng.integers(0, 256, SHAPE, np.uint8)
      if number % 2:
        values = (values.astype(np.uint16) + 7) * 100
      PIL.Image.fromarray(values).save(folder / label / f"{number}.png")


def write_run(folder: pathlib.Path, **changes) -> pathlib.Path:
  """A run folder on the images in `folder`/images; every client's copy is another model."""
  data = folder / "images"
  if not data.exists():
    write_images(data)
  settings = {"dataset": "image_folder", "data_dir": data, "image_size": 12, "rounds": 1}
  settings |= {"min_client_images": 1, "defense": "noise_only", "partition": "iid"} | changes
  words = tiny.arguments(folder, **settings)
  from fedsafe_tff.runs.flags import command_line

  idle = ("--num_images", "--adaptation_epochs")
  config = command_line.parse([word for word in words if not word.startswith(idle)])
  prepared = prepare(config)
  path = pathlib.Path(config.run_dir)
  weights = [w.numpy() for w in prepared.model.init(keys.root(0))]
  rng = np.random.default_rng(1)
  made = [
    [(w + rng.normal(0, 0.3, w.shape)).astype(np.float32) for w in weights] for _ in range(4)
  ]
  saved_models.save(path / "models", made[0], made[1:], prepared.model)
  run_dir.write_json(path / "config.json", config.as_dict())
  run_dir.write_manifest(path, **manifest_facts(config, prepared, Noise.from_config(config, 5)))
  return path
