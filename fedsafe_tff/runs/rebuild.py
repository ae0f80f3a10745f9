"""The trained model of a run folder, made again without the run's images."""

import dataclasses

from fedsafe_tff.errors import UserError
from fedsafe_tff.models.classifier import classifier_alone
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.models.registry import build_model
from fedsafe_tff.models.views import averaged, parse_views
from fedsafe_tff.runs import saved_models
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.config.config import BEFORE
from fedsafe_tff.runs.report.run_folder import RunFolder
from fedsafe_tff.training import own


@dataclasses.dataclass(frozen=True, eq=False)
class Rebuilt:
  """What a run trained.

  Attributes:
    model: The model with what it froze: predictions are `model.apply(weights, images)`.
    weights: The global model's.
    copies: What each client received.
    class_names: What the logits stand for.
  """

  model: FunctionalModel
  weights: saved_models.Arrays
  copies: list[saved_models.Arrays]
  class_names: tuple[str, ...]


def rebuild(run: RunFolder) -> Rebuilt:
  """Builds the model of a run and gives it the stored weights, all of them.

  Args:
    run: A run folder with `models/`.

  Raises:
    UserError: It has no models, an older version stored what trains alone, or the function that
      made the model makes another one now.
  """
  config = config_of(run, with_defense=False)  # a user's file may be gone, and is not needed
  data = run.manifest.get("data")
  if not data:
    raise UserError(f"{run.path} has no manifest that tells of its images: train the run again")
  stored = saved_models.read(run.path / "models" / "global.npz")
  model = build_model(
    config.model,
    input_shape=tuple(data["shape"]),
    num_classes=len(data["class_names"]),
    conv_widths=config.conv_widths,
    dense_widths=config.dense_widths,
    dropout=config.dropout,
    compute_dtype=config.compute_dtype,
    pool_grid=config.pool_grid,
    seed=config.seed,
  )
  if stored.frozen is None and model.frozen:
    raise UserError(
      f"{run.path} was trained by a version that stored what trains alone: what its model freezes "
      f"({', '.join(name for name, _ in model.frozen)}) is not in it: train the run again"
    )
  if config.trainable == "classifier":
    body = (stored.frozen or ())[len(model.frozen) :]
    model = classifier_alone(model, body)
  model = averaged(model.with_frozen(stored.frozen or ()), parse_views(config.test_time_augment))
  wanted = [tuple(spec.shape) for spec in model.weight_specs()]
  if [weight.shape for weight in stored.weights] != wanted:
    raise UserError(
      f"--model={config.model} makes another model than that of {run.path} now: its weights have "
      f"shapes {wanted}, the stored ones {[weight.shape for weight in stored.weights]}"
    )
  weights, copies = saved_models.load(run.path / "models", config.num_clients)
  return Rebuilt(model, weights, copies, tuple(data["class_names"]))


def config_of(run: RunFolder, with_defense: bool = True) -> Config:
  """The settings of a run; those that this version does not know are left out.

  Where an older version did not know a setting, it has what there was then.

  Args:
    run: The run folder.
    with_defense: Whether a user's own defence is loaded; "none" stands for it otherwise.

  Raises:
    UserError: It can't be loaded.
  """
  stored = dict(run.config)
  if not with_defense and own.is_own(str(stored.get("defense", ""))):
    stored["defense"] = "none"
  names = {field.name for field in dataclasses.fields(Config)}
  return Config(
    **{
      name: tuple(value) if isinstance(value, list) else value
      for name, value in (BEFORE | stored).items()
      if name in names
    }
  )
