"""The worst of several attacks: an image is lost if any point they visit flips its label.

Only whether a label flips is asked, so an image that is fooled is not attacked any further: the
others are packed into full batches again after every step. The rate is exactly that of the attacks
in full, taken over all the points that they visit; random starts are draws of its own, not those of
the transfer matrix. It says nothing of transfer: other models would see images that stopped short.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks import pgd
from fedsafe_tff.attacks.gradient import logits_and_gradient
from fedsafe_tff.attacks.loss import LOSSES
from fedsafe_tff.attacks.norms import NORMS
from fedsafe_tff.attacks.registry import ATTACKS
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.accuracy import Scorer, to_float
from fedsafe_tff.evaluation.copies import first_equal
from fedsafe_tff.models.functional import FunctionalModel


class WorstCase:
  """Every client attacks the copy that it received with all attacks of one size."""

  def __init__(
    self,
    model: FunctionalModel,
    copies: Sequence[Sequence[tf.Tensor]],
    images: np.ndarray,
    labels: np.ndarray,
    *,
    key: tf.Tensor,
    batch_size: int = 64,
  ):
    """Prepares the attacks.

    Args:
      model: The model.
      copies: Weights of each client's copy.
      images: uint8 [n, h, w, c].
      labels: int32 [n].
      key: int64 [2], for random starts.
      batch_size: Images at a time.
    """
    self._copies = [tuple(tf.convert_to_tensor(w) for w in copy) for copy in copies]
    self._pixels = to_float(images).numpy()
    self._labels = np.asarray(labels, np.int32)
    self._key = key
    self._batch_size = batch_size
    self._scorer = Scorer(model, batch_size)
    self._clean = [self._scorer.predict(copy, images) for copy in self._copies]
    self._same_as = first_equal(self._copies)
    self._model = model
    self.gradients = 0  # computed so far, of single images

  def _step(self, loss: str, norm: str) -> Callable:
    """A step of a loss in a norm, compiled once."""
    model = self._model
    pixels = tf.TensorSpec([None, *model.input_shape], tf.float32)
    labels, number = tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.float32)

    def step(weights, x, current, y, eps, step_size):
      logits, gradient = logits_and_gradient(
        lambda v: model.apply(weights, v), current, y, LOSSES[loss]
      )
      moved = pgd.ascend(x, current, gradient, eps=eps, step_size=step_size, norm=norm)
      return tf.argmax(logits, 1, tf.int32), moved

    signature = [model.weight_specs(), pixels, pixels, labels, number, number]
    return model.compiled(("step", loss, norm), step, signature)

  def attack(self, specs: Sequence[AttackSpec]) -> dict[str, float | str | None]:
    """The entry of the attacks, all of one size, in `evaluation.json`; see `flipped`."""
    flips, correct_flips, made = [], [], {}
    for client, source in enumerate(self._same_as):
      if source not in made:
        made[source] = self.flipped(source, specs)
      flipped = made[source]
      correct = self._clean[client] == self._labels
      flips.append(flipped.mean())
      if correct.any():
        correct_flips.append(flipped[correct].mean())
    return {
      "attack": "any",
      "eps": specs[0].eps,
      "asr_self": float(np.mean(flips)),
      "asr_self_correct": float(np.mean(correct_flips)) if correct_flips else None,
    }

  def flipped(self, client: int, specs: Sequence[AttackSpec]) -> np.ndarray:
    """Whether any of the attacks changes the label that this client's copy predicts, bool [n].

    Raises:
      UserError: An attack other than FGSM and PGD without a target.
    """
    for spec in specs:
      if spec.from_art or not ATTACKS[spec.name].followed or spec.target:
        known = " and ".join(name for name, attack in ATTACKS.items() if attack.followed)
        raise UserError(
          f"the worst case follows {known} without a target step by step, not {spec.name}"
          f"{' with one' if spec.target else ''}: take the worst of its results instead"
        )
    clean = self._clean[client]
    targets = {"true": self._labels, "predicted": clean}
    standing = np.ones(len(clean), bool)
    for number, spec in enumerate(specs):
      for attempt in range(spec.restarts):
        rows = np.flatnonzero(standing)
        current = self._pixels[rows]
        if spec.random_start:
          key = keys.fold(self._key, keys.WORST_CASE, client, number, attempt)
          start = NORMS[spec.norm].random_point(tf.constant(self._pixels), spec.eps, key)
          current = start.numpy()[rows]
        rows = self._climb(client, spec, rows, current, targets[spec.labels])
        standing[:] = False
        standing[rows] = True
    return ~standing

  def _climb(self, client, spec, rows, current, labels) -> np.ndarray:
    """Follows one attack; returns those of `rows` that it fools nowhere on its way."""
    clean, weights = self._clean[client], self._copies[client]
    steps, step_size = spec.steps, spec.effective_step_size
    step = self._step(spec.loss or "cross_entropy", spec.norm)
    if spec.name == "fgsm":
      steps, step_size = 1, spec.eps
    for _ in range(steps):
      if not len(rows):
        return rows
      predicted, moved = self._in_batches(step, weights, rows, current, labels, spec.eps, step_size)
      stands = predicted == clean[rows]
      rows, current = rows[stands], moved[stands]
    if len(rows):
      rows = rows[self._scorer.predict(weights, current) == clean[rows]]
    return rows

  def _in_batches(self, step, weights, rows, current, labels, eps, step_size):
    """Predictions at `current`, and where a step leads from there."""
    predicted, moved = np.empty(len(rows), np.int32), np.empty_like(current)
    for start in range(0, len(rows), self._batch_size):
      part = slice(start, start + self._batch_size)
      found = step(
        weights,
        self._pixels[rows[part]],
        current[part],
        labels[rows[part]],
        tf.constant(eps, tf.float32),
        tf.constant(step_size, tf.float32),
      )
      predicted[part], moved[part] = (value.numpy() for value in found)
    self.gradients += len(rows)
    return predicted, moved
