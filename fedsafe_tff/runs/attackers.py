"""The attackers that a run has, by the names that suites give them; the others with the reason."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attackers.attacker import Attacker
from fedsafe_tff.attackers.black_box import BlackBox
from fedsafe_tff.attackers.copies import Averaging, Colluding, NoiseEnsemble, OwnCopy, RoundHistory
from fedsafe_tff.attackers.makers import Imitation, LocalUpdate, Redrawn, Surrogate
from fedsafe_tff.attackers.registry import ATTACKERS
from fedsafe_tff.attacks.ensemble import GaussianRedraw
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.chosen import (
  ALL_IMAGES,
  COLLUDING_IMITATION,
  COUNTED,
  LABELS,
  count_of,
)
from fedsafe_tff.evaluation.copies import first_equal
from fedsafe_tff.evaluation.masking import check_masking
from fedsafe_tff.evaluation.suites import SUITES, Suite
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.runs import alone, defenses, trials
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.prepare import Prepared
from fedsafe_tff.training.copies import Noise

_DRAWS = 10  # of an attacker who knows the noise, per step
_ROUNDS = 4  # in which an averaging attacker gets a copy
_MASKING_IMAGES = 48
_ONE_MODEL = "all clients hold one model"
_NO_NOISE = "copies have no noise"


def evaluation_key(config: Config) -> tf.Tensor:
  """The key of all that an evaluation draws."""
  return keys.fold(keys.root(config.seed), keys.EVALUATION)


class Attackers:
  """Who can attack the copies of a run."""

  def __init__(
    self,
    config: Config,
    prepared: Prepared,
    weights: Sequence[np.ndarray],
    copies: Sequence[Sequence[np.ndarray]],
    *,
    sigma: float = 0.0,
    history: Sequence[Sequence[np.ndarray]] = (),
    rounds: Sequence[Sequence[Sequence[np.ndarray]]] = (),
    received: Sequence[Sequence[np.ndarray]] | None = None,
    network: FunctionalModel | None = None,
    trains: bool = True,
    surrogates: pathlib.Path | None = None,
  ):
    """Says who they are; what they train they train when they attack.

    Args:
      config: The run's settings.
      prepared: Data and model.
      weights: The global model.
      copies: What the clients use.
      sigma: Of the copies' noise; 0 for none.
      history: Global models of earlier rounds.
      rounds: Copies by round and client that clients received in these rounds; empty where they
        received the global models themselves.
      received: What the clients received, where `copies` is what they made of it by training: an
        attacker has kept that too. None where they use what they received.
      network: What an attacker without a copy trains; None for the model.
      trains: Whether clients have images of their own to train on.
      surrogates: Folder where what an attacker without a copy trained is kept; None for none.
    """
    self._config, self._prepared = config, prepared
    self._weights, self._copies, self._sigma = weights, copies, sigma
    self._key = evaluation_key(config)
    self._history, self._seen, self._trains = history, rounds, trains
    self._received, self._network = received, network
    self._surrogates = surrogates if network is None else None

  @functools.cached_property
  def _all(self) -> dict[str, Attacker | str]:
    """By name, the attacker, or why there is none."""
    config = self._config
    count = len(self._copies)
    one_model = not any(first_equal(self._copies))
    found: dict[str, Attacker | str] = {"own_copy": OwnCopy()}
    if one_model and self._sigma == 0:
      noise = pooled = averaging = _ONE_MODEL
    else:
      noise = NoiseEnsemble(self._sigma, _DRAWS) if self._sigma > 0 else _NO_NOISE
      averaging = self._averaging()
      pooled = "with two clients nobody is outside" if count < 3 else ""
    colluders = max(2, config.attack_colluders)
    found |= {
      "noise_ensemble": noise,
      "averaging": averaging,
      "round_history": self._round_history(),
      "colluding_mean": pooled or Colluding(colluders),
      "colluding_ensemble": pooled or Colluding(colluders, "ensemble"),
    }
    if self._trains:
      found["local_update"] = LocalUpdate(alone.local_update(config, self._prepared))
      own = self._prepared
      if self._network is not None:
        own = dataclasses.replace(own, model=self._network)
      found["surrogate"] = Surrogate(
        alone.surrogate(config, own, self._surrogates), self._network
      )
    else:
      found["local_update"] = found["surrogate"] = "there are no clients with images of their own"
    found["imitation"] = _ONE_MODEL if one_model else self._imitation()
    found[ALL_IMAGES] = _ONE_MODEL if one_model else self._imitation(everybodys=True)
    found[COLLUDING_IMITATION] = found["imitation"]
    if isinstance(found["imitation"], Imitation):
      together = Colluding(colluders, "ensemble")
      found[COLLUDING_IMITATION] = pooled or dataclasses.replace(
        found["imitation"], around=together
      )
    found["black_box"], found[LABELS] = BlackBox("scores"), BlackBox("labels")
    return found

  def _imitation(self, everybodys: bool = False) -> Attacker | str:
    if not self._trains:
      return "there are no clients with images of their own"
    make = defenses.imitation(self._config, self._prepared, self._sigma, everybodys=everybodys)
    if make is None:
      return "noise_ensemble imitates copies by noise" if self._sigma > 0 else _NO_NOISE
    return Imitation(make)

  def _named(self, written: str) -> Attacker | str:
    """The attacker of a name, with the number that may stand after it; or why there is none."""
    name, number = count_of(written)
    # One that was added to the registry and is not made above needs no settings.
    one = self._all[name] if name in self._all else ATTACKERS[name]()
    if number is None or isinstance(one, str):
      return one
    if COUNTED[name] == "draws":
      return dataclasses.replace(one, draws=number)
    if name == COLLUDING_IMITATION:
      return dataclasses.replace(one, around=Colluding(number, "ensemble"))
    return dataclasses.replace(one, count=number)

  def _round_history(self) -> Attacker | str:
    last = [] if self._received is None else [list(self._received)]
    if self._seen:  # they never saw the global models themselves
      return RoundHistory(rounds=[*self._seen, *last])
    if self._history or last:
      return RoundHistory(rounds=last, global_models=self._history)
    return "no global models of earlier rounds were kept"

  def _averaging(self) -> Attacker | str:
    last = list(self._copies if self._received is None else self._received)
    if self._seen:
      return Averaging([*self._seen, last])
    redraw = self._redraw()
    return _NO_NOISE if redraw is None else Redrawn(last, redraw, _ROUNDS)

  def notes(self, suite: Suite) -> dict[str, str]:
    """What is to be known of how attackers of a suite came by what they hold."""
    there = [name for name in suite.attackers if not isinstance(self._named(name), str)]
    found = {}
    for name in there:
      if count_of(name)[0] != "averaging":
        continue
      count = self._named(name).count or len(self._seen) + 1
      found[name] = (
        f"the mean of the copies received in the last {count} rounds that are kept"
        if self._seen
        else f"the mean of {count} copies of the last global model, all but one drawn anew"
      )
    if self._config.clients_per_round:
      earlier = {"round_history", "averaging"} if self._seen else {"round_history"}
      for name in sorted(name for name in there if count_of(name)[0] in earlier):
        always = "as if each client had taken part in every round"
        found[name] = f"{found[name]}, {always}" if name in found else always
    return found

  def _redraw(self) -> Callable[[int, int], Sequence[tf.Tensor]] | None:
    """(client, round) to a copy as a further round gives it of the same global model.

    None where the copies of a client would always be the same.
    """
    way = defenses.copies(self._config, self._prepared, self._sigma)
    weights = tuple(tf.convert_to_tensor(w) for w in self._weights)
    if isinstance(way, Noise):
      draw = GaussianRedraw(self._sigma)
    elif way is not None:
      draw = tf.function(way, input_signature=[self._prepared.model.weight_specs(), keys.SPEC])
    else:
      return None
    return lambda client, round_: draw(
      weights, keys.fold(self._key, keys.ATTACKER, round_, client)
    )

  def attempts(
    self, suite: Suite, sizes: Sequence[float]
  ) -> tuple[list[trials.Attempt], dict[str, str]]:
    """What a suite attempts, and which of its attackers are left out, with the reason.

    Raises:
      UserError: An attacker needs more clients than there are, or none of them is there.
    """
    there: dict[str, Attacker | None] = {}
    left_out = {}
    if suite.name in SUITES:  # what somebody chose is run as it is
      suite = suite.of_classes(self._prepared.model.num_classes, self._models(suite))
    for name in suite.attackers:
      one = self._named(name)
      if isinstance(one, str):
        left_out[name] = one
        continue
      one.check(len(self._copies))
      there[name] = one
    if not there:
      told = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
      raise UserError(f"there is no such attacker here: {told}")
    pools = suite.attackers == ("own_copy",) and self._config.attack_colluders > 1
    if pools and suite.name in SUITES:
      there["own_copy"] = None  # the evaluator's own, who pools copies
    labels = self._config.attack_labels
    return trials.of_suite(suite, there, sizes, labels, self._models(suite)), left_out

  def _models(self, suite: Suite) -> dict[str, int]:
    """How many models attackers climb at once, of those who do; they may bring their number."""
    colluders = max(2, self._config.attack_colluders)
    models = {
      "noise_ensemble": _DRAWS,
      "colluding_ensemble": colluders,
      "round_history": 1 + len(self._seen or self._history),
      "imitation": 1 + Imitation.count,
      ALL_IMAGES: 1 + Imitation.count,
      COLLUDING_IMITATION: colluders + Imitation.count,
    }
    for written in suite.attackers:
      name, number = count_of(written)
      if number is not None and name in models:
        models[written] = models[name] - {"draws": _DRAWS, "colluders": colluders}.get(
          COUNTED[name], Imitation.count
        ) + number
    return models

  @staticmethod
  def masking_name(eps: float, surrogate: bool) -> str:
    """What `masking` is kept under: another name than before APGD climbed at 0.5."""
    return f"climbed_masking_{eps:g}{'_full' if surrogate else ''}"

  def masking(
    self, eps: float, log: Callable[[str], None], full: bool = False
  ) -> Mapping[str, Any]:
    """Whether the robustness of the first client's copy is only hidden, as JSON has it.

    Args:
      eps: Size at which it is asked.
      log: Is told of each check that failed.
      full: Whether an undefended surrogate, which is trained for it, attacks too.
    """
    images, labels = self._prepared.images("evaluation")
    rows = np.linspace(0, len(labels) - 1, min(len(labels), _MASKING_IMAGES)).astype(int)
    model, surrogate = self._prepared.model, None
    if full and isinstance(self._all["surrogate"], Surrogate):
      (held,) = self._all["surrogate"].holdings(0, self._copies, self._key)
      surrogate = (held.model or model, held.models[0])
    try:
      report = check_masking(
        model,
        tuple(self._copies[0]),
        images[rows],
        labels[rows],
        eps=eps,
        key=self._key,
        surrogate=surrogate,
        batch_size=self._config.evaluation_batch_size,
      )
    except UserError as error:
      log(f"masking was not checked: {error}")
      return {"passed": None, "eps": eps, "checks": [], "text": str(error)}
    for check in report.failed:
      log(f"warning: robustness may be masked ({check.name}): {check.text}")
    if report.passed:
      log(f"masking: {sum(c.passed is not None for c in report.checks)} checks passed")
    return report.summary() | {"eps": eps}
