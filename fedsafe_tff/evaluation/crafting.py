"""Makes adversarial images of a whole set, in batches, with what an attacker holds."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attackers.holding import Holding
from fedsafe_tff.attacks.craft import Crafted, craft_counted
from fedsafe_tff.attacks.ensemble import Ensemble, Redraw
from fedsafe_tff.attacks.registry import ACCESS, ATTACKS
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.accuracy import to_float
from fedsafe_tff.models.functional import FunctionalModel


class Crafter:
  """Every kind of attack is compiled once for a model; sizes, weights and keys are arguments."""

  def __init__(
    self,
    model: FunctionalModel,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    key: tf.Tensor,
    batch_size: int = 64,
  ):
    """Prepares the images.

    Args:
      model: The victims' model.
      images: uint8 [n, h, w, c], or float32 in [0, 1].
      labels: int32 [n].
      key: int64 [2], for whatever attacks draw.
      batch_size: Images at a time.
    """
    self._model = model
    self._images = images
    self._labels = np.asarray(labels, np.int32)
    self._key = key
    self._batch_size = batch_size

  def craft(
    self, held: Holding, spec: AttackSpec, rows: np.ndarray | None = None
  ) -> tuple[np.ndarray, np.ndarray | None]:
    """Attacks images.

    Args:
      held: The models.
      spec: The attack.
      rows: Which of them, int [n]; None for all. They are packed into full batches, so that what is
        drawn for an image depends on which others are attacked.

    Returns:
      float32 [n, h, w, c] in [0, 1], and queries, int32 [n], or None where none are counted.

    Raises:
      UserError: The attack needs to see more of the models than the attacker does, or the weights
        are not the model's.
    """
    model = held.model or self._model
    _refuse_what_does_not_fit(held, spec, model)
    attack = self._eager(model, held, spec) if spec.from_art else self._graph(model, held, spec)
    images, labels = self._images, self._labels
    if rows is not None:
      images, labels = images[rows], labels[rows]
    parts = [
      attack(
        to_float(images[batch]),
        tf.constant(labels[batch]),
        keys.fold(self._key, keys.EVALUATION, held.stream, batch.start),
      )
      for batch in _batches(len(images), self._batch_size)
    ]
    images = np.concatenate([part.images.numpy() for part in parts])
    if held.access == "gradients" or parts[0].queries is None:
      return images, None
    return images, np.concatenate([part.queries.numpy() for part in parts])

  def _graph(self, model, held: Holding, spec: AttackSpec) -> Callable[..., Crafted]:
    """One graph per kind of attack and model; eps, step and steps are arguments of it."""
    any_steps = ATTACKS[spec.name].any_steps
    kind = dataclasses.replace(spec, eps=0.0, step_size=0.0)
    if any_steps:
      kind = dataclasses.replace(kind, steps=1)
    single = len(held.models) == 1 and held.redraw is None
    redraw, draws = held.redraw, held.draws

    def attack(weights, x, y, eps, step_size, steps, key) -> Crafted:
      given = {"eps": eps, "step_size": step_size, "steps": steps if any_steps else None}
      return craft_counted(_models(model, weights, single, redraw, draws), x, y, kind, key, **given)

    specs = model.weight_specs()
    if not single:
      specs = tuple(tf.TensorSpec([None, *s.shape], s.dtype) for s in specs)
    compiled = model.compiled(
      ("attack", kind, single or (redraw, draws)),
      attack,
      [
        specs,
        tf.TensorSpec([None, *model.input_shape], tf.float32),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([], tf.float32),
        tf.TensorSpec([], tf.float32),
        tf.TensorSpec([], tf.int32),
        keys.SPEC,
      ],
    )
    weights = _only(held.models) if single else _stacked(held.models)
    numbers = (
      tf.constant(spec.eps, tf.float32),
      tf.constant(spec.effective_step_size, tf.float32),
      tf.constant(spec.steps, tf.int32),
    )
    return lambda x, y, key: compiled(weights, x, y, *numbers, key)

  def _eager(self, model, held: Holding, spec: AttackSpec) -> Callable[..., Crafted]:
    if len(held.models) == 1 and held.redraw is None:
      logits = model.compiled_logits()
      weights = _only(held.models)

      def models(images):
        return logits(weights, images)
    else:
      models = _models(model, _stacked(held.models), False, held.redraw, held.draws)
    return lambda x, y, key: craft_counted(models, x, y, spec, key, access=held.access)


def _batches(count: int, size: int) -> list[slice]:
  return [slice(start, start + size) for start in range(0, count, size)]


def _models(model: FunctionalModel, weights, single: bool, redraw: Redraw | None, draws: int):
  """What an attack climbs: a logits function, or several models as one."""
  if single:
    return lambda images: model.apply(weights, images)
  return Ensemble(
    lambda weights, images: model.apply(weights, images),
    weights,
    model.num_classes,
    redraw,
    draws if redraw is not None else 1,
  )


def _only(models: Sequence) -> tuple[tf.Tensor, ...]:
  return tuple(tf.convert_to_tensor(weight) for weight in models[0])


def _stacked(models: Sequence) -> tuple[tf.Tensor, ...]:
  return tuple(tf.stack(list(tensors)) for tensors in zip(*models))


def check_access(spec: AttackSpec, access: str) -> None:
  """Refuses an attack that needs to see more of a model; ART's say so themselves.

  Args:
    spec: The attack.
    access: What there is to see, one of `registry.ACCESS`.

  Raises:
    UserError: It needs more.
  """
  if spec.from_art:
    return
  needs = ATTACKS[spec.name].needs
  if ACCESS.index(needs) < ACCESS.index(access):
    raise UserError(
      f"attack {spec.name} needs {needs}, but a black box tells {access} alone: choose "
      f"{'square, ' if access == 'scores' else ''}art:HopSkipJump or art:BoundaryAttack"
    )


def _refuse_what_does_not_fit(held: Holding, spec: AttackSpec, model: FunctionalModel) -> None:
  check_access(spec, held.access)
  specs = model.weight_specs()
  for weights in held.models:
    shapes = [tuple(w.shape) for w in weights]
    if shapes != [tuple(s.shape) for s in specs]:
      raise UserError(
        f"weights of shapes {shapes} are not those of model {model.name}: "
        f"{[tuple(s.shape) for s in specs]} are needed"
      )
