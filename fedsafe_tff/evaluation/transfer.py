"""Attack success rate (Eq. 11) and the N x N transfer matrix.

Every client in turn is the adversary on the model that it received, without any local update
first. It crafts once; all clients' models are scored on what it made. *Self* is the diagonal,
*avg* the mean off the diagonal; they are never mixed.

Adversaries that collude pool their copies and attack the mean of them, from which most of an
independent noise is gone. *Avg* is then over the clients outside of the coalition.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.craft import craft, random_noise
from fedsafe_tff.attacks.gradient import input_gradient
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.accuracy import Scorer, to_float
from fedsafe_tff.evaluation.copies import first_equal
from fedsafe_tff.models.functional import FunctionalModel


@dataclasses.dataclass(frozen=True)
class AttackResult:
  """One attack at one size; rows are adversaries, columns victims.

  Attributes:
    spec: The attack.
    flip: [N, N] share of all images whose predicted label changes (Eq. 11).
    flip_correct: [N, N] the same among the images that the victim classifies correctly.
    accuracy: [N, N] the victim's accuracy on the attacked images.
    clean_accuracy: [N] accuracy of each copy on clean images.
    random_noise_flip: [N] share of labels that random noise of the same size changes.
    zero_gradient: [N] share of images whose input gradient is zero everywhere (masking).
    colluders: Size of a coalition: the adversary and those after it, in a ring.
    predicted: int32 [N, N, n] the victim's labels on the attacked images, or None.
    clean_predicted: int32 [N, n] each copy's labels on the clean images, or None.
  """

  spec: AttackSpec
  flip: np.ndarray
  flip_correct: np.ndarray
  accuracy: np.ndarray
  clean_accuracy: np.ndarray
  random_noise_flip: np.ndarray
  zero_gradient: np.ndarray
  colluders: int = 1
  predicted: np.ndarray | None = None
  clean_predicted: np.ndarray | None = None

  def summary(self) -> dict[str, float | str | None]:
    """The entry of this attack in `evaluation.json`; None where there is no other client."""
    return {
      "attack": self.spec.name,
      "eps": self.spec.eps,
      "clean_accuracy": _mean(self.clean_accuracy),
      "asr_self": self_mean(self.flip),
      "asr_avg": other_mean(self.flip, self.colluders),
      "asr_self_correct": self_mean(self.flip_correct),
      "asr_avg_correct": other_mean(self.flip_correct, self.colluders),
      "attack_accuracy_self": self_mean(self.accuracy),
      "attack_accuracy_avg": other_mean(self.accuracy, self.colluders),
      "random_noise_flip_rate": _mean(self.random_noise_flip),
      "zero_gradient_share": _mean(self.zero_gradient),
    }

  def rows(self) -> list[dict[str, float | int | str]]:
    """A row of `transfer_matrix.csv` per pair."""
    count = len(self.flip)
    return [
      {
        "attack": self.spec.name,
        "eps": self.spec.eps,
        "adversary": adversary,
        "victim": victim,
        "asr": float(self.flip[adversary, victim]),
        "asr_correct": float(self.flip_correct[adversary, victim]),
        "attack_accuracy": float(self.accuracy[adversary, victim]),
      }
      for adversary in range(count)
      for victim in range(count)
    ]


def _mean(values: np.ndarray) -> float | None:
  finite = values[np.isfinite(values)]
  return float(finite.mean()) if finite.size else None


def self_mean(matrix: np.ndarray) -> float | None:
  """Mean of the diagonal: attacks on the adversary's own model."""
  return _mean(np.diag(matrix))


def other_mean(matrix: np.ndarray, colluders: int = 1) -> float | None:
  """Mean over attacks on clients outside of the coalition; None where there are none."""
  count = len(matrix)
  inside = np.zeros([count, count], bool)
  for adversary in range(count):
    inside[adversary, coalition(adversary, colluders, count)] = True
  return _mean(matrix[~inside])


def coalition(adversary: int, colluders: int, count: int) -> list[int]:
  """The clients that pool their copies: the adversary and those after it, in a ring."""
  return [(adversary + step) % count for step in range(colluders)]


