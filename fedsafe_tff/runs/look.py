"""A look at the data before training: what it holds, what tells the class, what a run will take."""

import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fedsafe_tff.attacks.registry import ATTACKS
from fedsafe_tff.data import survey as survey_lib
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.remembered import content_hash, remember
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.suites import gradients
from fedsafe_tff.models.views import parse_views, views_of
from fedsafe_tff.runs import alone, targets
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.inputs import read_images
from fedsafe_tff.runs.prepare import Prepared, prepare
from fedsafe_tff.runs.report.survey_page import write_page

# How many models the attackers climb who are there where copies differ.
_MODELS = {
  "noise_ensemble": 10, "averaging": 1, "colluding_mean": 1, "colluding_ensemble": 2,
  "imitation": 5,
}  # fmt: skip
_HEALED = 7  # copies that attackers of a client have healed, or heal
_ANY_SIZE = 0.1
_BATCH = 32
_BASE_GIB = 1.3  # TensorFlow and TFF with nothing to do


def look(
  image_set: ImageSet, data_hash: str, cache_dir: str
) -> tuple[dict[str, Any], list[tuple[str, np.ndarray]]]:
  """Facts and rows of pictures of a data set; the facts are computed once."""
  # The hash leaves out what became of every file.
  key = f"{survey_lib.VERSION} {data_hash} {json.dumps(image_set.inventory)}"
  facts = remember(cache_dir, "survey", key, lambda: survey_lib.survey(image_set))
  return facts, survey_lib.pictures(image_set)


def look_at(
  config: Config, page: pathlib.Path, log: Callable[[str], None] = lambda text: None
) -> bool:
  """Looks at the data of a configuration and writes a page.

  Args:
    config: As for a run.
    page: The HTML file to write.
    log: Is told what is found.

  Returns:
    Whether a run could begin: data, split and partition fit.

  Raises:
    UserError: The data can't be read at all.
  """
  image_set = read_images(config, log)
  data_hash = content_hash(image_set, config.cache_dir)
  facts, pictures = look(image_set, data_hash, config.cache_dir)
  for line in survey_lib.lines(facts):
    log(line)
  try:
    prepared = prepare(config, log)
    told = estimate(config, prepared)
    fits = True
  except UserError as error:
    told, fits = [f"a run would be refused: {error}"], False
  for line in told:
    log(line)
  title = f"{config.dataset} {config.task or pathlib.Path(config.data_dir).name}".strip()
  write_page(page, title, facts, pictures, told)
  return fits


def estimate(config: Config, prepared: Prepared) -> list[str]:
  """Time and memory of a run, in sentences, from the time of a few steps of its own model.

  Compilation, other programs and the choice of runtime are not in it: it tells minutes from hours.
  """
  forward_backward = seconds_per_image(prepared)
  train = sum(map(len, prepared.clients)) * config.local_epochs * config.rounds
  train *= config.clients_in_a_round / config.num_clients
  local = config.local_attack_steps if config.trains_robustly else 0
  training = train * (1 + local) * forward_backward
  adaptation = 0.0
  if config.adapts or config.heals_copies:
    count = len(prepared.parts.adaptation) * config.adaptation_share
    epochs = config.adaptation_epochs
    anew = epochs if config.adaptation_examples == "each_epoch" else 1
    once = count * (epochs * 2 + config.adaptation_steps * anew) * forward_backward
    if config.adaptation_examples == "iterated":  # as if every pass found as many as there are
      passes = config.adaptation_passes
      once = sum(count * (epochs * (1 + n) + config.adaptation_steps) for n in range(1, passes + 1))
      once *= forward_backward
    adaptation = once * (config.adapts + config.num_clients * config.heals_copies)
  attacked = len(targets.attacked_rows(config, prepared))
  evaluation = attacked * len(config.attack_eps) * _gradients(config, prepared) * forward_backward
  if config.evaluation == "strong":  # what attackers without a copy train
    epochs = min(config.rounds * config.local_epochs, alone.MOST_EPOCHS) + config.local_epochs
    evaluation += sum(map(len, prepared.clients)) * epochs * forward_backward
    if config.heals_copies:  # who averages, and who imitates
      evaluation += _HEALED * config.num_clients * once
  weights = sum(int(np.prod(spec.shape)) for spec in prepared.model.weight_specs()) * 4 / 2**30
  images = prepared.image_set.images
  pixels = images.nbytes / 2**30
  held = pixels if not isinstance(images, np.memmap) else 0.0
  memory = _BASE_GIB + held + weights * (config.num_clients + 4) + pixels / config.num_clients
  return [
    f"training about {_time(training)}, adaptation {_time(adaptation)}, evaluation "
    f"{_time(evaluation)} at most, at {forward_backward * 1e3:.2f} ms an image and step on this "
    "machine",
    f"memory about {memory:.1f} GiB, shards {pixels:.2f} GiB on disk",
  ]


def _gradients(config: Config, prepared: Prepared) -> float:
  """Gradients for an attacked image and size, as if no attack ended it for those that follow.

  A forward pass is about a third of one; every victim sees what every adversary makes.
  """
  clients = config.num_clients
  copies = clients if config.noisy_downlink else 1
  suite = targets.suite_of(config)
  if suite is None:
    steps = sum(
      config.attack_steps * config.attack_restarts if ATTACKS[name].iterates else 1
      for name in config.attacks.split(",")
    )
    crafted, attempts = copies * steps, copies
  else:
    models = {name: count for name, count in _MODELS.items() if copies > 1}
    models |= {"own_copy": 1, "round_history": 2, "local_update": 1, "surrogate": 1}
    models["black_box"] = copies
    if not config.heals_copies:
      models.pop("imitation", None)
    crafted = attempts = 0.0
    for trial in suite.of_classes(prepared.model.num_classes, models).possible(models):
      adversaries = clients if trial.attacker in ("local_update", "surrogate") else copies
      crafted += adversaries * models[trial.attacker] * gradients(trial.spec(_ANY_SIZE))
      attempts += adversaries
  views = len(views_of(parse_views(config.test_time_augment)))
  return (crafted + attempts * copies / 3) * views


def seconds_per_image(prepared: Prepared) -> float:
  """Seconds for the gradient of the loss of one image, measured in batches of 32."""
  import tensorflow as tf

  from fedsafe_tff import keys

  model = prepared.model.in_training
  weights = tuple(tf.convert_to_tensor(w) for w in model.init(keys.root(0)))
  rows = np.resize(prepared.parts.train, _BATCH)
  x = tf.cast(prepared.image_set.images[rows], tf.float32) / 255.0
  y = tf.convert_to_tensor(prepared.image_set.labels[rows])

  @tf.function
  def step():
    with tf.GradientTape() as tape:
      tape.watch(weights)
      losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, model.apply(weights, x))
    return [tf.reduce_sum(gradient) for gradient in tape.gradient(losses, weights)]

  step()  # compiles
  times = []
  for _ in range(3):
    begun = time.perf_counter()
    step()
    times.append(time.perf_counter() - begun)
  return min(times) / _BATCH


def _time(seconds: float) -> str:
  if seconds < 90:
    return f"{seconds:.0f} s"
  return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
