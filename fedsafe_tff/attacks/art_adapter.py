"""Any evasion attack of the Adversarial Robustness Toolbox (ART), by the name of its class there.

ART is optional. Its attacks run eagerly in numpy, on a classifier made of a logits function (the
mean logits of an `Ensemble`). Many of them look for the nearest image that fools, however far it
is; so what they return is projected into the ball of eps and the spec's norm, unless the option
`project` is False: `AttackSpec.remark` says which.
"""

import contextlib
import importlib.util
import inspect
import random
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from fedsafe_tff.attacks.ensemble import Ensemble
from fedsafe_tff.attacks.norms import NORMS
from fedsafe_tff.attacks.objective import Models
from fedsafe_tff.attacks.spec import ART, AttackSpec
from fedsafe_tff.errors import UserError

_INSTALL = "install the extra: pip install 'fedsafe-tff[art]'"
# First step of those that halve it, as a multiple of eps (Croce and Hein); of the others, eps / 4.
_FIRST_STEP = {"AutoAttack": 2.0, "AutoProjectedGradientDescent": 2.0, "AutoConjugateGradient": 2.0}
_ONE_IMAGE_A_BATCH = ("SimBA", "ZooAttack")
_ASKS_FOR_PROBABILITIES = ("SimBA",)


def find(name: str) -> type:
  """The class of an attack, from "art:" and its name.

  Raises:
    UserError: ART, or what the attack needs on top, is not installed, or it has no such attack.
  """
  missing = [module for module in _modules(name) if importlib.util.find_spec(module) is None]
  if missing:
    raise UserError(f"attack {name} needs the Python package {missing[0]}: {_INSTALL}")
  from art.attacks import EvasionAttack, evasion

  known = {
    attack: value
    for attack, value in vars(evasion).items()
    if inspect.isclass(value) and issubclass(value, EvasionAttack)
  }
  try:
    return known[name.removeprefix(ART)]
  except KeyError:
    raise UserError(
      f"attack {name} is unknown: the installed ART has {', '.join(sorted(known))}"
    ) from None


def _modules(name: str) -> list[str]:
  """Top-level modules that an attack imports; AutoAttack's is not among ART's requirements."""
  return ["art", "multiprocess"] if name == f"{ART}AutoAttack" else ["art"]


def generate(
  models: Models,
  x: tf.Tensor,
  y: tf.Tensor,
  spec: AttackSpec,
  key: tf.Tensor,
  *,
  access: str = "gradients",
) -> tuple[tf.Tensor, tf.Tensor | None]:
  """Runs one of ART's attacks.

  Args:
    models: Images to logits, or an `Ensemble`.
    x: Images, float32 [n, h, w, c] in [0, 1].
    y: Labels, int32 [n]; targets where the spec has a target.
    spec: Its options are arguments of ART's class, and `project`. What the class takes and they
      don't name is set here: eps, norm, targeted, and a first step of 2 eps or eps / 4.
    key: int64 [2]; numpy's and Python's generators, which ART draws from, are seeded with it and
      put back.
    access: One of `registry.ACCESS`. Without gradients the attack gets a black box, of scores or
      of labels alone, and is run on one image after the other, to count the queries of each.

  Returns:
    Images in [0, 1], shaped as `x`, and queries, int32 [n], or None with gradients.

  Raises:
    UserError: ART is missing or has no such attack, or the attack does not take what it is given.
  """
  if not tf.executing_eagerly():
    raise ValueError(f"attack {spec.name} is not made of TensorFlow: call it outside tf.function")
  attack_class = find(spec.name)
  options = dict(spec.options)
  project = options.pop("project", True)
  if project and not spec.eps:  # ART refuses it, and the ball holds nothing but the image
    return x, None if access == "gradients" else tf.zeros(tf.shape(x)[:1], tf.int32)
  logits_fn = _logits_fn(models, key)
  classes = int(logits_fn(x[:1]).shape[-1])
  with _seeded(key), _told_plainly(spec, access):
    if access == "gradients":
      box, queries = _white_box(logits_fn, x, classes), None
      made = _run(attack_class, box, x, y, spec, options)
    else:
      answer = _Answer(logits_fn, classes, access, attack_class.__name__)
      box, parts, asked = _black_box(answer, x, classes), [], []
      for row in range(x.shape[0]):
        before = answer.asked
        parts.append(_run(attack_class, box, x[row : row + 1], y[row : row + 1], spec, options))
        asked.append(answer.asked - before)
      made, queries = np.concatenate(parts), tf.constant(asked, tf.int32)
  made = tf.clip_by_value(tf.convert_to_tensor(made, tf.float32), 0.0, 1.0)
  if project:
    made = NORMS[spec.norm].project(x, made, spec.eps)
  return made, queries


