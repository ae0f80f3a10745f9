"""A whole round against Eq. 1 to 4 in NumPy: training, clipping, noise and the weighted mean."""

import math

import numpy as np
import pytest
import tensorflow_federated as tff

from fedsafe_tff.learning.clients import Shards
from fedsafe_tff.learning.fed_safe import build_fed_safe
from fedsafe_tff.privacy import accounting, calibration
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.noise import Noise
from fedsafe_tff.training.local import METRICS
from fedsafe_tff.training.upload import Upload
from tests import small
from tests.oracle import equations, twin

CLASSES = 2
START = twin.weights(3, small.SHAPE, CLASSES, scale=0.2)
RATE = 0.1


@pytest.fixture(scope="module")
def by_hand():
  """What every client has trained, not yet clipped; their norms are far apart from C."""
  uploads = []
  for client, size in enumerate(small.SIZES):
    images, labels = small.images(size, client)
    uploads.append(
      equations.train(START, images / 255.0, labels, epochs=2, batch_size=8, rate=RATE)
    )
  return uploads


def aggregate(runtime, folder, *, clip_norm=0.0, sigma=0.0):
  """The global model after a round."""
  store = small.store(folder)
  process = build_fed_safe(
    twin.model(small.SHAPE, CLASSES, START),
    client_optimizer=tff.learning.optimizers.build_sgdm(RATE),
    clients=Shards(small.read_shards(store), batch_size=8, epochs=2, shuffle=False),
    upload=Upload("weights", clip_norm, sigma),
    seed=8,
    noise_seed=8,
  )
  output = runtime.call(process.next, runtime.call(process.initialize), [0, 1, 2])
  told = output.metrics["client_work"]["clients"]
  weights = output.state.global_model_weights.trainable
  rows = np.asarray(told["metrics"])[np.argsort(told["client"])]
  return [np.asarray(w, np.float64) for w in weights], rows


def same(left, right, atol=2e-5):
  for a, b in zip(left, right, strict=True):
    np.testing.assert_allclose(a, b, atol=atol)


def test_the_weighted_mean_of_what_clients_trained(runtime, tmp_path, by_hand):
  found, _ = aggregate(runtime, tmp_path)
  same(found, equations.weighted_mean(by_hand, small.SIZES))
  unweighted = equations.weighted_mean(by_hand, (1, 1, 1))
  assert max(np.abs(a - b).max() for a, b in zip(found, unweighted)) > 1e-3
  assert max(np.abs(a - b).max() for a, b in zip(found, START)) > 1e-2


def test_clipped_to_c_and_then_averaged(runtime, tmp_path, by_hand):
  norms = sorted(map(equations.norm, by_hand))
  most = (norms[0] + norms[1]) / 2  # two clients are clipped, one is not
  found, metrics = aggregate(runtime, tmp_path, clip_norm=most)
  clipped = [equations.clip(upload, most) for upload in by_hand]
  same(found, equations.weighted_mean(clipped, small.SIZES))
  column = METRICS.index("norm")
  np.testing.assert_allclose(metrics[:, column], list(map(equations.norm, by_hand)), rtol=1e-5)
  assert metrics[:, METRICS.index("clipped")].sum() == 2


def test_noise_of_sigma_on_every_upload(runtime, tmp_path, by_hand):
  sigma, most = 0.05, 1.0
  found, _ = aggregate(runtime, tmp_path, clip_norm=most, sigma=sigma)
  clipped = [equations.clip(upload, most) for upload in by_hand]
  quiet = equations.weighted_mean(clipped, small.SIZES)
  noise = np.concatenate([(a - b).ravel() for a, b in zip(found, quiet)])
  shares = np.array(small.SIZES) / sum(small.SIZES)
  expected = sigma * math.sqrt((shares**2).sum())  # of independent draws
  assert abs(noise.std() / expected - 1) < 4 / math.sqrt(2 * len(noise))
  assert abs(noise.mean()) < 4 * expected / math.sqrt(len(noise))


@pytest.mark.parametrize("exposures", [0, 7])
def test_a_runs_sigma_is_equation_3(exposures):
  config = Config(
    rounds=12, clip_norm=3.0, uplink_epsilon=40.0, uplink_delta=1e-4, exposures=exposures
  )
  noise = Noise.from_config(config, 230)
  expected = equations.uplink_sigma(
    most=3.0, images=230, exposures=exposures or 12, epsilon=40.0, delta=1e-4
  )
  assert noise.uplink_sigma == pytest.approx(expected, rel=1e-12)
  assert noise.paper_epsilon(12) == pytest.approx(40.0, rel=1e-9)


def test_the_sensitivities_of_equation_2():
  """Of a mean of m clipped vectors the paper's 2C/m, of one clipped vector 2C: both are reached."""
  most, images = 1.5, 12
  rng = np.random.default_rng(0)
  vectors = [equations.clip([rng.normal(size=4)], most)[0] for _ in range(images)]
  candidates = [equations.clip([rng.normal(size=4) * 9], most)[0] for _ in range(300)]
  candidates += [-c for c in candidates]
  moved = [
    equations.norm([sum([c, *vectors[1:]]) / images - sum([d, *vectors[1:]]) / images])
    for c in candidates[:60]
    for d in candidates[290:360]
  ]
  assert max(moved) <= calibration.paper_sensitivity(most, images) + 1e-12
  assert max(moved) == pytest.approx(2 * most / images, rel=1e-2)
  one = max(equations.norm([c - d]) for c in candidates[:60] for d in candidates[290:360])
  assert one == pytest.approx(images * max(moved))


@pytest.mark.parametrize("uploads", [1, 2])
def test_the_provable_epsilon_is_what_its_definition_says(uploads):
  """Delta as an integral over one or two uploads of a vector that moved by 2C."""
  sigma, most, delta = 1.4, 0.6, 1e-3
  epsilon = accounting.provable_epsilon(sigma=sigma, clip_norm=most, uploads=uploads, delta=delta)
  found = equations.two_gaussians_delta(epsilon, 2 * most, sigma, uploads)
  assert found == pytest.approx(delta, rel=1e-3)
  # The paper's sensitivity, m times smaller, would promise what does not hold.
  assert equations.two_gaussians_delta(epsilon / 2, 2 * most, sigma, uploads) > 5 * delta
