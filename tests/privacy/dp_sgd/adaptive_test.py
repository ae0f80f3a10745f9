"""The adaptive clipping norm against tensorflow-privacy's estimator."""

import math

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy.accountant import dp_sgd_releases
from fedsafe_tff.privacy.dp_sgd.adaptive import AdaptiveClip


def test_moves_as_tensorflow_privacys_quantile_estimator():
  from tensorflow_privacy import NoPrivacyQuantileEstimatorQuery

  norms = np.random.default_rng(0).gamma(2.0, 1.0, (6, 10)).astype(np.float32)
  query = NoPrivacyQuantileEstimatorQuery(
    initial_estimate=0.5, target_quantile=0.3, learning_rate=0.4, geometric_update=True
  )
  adaptive = AdaptiveClip(initial=0.5, quantile=0.3, learning_rate=0.4)
  state, clip = query.initial_global_state(), adaptive.initialize()
  for batch in norms:
    sample = query.initial_sample_state()
    params = query.derive_sample_params(state)
    for norm in batch:
      sample = query.accumulate_record(params, sample, tf.constant(norm))
    _, state, _ = query.get_noised_result(sample, state)
    clip = adaptive.next(clip, tf.constant(batch), keys.root(0), 10)
    np.testing.assert_allclose(clip, state.current_estimate, rtol=1e-5)


def test_finds_the_quantile():
  norms = tf.constant(np.random.default_rng(0).gamma(2.0, 1.0, 1000), tf.float32)
  adaptive = AdaptiveClip(initial=100.0, quantile=0.7, count_stddev=5.0)
  clip = adaptive.initialize()
  for step in range(120):
    clip = adaptive.next(clip, norms, keys.fold(keys.root(1), step), 1000)
  assert float(clip) == pytest.approx(np.quantile(norms, 0.7), rel=0.05)


def test_one_unit_moves_the_count_by_a_half():
  adaptive = AdaptiveClip(learning_rate=1.0)
  clip = tf.constant(1.0)

  def count(*norms):
    moved = adaptive.next(clip, tf.constant(norms), keys.root(0), 1)
    return 0.5 - float(tf.math.log(moved)) - 0.5  # the centred count itself

  base = count(0.2, 3.0)
  for norm in (0.1, 1.0, 5.0, np.inf, np.nan):
    assert abs(abs(count(0.2, 3.0, norm) - base) - 0.5) < 1e-6
  assert AdaptiveClip(count_stddev=3.0).noise_multiplier == 3.0 / 0.5


def test_an_example_in_a_microbatch_moves_the_count_by_one_and_is_charged_so():
  clip = AdaptiveClip(initial=1.0, learning_rate=1.0)
  below, above = (
    float(clip.next(tf.constant(1.0), tf.constant([0.5, n]), keys.root(0), 1.0)) for n in (0.9, 1.1)
  )
  assert math.log(above / below) == pytest.approx(1.0, rel=1e-5)
  made = dp_sgd_releases(noise_multiplier=math.inf, steps=1, microbatch=2, count_multiplier=6.0)
  assert made[0].noise_multiplier == pytest.approx(3.0)  # stddev 3 over a sensitivity of 1


def test_noise_of_the_count_has_the_stated_stddev():
  adaptive = AdaptiveClip(learning_rate=1.0, count_stddev=4.0)
  next_clip = tf.function(adaptive.next, autograph=False)
  moved = [
    -np.log(next_clip(tf.constant(1.0), tf.zeros([0]), keys.fold(keys.root(1), i), 1))
    for i in range(800)
  ]
  assert np.std(moved) == pytest.approx(4.0, rel=4 / np.sqrt(2 * 800))


@pytest.mark.parametrize("values", [{"initial": 0.0}, {"quantile": 1.5}, {"count_stddev": -1.0}])
def test_values_out_of_range(values):
  with pytest.raises(UserError):
    AdaptiveClip(**values)
