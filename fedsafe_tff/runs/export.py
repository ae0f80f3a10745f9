"""A run's model as a SavedModel that is whole, for whoever has TensorFlow and not this package.

  model = tf.saved_model.load(FOLDER)
  model(images)                logits, float32 [n, classes]
  model.probabilities(images)  their softmax
  model.class_names            names of the labels 0, 1, ...

Images are uint8, or float32 in [0, 1], [n, height, width, channels]. The signatures are told by the
type: `serving_default` takes float32, `uint8` takes uint8. How the training read image files stands
in `assets.extra/fedsafe.json`, by which `runs.predict` reads others.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff.data import loading, sums
from fedsafe_tff.data.chunk import SINGLE
from fedsafe_tff.data.files import atomic_folder
from fedsafe_tff.data.formats.frame import Reading
from fedsafe_tff.data.shards import client_name
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.runs.inputs import data_spec
from fedsafe_tff.runs.plain import plain
from fedsafe_tff.runs.rebuild import config_of, rebuild
from fedsafe_tff.runs.report.run_folder import RunFolder

FACTS = pathlib.PurePath("assets.extra", "fedsafe.json")
GLOBAL = "global"
_FORMAT = 1
_DISCLAIMER = "Research software: no medical device, not for diagnosis or treatment."


@dataclasses.dataclass(frozen=True)
class Facts:
  """What must be known of a model to use it on files.

  Attributes:
    model: "global" or a client's name.
    class_names: Names of the labels 0, 1, ...
    input_shape: (height, width, channels) of an image.
    reading: How files are read.
    window: Lowest and highest value that is shown of single images of more than 8 bits, as in
      training; None where the training had no such images.
    resampling: How the training's images were resized, as `decode_files` takes it.
  """

  model: str
  class_names: tuple[str, ...]
  input_shape: tuple[int, int, int]
  reading: Reading
  window: tuple[float, float] | None
  resampling: str = "bilinear"  # what was exported before it was told read all files so


class Labeller(tf.Module):
  """A model with its weights: from images to logits and probabilities."""

  def __init__(
    self, model: FunctionalModel, weights: Sequence[np.ndarray], class_names: Sequence[str]
  ):
    super().__init__(name="fedsafe")
    self._apply = model.apply
    self.weights = tuple(tf.Variable(weight, trainable=False) for weight in weights)
    self.class_names = tf.Variable(list(class_names), trainable=False)
    shape = [None, *model.input_shape]
    self.specs = {
      "serving_default": tf.TensorSpec(shape, tf.float32, "images"),
      "uint8": tf.TensorSpec(shape, tf.uint8, "images"),
    }

  @tf.function
  def __call__(self, images: tf.Tensor) -> tf.Tensor:
    """Logits, float32 [n, classes], of images, uint8 or float32 in [0, 1]."""
    if images.dtype == tf.uint8:
      images = tf.cast(images, tf.float32) / 255.0  # the same operation as in training
    return self._apply(self.weights, images)

  @tf.function
  def probabilities(self, images: tf.Tensor) -> tf.Tensor:
    """Probabilities, float32 [n, classes], of images, uint8 or float32 in [0, 1]."""
    return tf.nn.softmax(self(images))

  @tf.function
  def both(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """What a signature returns."""
    logits = self(images)
    return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

  def save(self, folder: pathlib.Path) -> None:
    """Writes the SavedModel."""
    for spec in self.specs.values():
      self.probabilities.get_concrete_function(spec)
    signatures = {name: self.both.get_concrete_function(s) for name, s in self.specs.items()}
    tf.saved_model.save(self, str(folder), signatures=signatures)


def model_of(path: pathlib.Path, client: int | None = None) -> tuple[Labeller, Facts]:
  """The model of a run folder.

  Args:
    path: The run folder.
    client: Whose copy, from 0, as that client received it; None is the global model.

  Raises:
    UserError: It is no run folder, has no models, or no such client.
  """
  run = RunFolder.read(path)
  rebuilt = rebuild(run)
  if client is not None and not 0 <= client < len(rebuilt.copies):
    raise UserError(
      f"--client={client} is unknown: the clients of {path} are 0 to {len(rebuilt.copies) - 1}"
    )
  weights = rebuilt.weights if client is None else rebuilt.copies[client]
  windows = (run.manifest["data"].get("inventory") or {}).get("windows", {})
  spec = data_spec(config_of(run))
  facts = Facts(
    model=GLOBAL if client is None else client_name(client),
    class_names=rebuilt.class_names,
    input_shape=tuple(rebuilt.model.input_shape),
    reading=spec.reading,
    window=tuple(windows[SINGLE]) if SINGLE in windows else None,
    resampling=loading.resampling(spec),
  )
  return Labeller(rebuilt.model, weights, rebuilt.class_names), facts


def export(path: pathlib.Path, client: int | None, out: pathlib.Path | None) -> pathlib.Path:
  """Writes the model of a run folder as a SavedModel; returns its folder.

  Args:
    path: The run folder.
    client: As `model_of` takes it.
    out: A folder that is not there yet; None is `export/NAME` in the run folder.

  Raises:
    UserError: As `model_of`, or `out` is there already or can't be written.
  """
  labeller, facts = model_of(path, client)
  out = out or path / "export" / facts.model
  if out.exists():
    raise UserError(f"{out} is there already: remove it, or give another --out")
  with atomic_folder(out) as temporary:
    try:
      labeller.save(temporary)
    except tf.errors.OpError as error:  # how TensorFlow tells of a full disk
      raise OSError(" ".join(str(error).split())) from None
    (temporary / FACTS).parent.mkdir()
    told = {"format": _FORMAT, "notice": _DISCLAIMER, **dataclasses.asdict(facts)}
    (temporary / FACTS).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
  return out


def load(path: pathlib.Path) -> tuple[tf.Module, Facts]:
  """What `export` wrote.

  Raises:
    UserError: It wrote something else, or not this version.
  """
  sums.check_tree(path)
  try:
    told = json.loads((path / FACTS).read_text(encoding="utf-8"))
    if told.pop("format") != _FORMAT:
      raise UserError(f"{path} was exported by another version of fedsafe: export the run again")
    facts = Facts(
      model=told["model"],
      class_names=tuple(told["class_names"]),
      input_shape=tuple(told["input_shape"]),
      reading=Reading(**told["reading"]),
      window=told["window"] and tuple(told["window"]),
      resampling=told.get("resampling", Facts.resampling),
    )
    with plain(path) as name:
      model = tf.saved_model.load(name)
    _, named = model.signatures["serving_default"].structured_input_signature
    names = [name.decode() for name in model.class_names.numpy()]
    classes = model.signatures["serving_default"].structured_outputs["logits"].shape[1]
  except (OSError, ValueError, KeyError, TypeError, AttributeError, tf.errors.OpError) as error:
    said = " ".join(str(error).split())[:200] or type(error).__name__
    raise UserError(f"{path} can't be loaded ({said}): export the run again") from None
  shape = tuple(named["images"].shape[1:])
  if shape != facts.input_shape or names != list(facts.class_names) or classes != len(names):
    raise UserError(
      f"{path} holds a model of images {shape} and {classes} classes, but {FACTS} tells of "
      f"{facts.input_shape} and {len(facts.class_names)}: export the run again"
    )
  return model, facts


def open_model(path: pathlib.Path, client: int | None = None) -> tuple[tf.Module, Facts]:
  """The model of a run folder, or what `export` wrote.

  Raises:
    UserError: It is neither, or as `model_of` and `load`.
  """
  if (path / "config.json").is_file():
    return model_of(path, client)
  if not (path / FACTS).is_file():
    raise UserError(
      f"{path} is neither a run folder nor what `fedsafe export` wrote: give one of them"
    )
  if client is not None:
    raise UserError(f"--client={client} has no effect: {path} is one model, not a run folder")
  return load(path)
