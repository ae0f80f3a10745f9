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
from fedsafe_tff.models.views import parse_views, views_of
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.inputs import read_images
from fedsafe_tff.runs.prepare import Prepared, prepare
from fedsafe_tff.runs.report.survey_page import write_page

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
  if config.adapts:
    count = len(prepared.parts.adaptation)
    adaptation = count * (config.adaptation_epochs * 2 + config.adaptation_steps)
    adaptation *= forward_backward
  attacked = len(prepared.parts.evaluation)
  if config.attack_images:
    attacked = min(attacked, config.attack_images)
  steps = sum(
    config.attack_steps * config.attack_restarts if ATTACKS[name].iterates else 1
    for name in config.attacks.split(",")
  )
  copies = config.num_clients if config.noisy_downlink else 1
  # A forward pass is about a third of a step; every victim sees what every adversary makes.
  each = copies * (steps + copies / 3) * forward_backward
  views = len(views_of(parse_views(config.test_time_augment)))
  evaluation = attacked * len(config.attack_eps) * each * views
  weights = sum(int(np.prod(spec.shape)) for spec in prepared.model.weight_specs()) * 4 / 2**30
  images = prepared.image_set.images
  pixels = images.nbytes / 2**30
  held = pixels if not isinstance(images, np.memmap) else 0.0
  memory = _BASE_GIB + held + weights * (config.num_clients + 4) + pixels / config.num_clients
  return [
    f"training about {_time(training)}, adaptation {_time(adaptation)}, evaluation "
    f"{_time(evaluation)} at {forward_backward * 1e3:.2f} ms an image and step on this machine",
    f"memory about {memory:.1f} GiB, shards {pixels:.2f} GiB on disk",
  ]


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
