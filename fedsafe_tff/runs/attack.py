"""Puts models that are trained already through a suite: those of a finished run, or of a file."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.data.files import locked, make_folder
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.suites import Suite
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.models.keras_adapter import from_keras
from fedsafe_tff.models.logits import check_logits
from fedsafe_tff.models.views import averaged, parse_views
from fedsafe_tff.runs import alone, earlier, evaluate, run_dir, saved_models
from fedsafe_tff.runs.attackers import evaluation_key
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.load import load_run
from fedsafe_tff.runs.prepare import Prepared, prepare

ASKED = "asked.json"  # in the folder of a file's results: of which file, by which question
KERAS = (".keras", ".h5", ".hdf5")
USES = ("received", "trained")
Log = Callable[[str], None]
Weights = Sequence[np.ndarray]


def attack_run(
  folder: str | pathlib.Path,
  settings: dict,
  *,
  clients_use: str = "received",
  suite: Suite | None = None,
  masking: bool = True,
  log: Log,
  **moved: str,
) -> pathlib.Path:
  """Evaluates a finished run again, without training.

  Args:
    folder: The run folder; what comes of it goes into `attacks/` there, attack by attack: a session
      that is stopped goes on.
    settings: Those of the evaluation, such as `evaluation` and `attack_eps`.
    clients_use: "received" for the copies that clients received, "trained" for what each makes of
      its own by local training.
    suite: What somebody chose in the place of the suite of `settings`.
    masking: Whether it is asked too if robustness is only hidden.
    log: Is told of each attack.
    **moved: Settings of where things lie now, such as `data_dir`.

  Returns:
    The folder of the results.

  Raises:
    UserError: It is no run folder, has no models, its images have changed, or settings that don't
      fit it.
  """
  loaded = load_run(folder, **moved)
  config = changed(loaded.config, settings)
  # As it was trained, with what it froze.
  prepared = dataclasses.replace(loaded.prepared, model=loaded.model)
  copies, received, name = loaded.copies, None, folder_of(config, suite)
  if images := settings.get("attack_images"):  # a question of its own: results of another stay
    name += f"-{images}-images"
  if clients_use == "trained":
    received = copies
    copies, name = _trained(config, prepared, copies), f"{name}-trained"
  path = loaded.folder.path
  config = _with_sizes_before(config, path / "attacks" / name, loaded.folder.again.get(name), suite)
  sigma = loaded.folder.manifest.get("noise", {}).get("downlink_sigma", 0.0)
  seed = loaded.folder.manifest.get("seeds", {}).get("noise_seed")
  history = saved_models.history(path / "models")
  taken = f"another process works in {path}: wait for its end"
  with locked(path / run_dir.LOCK, taken):
    evaluate.evaluate(
      config,
      prepared,
      loaded.weights,
      copies,
      path / "attacks" / name,
      log,
      sigma=sigma,
      history=list(history.values()),
      rounds=earlier.copies(config, prepared, history, noise_seed=seed, sigma=sigma),
      received=received,
      keep=True,
      suite=suite,
      masking=masking,
      surrogates=path / evaluate.SURROGATES,
    )
  return path / "attacks" / name


def _with_sizes_before(
  config: Config, folder: pathlib.Path, before: dict | None, suite: Suite | None
) -> Config:
  """With the sizes that were attacked here before, whose results are kept: none is lost."""
  own = suite is not None and any(trial.sizes for trial in suite.trials)
  if own or not before or not (folder / "by_image").is_dir():
    return config
  sizes = {*config.attack_eps, *(row["eps"] for row in before.get("results", []))}
  return dataclasses.replace(config, attack_eps=tuple(sorted(sizes)))


def folder_of(config: Config, suite: Suite | None) -> str:
  """Where results go below `attacks/`: chosen attacks each into a folder of their own."""
  if suite is None:
    return config.evaluation
  told = [repr(trial) for trial in suite.trials]
  return f"{suite.name}-{hashlib.sha256(chr(10).join(told).encode()).hexdigest()[:8]}"


def digest_of(file: pathlib.Path, config: Config) -> str:
  """What tells a model's file from others of its name, and its images and clients from others.

  Raises:
    UserError: There is none.
  """
  if not file.is_file():
    raise UserError(f"{file} is no run folder and no file of a model")
  asked = config.without_attacks().identity() | {"data_dir": config.data_dir}
  told = json.dumps(asked, sort_keys=True).encode()
  return hashlib.sha256(file.read_bytes() + told).hexdigest()[:8]


def attack_file(
  file: pathlib.Path, config: Config, out: pathlib.Path, log: Log, suite: Suite | None = None
) -> pathlib.Path:
  """Evaluates one model, which all clients hold, on the images of a configuration.

  Args:
    file: `.npz` of weights as run folders hold them, of the model that the configuration names; or
      a Keras model.
    config: Which images, how many clients, and which evaluation.
    out: Folder of the results.
    log: Is told of each attack.
    suite: What somebody chose in the place of the suite that the configuration names.

  Returns:
    `out`.

  Raises:
    UserError: It can't be read, or is no model of these images.
  """
  if not file.is_file():
    raise UserError(f"{file} is no run folder and no file of a model")
  prepared = prepare(config, log)
  shape, classes = prepared.image_set.image_shape, len(prepared.image_set.class_names)
  if file.suffix in KERAS:
    model = averaged(_keras(file, shape, classes), parse_views(config.test_time_augment))
    weights = tuple(np.asarray(w) for w in model.init(keys.root(0)))
  else:
    model, weights = _npz(file, prepared.model)
  # A Keras file draws no weights: an attacker without a copy trains the configuration's network.
  network = prepared.model if file.suffix in KERAS else None
  prepared = dataclasses.replace(prepared, model=model)
  copies = [weights] * config.num_clients
  make_folder(out, "give another --out")
  with locked(out / run_dir.LOCK, f"another process works in {out}: wait for its end"):
    _check_asked(out, file, config, suite)
    config = _with_sizes_before(config, out, _stored(out / "evaluation.json"), suite)
    evaluate.evaluate(
      config, prepared, weights, copies, out, log, keep=True, suite=suite, network=network
    )
  return out


def _check_asked(
  out: pathlib.Path, file: pathlib.Path, config: Config, suite: Suite | None
) -> None:
  """Refuses to lay results over those of another file, other images or another suite."""
  words = {
    "digest": "of another model, or of other images or clients",
    "suite": "of another suite or of other attacks",
    "attack_images": "of another --attack_images",
  }
  digest = digest_of(file, config)
  asked = dict(zip(words, (digest, folder_of(config, suite), config.attack_images)))
  before = _stored(out / ASKED) or asked
  for name, other in words.items():
    if before.get(name) != asked[name]:
      raise UserError(f"{out} holds results {other}: give another --out")
  run_dir.write_json(out / ASKED, {"file": file.name} | asked)


def _stored(file: pathlib.Path) -> dict | None:
  try:
    return json.loads(file.read_bytes())
  except (OSError, ValueError):
    return None


def changed(config: Config, settings: dict) -> Config:
  """The run's settings with another evaluation.

  Raises:
    UserError: A value out of range.
  """
  plain = dataclasses.replace(
    config.without_attacks(),
    attack_colluders=config.attack_colluders,
    attack_clients=config.attack_clients,
    attack_labels=config.attack_labels,
    evaluation_batch_size=config.evaluation_batch_size,
  )
  return dataclasses.replace(plain, **settings).normalized()


def _trained(config: Config, prepared: Prepared, copies: Sequence[Weights]) -> list[Weights]:
  train, key = alone.local_update(config, prepared), evaluation_key(config)
  made = [
    train(client, copy, keys.fold(key, keys.CLIENT_STREAM, client))
    for client, copy in enumerate(copies)
  ]
  return [tuple(np.asarray(weight) for weight in weights) for weights in made]


def _npz(file: pathlib.Path, model: FunctionalModel) -> tuple[FunctionalModel, Weights]:
  stored = saved_models.read(file)
  model = model.with_frozen(stored.frozen or ()) if stored.frozen is not None else model
  wanted = [tuple(spec.shape) for spec in model.weight_specs()]
  found = [tuple(weight.shape) for weight in stored.weights]
  if found != wanted:
    raise UserError(
      f"{file} is no model {model.name} of these images: its weights have shapes {found}, and "
      f"{wanted} are needed: give --model and its settings as it was trained"
    )
  return model, stored.weights


def _keras(file: pathlib.Path, shape: tuple[int, int, int], classes: int) -> FunctionalModel:
  try:
    model = tf.keras.models.load_model(file, compile=False)
  except Exception as error:
    said = " ".join(str(error).split())[:200] or type(error).__name__
    raise UserError(f"{file} can't be read as a Keras model ({said})") from None
  takes = tuple(model.input_shape[1:]) if isinstance(model.input_shape, tuple) else None
  if takes is None or any(t not in (None, s) for t, s in zip(takes, shape)) or len(takes) != 3:
    raise UserError(
      f"{file} takes images of shape {takes}, and these have {shape}: give --image_size or other "
      "images"
    )
  made = from_keras(lambda *_: model, input_shape=shape, num_classes=classes, name=file.name)
  check_logits(made)
  return made
