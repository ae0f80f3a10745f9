"""TFF's aggregators in the place of Eq. 4, on uploads that a test chooses."""

import numpy as np
import pytest
import tensorflow_federated as tff

from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import order_statistics
from fedsafe_tff.learning.aggregation import build_aggregator

UPLOADS = np.array([[0.03, -0.02, 0.01], [0.05, 0.04, -0.02], [-0.01, 0.02, 0.06]], np.float32)
EXAMPLES = np.array([10.0, 30.0, 60.0], np.float32)
SHARES = EXAMPLES / EXAMPLES.sum()


def aggregate(runtime, name, uploads=UPLOADS, **keywords):
  process = build_aggregator(name, clients_per_round=3, **keywords).create(
    tff.TensorType(np.float32, [3]), tff.TensorType(np.float32)
  )
  state = runtime.call(process.initialize)
  return runtime.call(process.next, state, list(uploads), list(EXAMPLES)).result


def test_the_mean_is_equation_4(runtime):
  np.testing.assert_allclose(aggregate(runtime, "mean"), SHARES @ UPLOADS, rtol=1e-5)


def test_secure_sum_is_the_same_mean_whatever_the_norms(runtime):
  for scale in (1.0, 20.0):  # norms up to 1.3
    expected = scale * SHARES @ UPLOADS
    found = aggregate(runtime, "secure_sum", scale * UPLOADS)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_robust_aggregator_leaves_out_what_is_far_too_large(runtime):
  poisoned = UPLOADS.copy()
  poisoned[2] *= 1e6
  found = aggregate(runtime, "robust", poisoned)
  np.testing.assert_allclose(found, SHARES[:2] @ UPLOADS[:2], atol=1e-5)
  np.testing.assert_allclose(aggregate(runtime, "robust"), SHARES @ UPLOADS, atol=1e-5)


def test_the_median_and_the_trimmed_mean_are_those_of_every_coordinate(runtime):
  uploads = np.random.default_rng(0).normal(size=[3, 3]).astype(np.float32)
  np.testing.assert_allclose(aggregate(runtime, "median", uploads), np.median(uploads, 0))
  # A fifth of three, rounded up, is one on each side: what is left is the median.
  np.testing.assert_allclose(aggregate(runtime, "trimmed_mean", uploads), np.median(uploads, 0))
  poisoned = uploads.copy()
  poisoned[2] = [1e6, -1e6, 1e6]
  for name in ("median", "trimmed_mean"):
    found = aggregate(runtime, name, poisoned)
    assert ((poisoned[:2].min(0) <= found) & (found <= poisoned[:2].max(0))).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 10, 11])
def test_order_statistics_by_hand(count):
  values = np.random.default_rng(count).normal(size=[count, 2, 5]).astype(np.float32)
  np.testing.assert_allclose(order_statistics.median(values), np.median(values, 0), rtol=1e-6)
  cut = min(-(-count // 5), (count - 1) // 2)
  wanted = np.sort(values, 0)[cut : count - cut].mean(0)
  np.testing.assert_allclose(order_statistics.trimmed_mean(values), wanted, rtol=1e-5)


def test_central_dp_is_the_unweighted_mean_of_clipped_uploads(runtime):
  norms = np.linalg.norm(UPLOADS, axis=1, keepdims=True)
  clipped = UPLOADS * np.minimum(1.0, 0.05 / norms)
  assert (norms > 0.05).any() and (norms < 0.05).any()
  found = aggregate(runtime, "central_dp", clip_norm=0.05, noise_multiplier=1e-6)
  np.testing.assert_allclose(found, clipped.mean(0), atol=1e-5)


def test_central_noise_is_the_multiple_of_the_norm_over_the_clients(runtime):
  settings = {"clip_norm": 0.05, "noise_multiplier": 3.0}
  values = np.concatenate([aggregate(runtime, "central_dp", **settings) for _ in range(40)])
  quiet = aggregate(runtime, "central_dp", clip_norm=0.05, noise_multiplier=1e-6)
  noise = values - np.tile(quiet, 40)
  assert abs(noise.std() / (3.0 * 0.05 / 3) - 1) < 4 / np.sqrt(2 * len(noise))


def test_adaptive_dp_is_the_unweighted_mean_under_its_first_norm(runtime):
  found = aggregate(runtime, "adaptive_dp", noise_multiplier=1e-5)
  np.testing.assert_allclose(found, UPLOADS.mean(0), atol=1e-4)  # all norms are below 0.1
  large = aggregate(runtime, "adaptive_dp", 20 * UPLOADS, noise_multiplier=1e-5)
  clipped = UPLOADS / np.linalg.norm(UPLOADS, axis=1, keepdims=True) * 0.1
  np.testing.assert_allclose(large, clipped.mean(0), atol=1e-4)


def test_an_unknown_aggregator():
  with pytest.raises(UserError, match="--aggregator=mode is unknown: choose mean"):
    build_aggregator("mode")


def test_more_noise_than_adaptive_clipping_can_have_is_one_line(runtime):
  with pytest.raises(UserError, match=r"dp_noise_multiplier=0.3 must be below .* \(0.3\)"):
    aggregate(runtime, "adaptive_dp", noise_multiplier=0.3)
