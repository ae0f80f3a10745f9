"""The one form of a model that local training, attacks, the server and evaluation share."""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError

Weights = tuple[tf.Tensor, ...]


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
  """Cross-entropy of each image, float32 [n]."""
  return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


@dataclasses.dataclass(frozen=True, eq=False)
class FunctionalModel:
  """A model as two pure functions; it holds no variables.

  Attributes:
    name: A short name, for manifests.
    input_shape: (height, width, channels) of an image.
    num_classes: Number of classes, the last dimension of the logits.
    init_fn: Key (int64 [2]) to weights, a tuple of float32 tensors.
    apply_fn: (weights, images, key or None, training) to logits. Both functions are traced as they
      are, without AutoGraph: no Python branch or loop over a tensor, but `tf.cond`, `tf.while_loop`
      or a `tf.function` of their own. Keras models may have them.
    weight_names: A name per tensor of `init`, for files; empty where nobody gave any.
    frozen: Name and value of what training never changes, such as frozen layers and the
      normalisation of the images: with the weights they are all that predictions depend on.
    with_frozen_fn: From values in the place of `frozen`, in its order, to that model; None where
      nothing is frozen.
    losses_fn: (logits, labels) to a loss per image or their mean, which training lowers; None is
      cross-entropy.
    input_spec: (x, y) of a batch as `tf.TensorSpec`s, as TFF has them; None is float32 images and
      int32 labels.
    single_view: The model that sees one view of an image where this one averages over several (see
      `models.views`); None where this one does.
  """

  name: str
  input_shape: tuple[int, int, int]
  num_classes: int
  init_fn: Callable[[tf.Tensor], Weights]
  apply_fn: Callable[[Sequence[tf.Tensor], tf.Tensor, tf.Tensor | None, bool], tf.Tensor]
  weight_names: tuple[str, ...] = ()
  frozen: tuple[tuple[str, np.ndarray], ...] = ()
  with_frozen_fn: Callable[[Sequence[np.ndarray]], "FunctionalModel"] | None = None
  losses_fn: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None
  input_spec: Any = None
  single_view: "FunctionalModel | None" = None

  @property
  def in_training(self) -> "FunctionalModel":
    """What training follows gradients of: this model on single views."""
    return self.single_view or self

  def init(self, key: tf.Tensor) -> Weights:
    """Draws initial weights from `key`, int64 [2]."""
    return tuple(self.init_fn(key))

  def apply(
    self,
    weights: Sequence[tf.Tensor],
    images: tf.Tensor,
    *,
    seed: tf.Tensor | None = None,
    training: bool = False,
  ) -> tf.Tensor:
    """Computes logits, float32 [n, num_classes].

    Args:
      weights: As `init` returns them.
      images: float32 [n, height, width, channels] in [0, 1]; normalisation happens inside.
      seed: Key of the dropout masks, int64 [2]; needed when `training`.
      training: Whether dropout is on. Attacks and evaluation leave it off.
    """
    if training and seed is None:
      raise ValueError("a training pass needs a key for its dropout masks")
    return self.apply_fn(weights, images, seed, training)

  def with_frozen(self, values: Sequence[np.ndarray]) -> "FunctionalModel":
    """The same model with `values` in the place of `frozen`, in its order; names don't count.

    Raises:
      UserError: They are of other shapes or types than what is frozen here.
    """
    mine = [value for _, value in self.frozen]
    if [(v.shape, v.dtype) for v in mine] != [(v.shape, v.dtype) for v in values]:
      raise UserError(
        f"{self.name} freezes arrays of shapes {[v.shape for v in mine]}, but those that were "
        f"stored have {[v.shape for v in values]}: it is another model now"
      )
    if all(np.array_equal(*pair) for pair in zip(mine, values)):
      return self
    return self.with_frozen_fn(values)

  def batch_spec(self) -> Any:
    """What a batch of a client's data set looks like: (x, y), or a mapping of them."""
    if self.input_spec is not None:
      return self.input_spec
    return tf.TensorSpec([None, *self.input_shape]), tf.TensorSpec([None], tf.int32)

  def losses(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The loss in training, float32 [n] or the mean, from logits and labels (int32 [n])."""
    return (self.losses_fn or cross_entropy)(logits, labels)

  def weight_specs(self) -> tuple[tf.TensorSpec, ...]:
    """Shapes and dtypes of the weights, without computing them."""
    return self._weight_specs

  def compiled(
    self, form: Hashable, function: Callable[..., Any], signature: Sequence[Any]
  ) -> Callable[..., Any]:
    """A function of this model as one graph, traced once: whoever names the form gets it.

    A `tf.function` would be traced by every evaluator anew, and TensorFlow warn of that.

    Args:
      form: What tells it from other functions of this model.
      function: Of tensors to tensors. It is kept as long as the model is, with what it holds.
      signature: `tf.TensorSpec`s of its arguments; the graph takes tensors alone.
    """
    if form not in self._graphs:
      # AutoGraph would rewrite the source of all that is called, for nothing: loops and branches
      # are TensorFlow's own here. That was a third of the time of tracing.
      traced = tf.function(function, input_signature=signature, autograph=False)
      self._graphs[form] = traced.get_concrete_function()
    return self._graphs[form]

  def compiled_logits(self) -> Callable[[Weights, tf.Tensor], tf.Tensor]:
    """`apply` without dropout as one graph, of tensors."""
    images = tf.TensorSpec([None, *self.input_shape], tf.float32)
    return self.compiled(
      "logits", lambda weights, x: self.apply(weights, x), [self.weight_specs(), images]
    )

  @functools.cached_property
  def _graphs(self) -> dict[Hashable, Callable[..., Any]]:
    return {}

  @functools.cached_property
  def _weight_specs(self) -> tuple[tf.TensorSpec, ...]:
    # Traced once: every evaluator and every computation of the algorithm asks.
    outputs = tf.function(self.init, autograph=False).get_concrete_function(keys.SPEC)
    return tuple(tf.TensorSpec(o.shape, o.dtype) for o in outputs.structured_outputs)
