"""Attack success rate (Eq. 11) and the N x N transfer matrix.

Every client in turn is the adversary, with what its attacker holds: by default the model that it
received, without any local update first. It crafts once; all clients' models are scored on what it
made. *Self* is the diagonal, *avg* the mean over the clients whose copies it does not hold; they
are never mixed.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attackers.attacker import Attacker
from fedsafe_tff.attackers.copies import Colluding, OwnCopy
from fedsafe_tff.attackers.holding import Holding
from fedsafe_tff.attackers.worst import Worst
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.evaluation.controls import Controls
from fedsafe_tff.evaluation.copies import first_equal
from fedsafe_tff.evaluation.crafting import Crafter
from fedsafe_tff.evaluation.result import (
  AttackResult,
  coalition,
  other_mean,
  self_mean,
)
from fedsafe_tff.evaluation.worst import worst
from fedsafe_tff.models.functional import FunctionalModel

__all__ = [
  "AttackResult",
  "Evaluator",
  "coalition",
  "other_mean",
  "self_mean",
  "transfer_matrix",
]


def transfer_matrix(
  model: FunctionalModel,
  copies: Sequence[Sequence[tf.Tensor]],
  images: np.ndarray,
  labels: np.ndarray,
  attack: AttackSpec,
  *,
  attacker: Attacker | None = None,
  key: tf.Tensor | None = None,
  batch_size: int = 64,
) -> AttackResult:
  """One attack by every client on every client; several are cheaper with one `Evaluator`.

  Args:
    model: The model.
    copies: Weights of each client's copy.
    images: uint8 [n, h, w, c], or float32 in [0, 1].
    labels: int32 [n].
    attack: The attack.
    attacker: Who attacks with what; None for each with its own copy.
    key: int64 [2], for whatever is drawn; None for that of seed 0.
    batch_size: Images at a time.

  Returns:
    What came of it, adversary by victim by image.

  Raises:
    UserError: Nothing to evaluate, or an attack or attacker that fits neither clients nor model.
  """
  key = keys.root(0) if key is None else key
  evaluator = Evaluator(model, copies, images, labels, key=key, batch_size=batch_size)
  return evaluator.attack(attack, attacker)


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
    most_clients: int = 0,
    progress: Callable[[int, int], None] | None = None,
  ):
    """Prepares the evaluation.

    Args:
      model: The model.
      copies: Weights of each client's copy.
      images: uint8 [n, h, w, c], or float32 in [0, 1].
      labels: int32 [n].
      key: int64 [2], for random starts and random noise.
      batch_size: Images at a time.
      colluders: How many clients pool their copies for an attack of which no attacker is told.
      most_clients: Of more clients than this, so many attack and are attacked, drawn by `key`; 0
        takes all. N below is then their number; attackers still hold what all clients have.
      progress: Is told how many adversaries of how many an attack has been through.

    Raises:
      UserError: No images or no copies, or fewer copies than colluders.
    """
    if not len(images) or not len(copies):
      raise UserError(f"{len(images)} images and {len(copies)} models: evaluation needs both")
    if colluders > len(copies):
      raise UserError(f"--attack_colluders={colluders} is more than the {len(copies)} clients")
    self._progress = progress or (lambda done, of: None)
    self._clients = sampled(len(copies), most_clients, key)
    self._copies = [tuple(tf.convert_to_tensor(w) for w in copy) for copy in copies]
    self._labels = np.asarray(labels, np.int32)
    self._image_shape = model.input_shape
    self._key = key
    settings = {"key": key, "batch_size": batch_size}
    self._crafter = Crafter(model, images, labels, **settings)
    self._controls = Controls(model, images, labels, **settings)
    self._scorer = Scorer(model, batch_size)
    # Without downlink noise all copies are one model: craft and score once. Random starts and
    # random noise are then those of the first client that holds it.
    self._same_as = first_equal(self._copies)
    self._attacker = Colluding(colluders) if colluders > 1 else OwnCopy()
    self._clean = self._for_each_copy(lambda _, copy: self._scorer.predict(copy, images))
    self._random_flip: dict[float, np.ndarray] = {}
    self._zero_gradient: np.ndarray | None = None

  def _for_each_copy(self, function: Callable) -> list:
    made: dict[int, object] = {}
    for index in self._clients:
      first = self._same_as[index]
      if first not in made:
        made[first] = function(first, self._copies[first])
    return [made[self._same_as[index]] for index in self._clients]

  def clean_accuracy(self) -> np.ndarray:
    """Accuracy of each client's copy on the clean images, [N]."""
    return np.array([(p == self._labels).mean() for p in self._clean])

  def attack(
    self,
    spec: AttackSpec,
    attacker: Attacker | None = None,
    before: AttackResult | None = None,
  ) -> AttackResult:
    """Runs one attack with every client as the adversary.

    Args:
      spec: The attack.
      attacker: Who attacks with what; None for own copies, pooled by the evaluator's colluders.
      before: What the same attacker got at the same size before. What it gets with both is told,
        and an image of which all victims of a holding are fooled, and wrong, is attacked no more:
        nothing could be added to it.

    Raises:
      UserError: The attack or the attacker fits neither clients nor model.
    """
    attacker = attacker or self._attacker
    attacker.check(len(self._copies))
    if before is not None and (before.predicted is None or before.spec.eps != spec.eps):
      raise UserError("what was before must be of the same size, and have the labels predicted")
    if isinstance(attacker, Worst):
      each = [self.attack(spec, one, before) for one in attacker.attackers]
      return worst(each, attacker.name)
    made = self._attack(spec, attacker, before)
    if before is None:
      return made
    together = worst([before, made], made.attacker)
    return dataclasses.replace(together, spec=spec, specs=(spec,), label=made.label)

  def _attack(
    self, spec: AttackSpec, attacker: Attacker, before: AttackResult | None
  ) -> AttackResult:
    after, queries = self._predictions_under_attack(spec, attacker, before)
    clean = np.stack(self._clean)
    return AttackResult(
      spec=spec,
      flipped=after != clean,
      right=after == self._labels,
      clean_right=clean == self._labels,
      outside=self._outside(attacker),
      random_noise_flip=self._random_noise_flip(spec),
      zero_gradient=self._zero_gradients(),
      attacker=attacker.name,
      queries=queries,
      predicted=after,
      clean_predicted=clean,
      clients=tuple(self._clients) if len(self._clients) < len(self._copies) else None,
      of_clients=len(self._copies) if len(self._clients) < len(self._copies) else 0,
    )

  def _outside(self, attacker: Attacker) -> np.ndarray:
    """Whether an adversary does not hold a victim's copy, [N, N]."""
    everyone = len(self._copies)
    insiders = [set(attacker.insiders(client, everyone)) for client in self._clients]
    return np.array([[client not in held for client in self._clients] for held in insiders])

  def _predictions_under_attack(
    self, spec: AttackSpec, attacker: Attacker, before: AttackResult | None
  ):
    """Predictions on attacked images, int32 [N, N, n], and queries of the same shape or None.

    Where an image was not attacked any more its prediction is that of before.
    """
    count, place = len(self._clients), {c: i for i, c in enumerate(self._clients)}
    if before is None:
      after = np.empty([count, count, len(self._labels)], np.int32)
      settled = np.zeros(after.shape, bool)
    else:
      after, settled = before.predicted.copy(), before.flipped & ~before.right
    queries = np.zeros_like(after)
    counted = False
    known: dict[tuple, tuple] = {}
    for row, adversary in enumerate(self._clients):
      self._progress(row, count)
      for held in attacker.holdings(adversary, self._copies, self._key):
        draws = spec.draws or held.redraw is not None
        own = None if attacker.same_draws or not draws else adversary
        victims = self._clients if held.victims is None else held.victims
        columns = [place[victim] for victim in victims if victim in place]
        rows = np.flatnonzero(~settled[row, columns].all(axis=0))
        if not columns or not len(rows):
          continue
        identity = (held.identity(), own, rows.tobytes())
        if identity not in known:
          known[identity] = self._after(held, spec, attacker, rows)
        predicted, asked = known[identity]
        for column in columns:
          after[row, column, rows] = predicted[column]
          if asked is not None:
            queries[row, column, rows], counted = asked, True
    return after, queries if counted else None

  def _after(self, held: Holding, spec: AttackSpec, attacker: Attacker, rows: np.ndarray):
    """What each copy predicts on the images of one attack, `rows` of all, and the queries."""
    try:
      attacked, queries = self._crafter.craft(held, spec, rows)
    except UserError as error:
      raise UserError(f"attacker {attacker.name}: {error}") from error
    # Not only for its victims: another client may hold the same models and have others.
    return self._for_each_copy(lambda _, copy: self._scorer.predict(copy, attacked)), queries

  def _random_noise_flip(self, spec: AttackSpec) -> np.ndarray:
    """The control, [N]: it depends on the size only, so that attacks of one size share it."""
    eps = spec.eps
    if spec.norm == "l2":  # of signs with that length
      eps /= np.sqrt(np.prod(self._image_shape))
    if eps not in self._random_flip:
      row_of = {self._same_as[client]: row for row, client in enumerate(self._clients)}

      def share(index, copy):
        clean = self._clean[row_of[index]]
        return self._controls.noise_flips(copy, clean, eps, index).mean()

      self._random_flip[eps] = np.array(self._for_each_copy(share))
    return self._random_flip[eps]

  def _zero_gradients(self) -> np.ndarray:
    if self._zero_gradient is None:
      self._zero_gradient = np.array(
        self._for_each_copy(lambda _, copy: self._controls.zero_gradients(copy).mean())
      )
    return self._zero_gradient


def sampled(count: int, most: int, key: tf.Tensor) -> list[int]:
  """The clients that attack and are attacked, in their order; all where there are no more."""
  if not most or count <= most:
    return list(range(count))
  drawn = tf.random.stateless_uniform([count], keys.fold(key, keys.SAMPLED_CLIENTS), alg=keys.ALG)
  return sorted(np.argsort(drawn.numpy(), kind="stable")[:most].tolist())
