import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.registry import build_model
from tests import small
from tests.models import keras_nets

NETS = keras_nets.__name__


def build(name, **keywords):
  return build_model(name, input_shape=small.SHAPE, num_classes=2, **keywords)


def shapes(model):
  return [tuple(spec.shape) for spec in model.weight_specs()]


def test_the_papers_network_by_default():
  model = build("cnn")
  kernels = shapes(model)[::2]
  assert [k[-1] for k in kernels] == [16, 16, 32, 32, 64, 64, 64, 32, 16, 8, 2]
  assert kernels[0] == (3, 3, 1, 16) and kernels[6] == (2 * 2 * 64, 64)
  assert model.input_shape == small.SHAPE and model.num_classes == 2


def test_settings_of_the_cnn_are_passed_on():
  model = build("cnn", conv_widths="1,2,3,4,5,6", dense_widths="9,8,7,6", dropout=0.0)
  assert [k[-1] for k in shapes(model)[::2]] == [1, 2, 3, 4, 5, 6, 9, 8, 7, 6, 2]
  weights, images = model.init(keys.root(0)), tf.fill([1, *small.SHAPE], 0.7)
  quiet = model.apply(weights, images)
  trained = model.apply(weights, images, seed=keys.root(0), training=True)
  assert (quiet == trained).numpy().all()
  shifted = build("cnn", conv_widths="1,2,3,4,5,6", dense_widths="9,8,7,6", mean=(0.7,))
  assert not shifted.apply(weights, images).numpy().any()  # all that is left are zero biases
  assert "bfloat16" in build("cnn", compute_dtype="bfloat16").name


def test_bad_widths_name_their_flag():
  with pytest.raises(UserError, match="--conv_widths=1,2"):
    build("cnn", conv_widths="1,2")
  with pytest.raises(UserError, match="--dense_widths=narrow"):
    build("cnn", dense_widths="narrow")


def test_a_users_keras_model():
  model = build(f"{NETS}:groups")
  assert model.name == f"{NETS}:groups" and shapes(model)[0] == (3, 3, 1, 8)
  logits = model.apply(model.init(keys.root(0)), tf.zeros([3, *small.SHAPE]))
  assert logits.shape == (3, 2)


def test_a_users_functional_model_is_taken_as_it_is():
  assert shapes(build(f"{NETS}:functional")) == shapes(small.model())


@pytest.mark.parametrize(
  "name",
  ["vgg", "", ":groups", "no.such.module:net", f"{NETS}:nothing", f"{NETS}:", ".nets:groups",
   "math:pi", "math:sqrt", "no/such/file.py:net", "net.py"],
)
def test_a_model_that_cannot_be_loaded_is_a_user_error(name):
  with pytest.raises(UserError, match=f"^--model={name} can't be loaded .*package.module:function"):
    build(name)


def test_a_model_that_cannot_be_used_is_named():
  with pytest.raises(UserError, match=f"{NETS}:batch_norm.*GroupNormalization"):
    build(f"{NETS}:batch_norm")


def test_a_users_function_in_a_file(tmp_path):
  (tmp_path / "widths.py").write_text("UNITS = 5\n")
  file = tmp_path / "my net.py"
  file.write_text(
    "import tensorflow as tf\nfrom widths import UNITS\n\n"
    "def net(input_shape, num_classes):\n"
    "  layers = tf.keras.layers\n"
    "  return tf.keras.Sequential([layers.Input(input_shape), layers.Flatten(),\n"
    "    layers.Dense(UNITS), layers.Dense(num_classes, activation=None)])\n"
  )
  model = build(f"{file}:net")
  assert shapes(model) == [(256, 5), (5,), (5, 2), (2,)]
  file.write_text(file.read_text().replace("activation=None", "activation='softmax'"))
  with pytest.raises(UserError, match="net.py:net ends in probabilities.*leave out the last"):
    build(f"{file}:net")
  file.write_text("def net(:\n")
  with pytest.raises(UserError, match="can't be loaded .invalid syntax"):
    build(f"{file}:net")


def test_the_last_network_is_shared_by_those_who_ask_for_the_same():
  images = small.images(12, 0)[0]
  first = build("cnn", calibration=images)
  assert build("cnn", calibration=images.copy()) is first
  others = images.copy()
  others[0, 0, 0, 0] ^= 1
  assert build("cnn", calibration=others) is not first
  assert build("cnn", calibration=images) is not first  # one alone is kept
  assert build("gn_cnn", mean=(0.5,)) is build("gn_cnn", mean=(0.5,))
  assert build("gn_cnn", mean=(0.5,)) is not build("gn_cnn", mean=(0.6,))
