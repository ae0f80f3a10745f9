"""A model of which the classifier alone trains; what comes before it is frozen.

Fewer weights carry less noise in private training, and an image's gradient costs little.
"""

from collections.abc import Sequence

import numpy as np

from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel, Weights

_LAST = 2  # kernel and bias


def classifier_specs(model: FunctionalModel) -> tuple:
  """Specs of the classifier's kernel and bias.

  Raises:
    UserError: The model does not end in them.
  """
  specs = model.weight_specs()
  shapes = [spec.shape.as_list() for spec in specs[-_LAST:]]
  if len(specs) <= _LAST or shapes[-1] != [model.num_classes] or shapes[0][1:] != shapes[-1]:
    raise UserError(
      f"--trainable=classifier: {model.name} does not end in a kernel [units, "
      f"{model.num_classes}] and a bias [{model.num_classes}] behind other layers"
    )
  return specs[-_LAST:]


def classifier_alone(model: FunctionalModel, body: Sequence[np.ndarray]) -> FunctionalModel:
  """The model with its classifier as the only weights.

  Args:
    model: Ends in a kernel and a bias, in the order of `init`.
    body: The other weights, which become frozen, in the order of `init`.

  Raises:
    UserError: The model does not end so, or `body` is of another one.
  """
  classifier_specs(model)
  wanted = [tuple(spec.shape) for spec in model.weight_specs()[:-_LAST]]
  body = tuple(np.asarray(value, np.float32) for value in body)
  if [value.shape for value in body] != wanted:
    raise UserError(
      f"--trainable=classifier: {model.name} has weights of shapes {wanted} before its classifier, "
      f"not {[value.shape for value in body]}"
    )
  names = model.weight_names or tuple(f"weight_{n}" for n in range(len(wanted) + _LAST))
  own = len(model.frozen)

  def init(key) -> Weights:
    return model.init(key)[-_LAST:]

  def apply(weights, images, key, training):
    return model.apply_fn((*body, *weights), images, key, training)

  def with_frozen(values: Sequence[np.ndarray]) -> FunctionalModel:
    return classifier_alone(model.with_frozen(values[:own]), values[own:])

  return FunctionalModel(
    name=f"{model.name}, classifier alone",
    input_shape=model.input_shape,
    num_classes=model.num_classes,
    init_fn=init,
    apply_fn=apply,
    weight_names=names[-_LAST:],
    frozen=(*model.frozen, *zip(names[:-_LAST], body)),
    with_frozen_fn=with_frozen,
    losses_fn=model.losses_fn,
    input_spec=model.input_spec,
  )
