"""Attacks are traced once for a model: again for other sizes, steps or evaluators would take longer
than the attacks themselves, and TensorFlow warns of it.
"""

import dataclasses
import logging

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attackers.copies import NoiseEnsemble
from fedsafe_tff.attackers.holding import Holding
from fedsafe_tff.attacks.craft import craft
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.evaluation.masking import check_masking
from fedsafe_tff.evaluation.suites import SUITES
from fedsafe_tff.evaluation.transfer import Evaluator
from tests import small

KEY = keys.root(3)


@pytest.fixture
def counted():
  """A model that counts how often its function is traced, three copies, and images."""
  plain, calls = small.linear(), []

  def apply(*arguments):
    calls.append(tf.inside_function())
    return plain.apply_fn(*arguments)

  model = dataclasses.replace(plain, apply_fn=apply)
  copies = [model.init(keys.fold(KEY, client)) for client in range(3)]
  return model, copies, small.images(10, 1), calls


def evaluator(model, copies, images):
  # Batches of 4, 4 and 2.
  return Evaluator(model, copies, *images, key=KEY, batch_size=4)


def pgd(eps, steps=3, **more):
  return AttackSpec("pgd", eps, steps=steps, random_start=True, **more)


def test_sizes_steps_batches_and_evaluators_share_one_trace(counted):
  model, copies, images, calls = counted
  first = evaluator(model, copies, images)
  first.attack(pgd(0.1))
  first.attack(pgd(0.1), NoiseEnsemble(0.1, draws=2))
  known = len(calls)
  assert known > 0 and all(calls)
  again = evaluator(model, [copies[2], copies[0], copies[1]], images)
  for scored in (first, again):
    scored.attack(pgd(0.2))
    scored.attack(pgd(0.2, steps=7, step_size=0.01))
    scored.attack(pgd(0.3), NoiseEnsemble(0.1, draws=2))
  assert len(calls) == known
  first.attack(pgd(0.1, loss="margin"))
  assert len(calls) > known


def test_steps_that_are_a_tensor_change_no_bit():
  model = small.model()
  weights = model.init(KEY)
  images, labels = small.images(4, 1)
  x, y = tf.constant(images / np.float32(255)), tf.constant(labels, tf.int32)
  for name in ("pgd", "mi_fgsm", "vmi_fgsm"):
    spec = AttackSpec(name, 0.1, steps=3, step_size=0.03, random_start=True, keep="worst")
    made = tf.function(
      lambda steps, spec=spec: craft(lambda v: model.apply(weights, v), x, y, spec, KEY)
    )(tf.constant(3))
    crafted = evaluator(model, [weights], (images, labels))._crafter
    graph = crafted._graph(model, Holding((weights,)), spec)
    np.testing.assert_array_equal(graph(x, y, KEY).images, made)


def test_no_suite_and_no_look_for_masks_makes_tensorflow_warn_of_traces(counted):
  model, copies, images, _ = counted
  told = []
  handler = logging.Handler()
  handler.emit = lambda record: told.append(record.getMessage())
  tf.get_logger().addHandler(handler)
  try:
    for eps in (0.1, 0.2):
      scored = evaluator(model, copies[:1] * 3, (images[0][:3], images[1][:3]))
      for trial in SUITES["standard"].trials:
        spec = dataclasses.replace(trial.spec(eps), steps=2)
        scored.attack(spec)
      check_masking(model, copies[0], *images, eps=eps, key=KEY, steps=2, queries=3, draws=1)
  finally:
    tf.get_logger().removeHandler(handler)
  assert not [text for text in told if "retracing" in text]
