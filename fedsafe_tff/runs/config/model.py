"""Settings of the model."""

import dataclasses

from fedsafe_tff.models.registry import MODELS
from fedsafe_tff.runs.config.setting import setting


def _is_cnn(config: "ModelConfig") -> bool:
  return config.model == "cnn"


def _is_built_in(config: "ModelConfig") -> bool:
  return config.model in MODELS


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
  """Model."""

  model: str = setting(
    "cnn",
    "cnn: the paper's; gn_cnn: its convolutions with GroupNorm and a linear classifier, for "
    "private training; gn_silu_cnn: that with SiLU for ReLU, for training on perturbations; or a "
    "user's own as PATH/file.py:function or package.module:function; "
    "the function takes (input_shape, num_classes) and returns a Keras model that ends in logits.",
  )
  conv_widths: str = setting(
    "narrow",
    "Filters of the six convolutions: narrow (16,16,32,32,64,64), wide "
    "(100,150,200,200,250,250) or six comma-separated numbers.",
    applies=_is_built_in,
    needs=f"--model={' or '.join(MODELS)}",
  )
  dense_widths: str = setting(
    "64,32,16,8",
    "Units of the four hidden dense layers; the fifth makes the logits.",
    applies=_is_cnn,
    needs="--model=cnn",
  )
  dropout: float = setting(
    0.25,
    "Dropout rate before the last layer.",
    low=0.0,
    high=1.0,
    high_open=True,
    applies=_is_cnn,
    needs="--model=cnn",
  )
  init: str = setting(
    "calibrated",
    "Initial weights: he_normal, or those centred and scaled on the server's images, unit by unit, "
    "without which the narrow last layers die at some seeds.",
    choices=("calibrated", "he_normal"),
    applies=_is_cnn,
    needs="--model=cnn",
  )
  init_from: str = setting(
    "",
    "Begin with the weights of a finished run (its folder) or of an .npz of its models/, with the "
    "normalisation that belongs to them, in the place of --init.",
  )
  trainable: str = setting(
    "all",
    "What trains: all weights, or the classifier alone (the last kernel and bias), from its own "
    "beginning, on the layers of --init_from; its classes may be others than there.",
    choices=("all", "classifier"),
  )
  pool_grid: int = setting(
    0,
    "Average the last feature map over a grid of this many cells a side, where the class lies in "
    "texture more than in place; 0: every position reaches the dense layers (the paper).",
    low=0,
    applies=_is_built_in,
    needs=f"--model={' or '.join(MODELS)}",
  )
  test_time_augment: str = setting(
    "",
    "The model answers, and is attacked, by the mean of its logits over all views that these make "
    "of an image: flip, flip_ud, rot90, with commas. Training takes single views.",
  )
  compute_dtype: str = setting(
    "float32",
    "Arithmetic of the layers; weights, logits, loss, clipping and noise are float32 either way. "
    "bfloat16 is faster on processors that have it (AVX512-BF16, AMX) and slower on others.",
    choices=("float32", "bfloat16"),
    applies=_is_cnn,
    needs="--model=cnn",
  )