class Evaluator:
  """Attacks on the copies that clients received; clean predictions are made once."""

  def __init__(
    self,
    model: FunctionalModel,
    copies: Sequence[Sequence[tf.Tensor]],
    images: np.ndarray,
    labels: np.ndarray,
    *,
    key: tf.Tensor,
    batch_size: int = 64,
    colluders: int = 1,
  ):
    """Prepares the evaluation.

    Args:
      model: The model.
      copies: Weights of each client's copy.
      images: uint8 [n, h, w, c].
      labels: int32 [n].
      key: int64 [2], for random starts and random noise.
      batch_size: Images at a time.
      colluders: How many clients pool their copies for an attack.

    Raises:
      UserError: No images or no copies, or fewer copies than colluders.
    """
    if not len(images) or not len(copies):
      raise UserError(f"{len(images)} images and {len(copies)} models: evaluation needs both")
    if colluders > len(copies):
      raise UserError(f"--attack_colluders={colluders} is more than the {len(copies)} clients")
    self._model = model
    self._weight_specs = model.weight_specs()
    self._copies = [tuple(tf.convert_to_tensor(w) for w in copy) for copy in copies]
    self._images = images
    self._labels = np.asarray(labels, np.int32)
    self._key = key
    self._batch_size = batch_size
    self._scorer = Scorer(model, batch_size)
    # Without downlink noise all copies are one model: craft and score once. Random starts and
    # random noise are then those of the first client that holds it.
    self._same_as = first_equal(self._copies)
    self._colluders = colluders
    self._clean = self._for_each_copy(lambda w: self._scorer.predict(w, images))
    self._crafters: dict[AttackSpec, Callable] = {}
    self._random_flip: dict[float, np.ndarray] = {}
    self._zero_gradient: np.ndarray | None = None

  def _for_each_copy(self, function: Callable) -> list:
    made: dict[int, object] = {}
    for index, copy in enumerate(self._copies):
      if self._same_as[index] == index:
        made[index] = function(copy)
    return [made[j] for j in self._same_as]

  def clean_accuracy(self) -> np.ndarray:
    """Accuracy of each client's copy on the clean images, [N]."""
    return np.array([(p == self._labels).mean() for p in self._clean])

  def attack(self, spec: AttackSpec) -> AttackResult:
    """Runs one attack with every client as the adversary."""
    count = len(self._copies)
    flip, flip_correct, accuracy = (np.zeros([count, count]) for _ in range(3))
    predicted = np.zeros([count, count, len(self._labels)], np.int32)
    for adversary in range(count):
      source = self._same_as[adversary]
      if source != adversary and self._colluders == 1:
        for matrix in (flip, flip_correct, accuracy, predicted):
          matrix[adversary] = matrix[source]
        continue
      attacked = self._craft(self._known_to(adversary), spec, adversary)
      after = self._for_each_copy(lambda w, x=attacked: self._scorer.predict(w, x))
      for victim in range(count):
        predicted[adversary, victim] = after[victim]
        changed = after[victim] != self._clean[victim]
        correct = self._clean[victim] == self._labels
        flip[adversary, victim] = changed.mean()
        flip_correct[adversary, victim] = changed[correct].mean() if correct.any() else np.nan
        accuracy[adversary, victim] = (after[victim] == self._labels).mean()
    return AttackResult(
      spec=spec,
      flip=flip,
      flip_correct=flip_correct,
      accuracy=accuracy,
      clean_accuracy=self.clean_accuracy(),
      random_noise_flip=self._random_noise_flip(spec.eps),
      zero_gradient=self._zero_gradients(),
      colluders=self._colluders,
      predicted=predicted,
      clean_predicted=np.stack(self._clean),
    )

  def _known_to(self, adversary: int) -> Sequence[tf.Tensor]:
    """The model that an adversary attacks: its copy, or the mean of those of its coalition."""
    members = coalition(adversary, self._colluders, len(self._copies))
    if len({self._same_as[member] for member in members}) == 1:
      return self._copies[adversary]
    pooled = zip(*(self._copies[member] for member in members))
    return tuple(tf.add_n(list(tensors)) / len(members) for tensors in pooled)

  def _craft(self, weights, spec: AttackSpec, adversary: int) -> np.ndarray:
    crafter = self._crafter(spec)
    parts = []
    for start in range(0, len(self._images), self._batch_size):
      rows = slice(start, start + self._batch_size)
      made = crafter(
        weights,
        to_float(self._images[rows]),
        tf.constant(self._labels[rows]),
        tf.constant(spec.eps, tf.float32),
        tf.constant(spec.effective_step_size, tf.float32),
        keys.fold(self._key, keys.EVALUATION, adversary, start),
      )
      parts.append(made.numpy())
    return np.concatenate(parts)

  def _crafter(self, spec: AttackSpec) -> Callable:
    """One compiled function per kind of attack; eps and step are arguments of it."""
    kind = dataclasses.replace(spec, eps=0.0, step_size=0.0)
    if kind not in self._crafters:

      def crafter(weights, x, y, eps, step_size, key):
        return craft(
          lambda inputs: self._model.apply(weights, inputs),
          x,
          y,
          kind,
          key,
          eps=eps,
          step_size=step_size,
        )

      self._crafters[kind] = tf.function(
        crafter,
        input_signature=[
          self._weight_specs,
          tf.TensorSpec([None, *self._model.input_shape], tf.float32),
          tf.TensorSpec([None], tf.int32),
          tf.TensorSpec([], tf.float32),
          tf.TensorSpec([], tf.float32),
          keys.SPEC,
        ],
      )
    return self._crafters[kind]

  def _random_noise_flip(self, eps: float) -> np.ndarray:
    """The control, [N]: it depends on the size only, so that attacks of one size share it."""
    if eps not in self._random_flip:
      size = tf.constant(eps, tf.float32)
      flips = {}
      for index in set(self._same_as):
        changed = 0
        for start in range(0, len(self._images), self._batch_size):
          rows = slice(start, start + self._batch_size)
          key = keys.fold(self._key, keys.RANDOM_NOISE, index, start)
          noisy = random_noise(to_float(self._images[rows]), key, eps=size).numpy()
          predicted = self._scorer.predict(self._copies[index], noisy)
          changed += (predicted != self._clean[index][rows]).sum()
        flips[index] = changed / len(self._images)
      self._random_flip[eps] = np.array([flips[j] for j in self._same_as])
    return self._random_flip[eps]

  def _zero_gradients(self) -> np.ndarray:
    if self._zero_gradient is None:

      @tf.function(
        input_signature=[
          self._weight_specs,
          tf.TensorSpec([None, *self._model.input_shape], tf.float32),
          tf.TensorSpec([None], tf.int32),
        ]
      )
      def all_zero(weights, x, y):
        gradient = input_gradient(lambda inputs: self._model.apply(weights, inputs), x, y)
        return tf.reduce_all(tf.equal(gradient, 0.0), axis=[1, 2, 3])

      def share(weights):
        parts = []
        for start in range(0, len(self._images), self._batch_size):
          rows = slice(start, start + self._batch_size)
          x, y = to_float(self._images[rows]), tf.constant(self._labels[rows])
          parts.append(all_zero(weights, x, y).numpy())
        return np.concatenate(parts).mean()

      self._zero_gradient = np.array(self._for_each_copy(share))
    return self._zero_gradient
