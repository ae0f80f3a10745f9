"""TFF's private aggregators in TFF's worker: clipped means, and noise of the stated size."""

import numpy as np
import pytest

from fedsafe_tff.privacy.mechanisms.mechanism import PrivacySettings
from fedsafe_tff.privacy.mechanisms.registry import build_mechanism

SIZE = 200
UPLOADS = np.random.default_rng(0).normal(size=(3, SIZE)).astype(np.float32) / 20.0
UPLOADS[2] *= 10.0
NORMS = np.linalg.norm(UPLOADS, axis=1, keepdims=True)
CLIP = 1.0


def aggregate(runtime, name, noise_multiplier, rounds=1, **values):
  import tensorflow as tf
  import tensorflow_federated as tff

  settings = PrivacySettings(
    clip_norm=CLIP, noise_multiplier=noise_multiplier, client_images=(10, 10, 10), seed=3, **values
  )
  factory = build_mechanism(name, settings).make_aggregator(tf.TensorSpec([SIZE]))
  process = factory.create(tff.TensorType(np.float32, [SIZE]))
  state = runtime.call(process.initialize)
  made = []
  for _ in range(rounds):
    output = runtime.call(process.next, state, list(UPLOADS))
    state = output.state
    made.append(output.result)
  return np.stack(made)


CASES = [
  ("central", {}),
  ("tree", {}),
  ("distributed", {"discrete": "skellam"}),
  ("distributed", {"discrete": "gaussian"}),
]


@pytest.mark.parametrize("name,values", CASES)
def test_mean_of_clipped_uploads_with_the_stated_noise(runtime, name, values):
  assert NORMS[0] < CLIP < NORMS[2]
  mean = (UPLOADS * np.minimum(1.0, CLIP / NORMS)).mean(0)
  noise = aggregate(runtime, name, 1.5, **values)[0] - mean
  stddev = 1.5 * CLIP / 3
  # Discrete noise is that of a sensitivity which rounding has made larger.
  assert 1 - 4 / np.sqrt(2 * SIZE) < noise.std() / stddev < 1.2 + 4 / np.sqrt(2 * SIZE)
  assert abs(noise.mean()) < 4.5 * stddev / np.sqrt(SIZE)


def test_the_noise_of_a_tree_is_correlated_over_rounds_and_repeatable(runtime):
  mean = (UPLOADS * np.minimum(1.0, CLIP / NORMS)).mean(0)
  noise = aggregate(runtime, "tree", 1.5, rounds=4) - mean
  # The sum of four rounds is the root of the tree, refined: less than that of four separate ones.
  assert noise.sum(0).std() < 0.85 * np.sqrt(4) * 1.5 * CLIP / 3
  np.testing.assert_array_equal(noise, aggregate(runtime, "tree", 1.5, rounds=4) - mean)


def test_adaptive_clipping_follows_the_norms(runtime):
  made = aggregate(runtime, "central", 1e-3, rounds=8, adaptive_clip=True)
  # At first the third is cut to norm 1; the median norm is below that, and cuts more.
  assert np.linalg.norm(made[-1]) < np.linalg.norm(made[0])