def _run(attack_class, classifier, x, y, spec: AttackSpec, options) -> np.ndarray:
  takes = inspect.signature(attack_class.__init__).parameters
  name = spec.name.removeprefix(ART)
  if spec.target and "targeted" not in takes:
    raise UserError(f"attack {spec.name} can't aim at a target")
  given = {
    "eps": float(spec.eps),
    "eps_step": _FIRST_STEP.get(name, 0.25) * spec.eps,
    "norm": np.inf if spec.norm == "linf" else 2,
    "targeted": bool(spec.target),
    "batch_size": 1 if name in _ONE_IMAGE_A_BATCH else int(x.shape[0]),
    "verbose": False,
  }
  arguments = {key: value for key, value in given.items() if key in takes} | options
  if name == "AutoAttack" and classifier.nb_classes < 3 and "attacks" not in options:
    arguments["attacks"] = _auto_attack_of_two(classifier, arguments)
  attack = attack_class(classifier, **arguments)
  return attack.generate(x.numpy(), tf.one_hot(y, classifier.nb_classes).numpy())


def _auto_attack_of_two(classifier, arguments) -> list:
  """ART's standard set without the DLR loss, which it has for three classes and more only."""
  from art.attacks.evasion import AutoProjectedGradientDescent, DeepFool, SquareAttack

  common = {name: arguments[name] for name in ("norm", "eps", "batch_size")}
  return [
    AutoProjectedGradientDescent(
      classifier,
      eps_step=arguments["eps_step"],
      loss_type="cross_entropy",
      verbose=False,
      **common,
    ),
    DeepFool(classifier, epsilon=1e-3, batch_size=common["batch_size"], verbose=False),
    SquareAttack(classifier, max_iter=5000, p_init=0.8, nb_restarts=5, verbose=False, **common),
  ]


def _logits_fn(models: Models, key) -> Callable[[tf.Tensor], tf.Tensor]:
  """A compiled function, of which ART may take gradients without any of the weights."""

  def upstream_gradient(logits_fn, x, upstream):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(x)
      logits = logits_fn(x)
    return tape.gradient(logits, x, upstream, tf.UnconnectedGradients.ZERO)

  if isinstance(models, Ensemble):

    def logits(x):
      return models.logits(x, key)

    # The gradient of each model, not of the loop over them, which takes long to build.
    def gradient(x, upstream):
      return models.average(
        lambda logits_fn: upstream_gradient(logits_fn, x, upstream), tf.zeros_like(x), key
      )
  else:
    logits = models

    def gradient(x, upstream):
      return upstream_gradient(models, x, upstream)

  forward, backward = (tf.function(f, reduce_retracing=True) for f in (logits, gradient))

  @tf.custom_gradient
  def differentiable(x):
    # Behind stops ART's tapes, persistent ones too, see no function that they would prepare to
    # differentiate once more, at length.
    x = tf.stop_gradient(x)
    return forward(x), lambda upstream: backward(x, tf.stop_gradient(upstream))

  return lambda x: differentiable(tf.convert_to_tensor(x, tf.float32))


class _Answer:
  """Answers with scores, or with labels alone, and counts the images that it was asked about."""

  def __init__(self, logits_fn, classes: int, access: str, attack: str):
    self._logits_fn, self._classes = logits_fn, classes
    self._labels = access == "labels"
    self._probabilities = attack in _ASKS_FOR_PROBABILITIES
    self.asked = 0

  def __call__(self, x: np.ndarray) -> np.ndarray:
    self.asked += len(x)
    logits = self._logits_fn(x)
    if self._labels:
      return np.eye(self._classes, dtype=np.float32)[np.argmax(logits, axis=1)]
    return (tf.nn.softmax(logits) if self._probabilities else logits).numpy()


def _white_box(logits_fn, x, classes: int):
  from art.estimators.classification import TensorFlowV2Classifier

  return TensorFlowV2Classifier(
    model=lambda x, training=False: logits_fn(x),
    nb_classes=classes,
    input_shape=tuple(x.shape[1:]),
    loss_object=tf.keras.losses.CategoricalCrossentropy(from_logits=True),
    clip_values=(0.0, 1.0),
  )


def _black_box(answer: _Answer, x, classes: int):
  from art.estimators.classification import BlackBoxClassifierNeuralNetwork

  return BlackBoxClassifierNeuralNetwork(
    answer, tuple(x.shape[1:]), classes, channels_first=False, clip_values=(0.0, 1.0)
  )


class _SeededState(np.random.RandomState):
  """HopSkipJump and the boundary attack make generators without a seed: one is drawn for them."""

  def __init__(self, seed=None):
    super().__init__(np.random.randint(2**32, dtype=np.uint32) if seed is None else seed)


@contextlib.contextmanager
def _seeded(key: tf.Tensor) -> Iterator[None]:
  before = random.getstate(), np.random.get_state(), np.random.RandomState
  words = np.asarray(key).view(np.uint32)
  random.seed(words.tobytes())
  np.random.seed(words)
  np.random.RandomState = _SeededState
  try:
    yield
  finally:
    random.setstate(before[0])
    np.random.set_state(before[1])
    np.random.RandomState = before[2]


@contextlib.contextmanager
def _told_plainly(spec: AttackSpec, access: str) -> Iterator[None]:
  """What goes wrong inside of ART, in one line: it checks what it is given late, in many ways."""
  from art.exceptions import EstimatorError

  try:
    yield
  except UserError:
    raise
  except EstimatorError as error:
    raise UserError(
      f"attack {spec.name} can't attack a classifier of which it sees {access} alone"
    ) from error
  except Exception as error:
    said = " ".join(f"{type(error).__name__}: {error}".split())
    raise UserError(f"attack {spec.name} failed inside of ART, {said}") from error
