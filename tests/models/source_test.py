import importlib
import sys

import numpy as np
import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.models import registry, source

SHAPE = (4, 4, 1)
NET = """
import tensorflow as tf
from own_parts import layers
from . import width


def build(input_shape, num_classes):
  import late_part  # imported when it is called

  return tf.keras.Sequential(
    [tf.keras.layers.Input(input_shape), *layers.stem(width.UNITS), late_part.head(num_classes)]
  )
"""
FILES = {
  "own_net/__init__.py": "",
  "own_net/net.py": NET,
  "own_net/width.py": "UNITS = 3\n",
  "own_parts/__init__.py": "",
  "own_parts/layers.py": (
    "import tensorflow as tf\n\n\ndef stem(units):\n"
    "  return [tf.keras.layers.Flatten(), tf.keras.layers.Dense(units)]\n"
  ),
  "late_part.py": (
    "import tensorflow as tf\n\n\ndef head(units):\n  return tf.keras.layers.Dense(units)\n"
  ),
  "unrelated.py": "",
}
PRETRAINED = """
import numpy as np
import tensorflow as tf

FILE = {file!r}


def build(input_shape, num_classes):
  stem = tf.keras.layers.Dense(2, trainable={trainable}, use_bias=False)
  model = tf.keras.Sequential(
    [tf.keras.layers.Input(input_shape), tf.keras.layers.Flatten(), stem,
     tf.keras.layers.Dense(num_classes, name=f"head{{np.random.default_rng().integers(9)}}")]
  )
  stem.set_weights([np.load(FILE)])
  return model
"""


def write(folder, files):
  for name, text in files.items():
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


@pytest.fixture
def fingerprint(monkeypatch):
  """From a folder to the fingerprint of what lies there, as a process that starts there has it."""

  def take(folder, name="own_net.net:build"):
    with monkeypatch.context() as patch:
      patch.syspath_prepend(str(folder))
      for module in list(sys.modules):
        if module.split(".")[0] in ("own_net", "own_parts", "late_part", "weights_net"):
          patch.delitem(sys.modules, module)
      importlib.invalidate_caches()
      made = source.fingerprint(name, input_shape=SHAPE, num_classes=2)
      for module in list(sys.modules):
        if module.split(".")[0] in ("own_net", "own_parts", "late_part", "weights_net"):
          del sys.modules[module]
    return made

  return take


def test_the_models_of_this_package_have_none():
  assert source.fingerprint("cnn", input_shape=SHAPE, num_classes=2) == ""


def test_a_model_that_others_registered_is_told_by_its_source(monkeypatch):
  monkeypatch.setitem(registry.MODELS, "mine", lambda **settings: None)
  assert len(source.fingerprint("mine", input_shape=SHAPE, num_classes=2)) == 64


def test_the_same_source_elsewhere_is_the_same_model(fingerprint, tmp_path):
  for place in ("here", "there"):
    write(tmp_path / place, FILES)
  first = fingerprint(tmp_path / "here")
  assert len(first) == 64 and first == fingerprint(tmp_path / "there")


def test_whatever_the_module_imports_of_the_users_is_a_part_of_it(fingerprint, tmp_path):
  write(tmp_path, FILES)
  found = [fingerprint(tmp_path)]
  for name in FILES:
    (tmp_path / name).write_text(FILES[name] + "\n# another version\n")
    found.append(fingerprint(tmp_path))
  changed = [name for name, *pair in zip(FILES, found, found[1:]) if pair[0] != pair[1]]
  assert changed == [name for name in FILES if name != "unrelated.py"]


def test_a_file_is_told_by_what_is_in_it(fingerprint, tmp_path):
  text = FILES["late_part.py"].replace("def head(units)", "def build(input_shape, units)")
  text = text.replace("return tf.keras.layers.Dense(units)", (
    "return tf.keras.Sequential([tf.keras.layers.Input(input_shape), tf.keras.layers.Flatten(), "
    "tf.keras.layers.Dense(units)])"
  ))  # fmt: skip
  for place in ("here", "there"):
    write(tmp_path / place, {"net.py": text})
  here, there = (
    fingerprint(tmp_path, f"{tmp_path / place}/net.py:build") for place in ("here", "there")
  )
  assert here == there
  write(tmp_path / "there", {"net.py": text + "# another\n"})
  assert fingerprint(tmp_path, f"{tmp_path}/there/net.py:build") != here


@pytest.mark.parametrize("trainable", [True, False])
def test_weights_that_come_with_it_are_and_drawn_ones_are_not(fingerprint, tmp_path, trainable):
  file = tmp_path / "stem.npy"
  write(tmp_path, {"weights_net.py": PRETRAINED.format(file=str(file), trainable=trainable)})
  np.save(file, np.ones((16, 2), np.float32))
  first, again = (fingerprint(tmp_path, "weights_net:build") for _ in range(2))
  assert first == again  # the head is drawn, another one for each seed
  np.save(file, np.full((16, 2), 2.0, np.float32))
  assert fingerprint(tmp_path, "weights_net:build") != first


def test_a_functional_model_of_the_users(fingerprint):
  name = "tests.models.keras_nets:functional"
  first = source.fingerprint(name, input_shape=(16, 16, 1), num_classes=2)
  assert first and first == source.fingerprint(name, input_shape=(16, 16, 1), num_classes=2)
  other = "tests.models.keras_nets:groups"
  assert source.fingerprint(other, input_shape=(16, 16, 1), num_classes=2) != first


def test_layers_are_named_as_if_no_model_was_made_before():
  name = "tests.models.keras_nets:groups"
  names = []
  for seed in range(2):
    made = registry.call_function(registry.load_function(name)[1], SHAPE, 2, seed)
    names.append([layer.name for layer in made.layers])
  assert names[0] == names[1] and names[0][-1] == "dense"


def test_a_model_that_cannot_be_found():
  with pytest.raises(UserError, match="can't be loaded"):
    source.fingerprint("no_such.module:build", input_shape=SHAPE, num_classes=2)
