"""DP-SGD's gradient: plain where nothing is asked, noised as stated, before any optimizer."""

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.attacks.pgd import pgd
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import cross_entropy
from fedsafe_tff.privacy.dp_sgd import gradient
from fedsafe_tff.privacy.dp_sgd.adaptive import AdaptiveClip
from fedsafe_tff.privacy.dp_sgd.gradient import DpSgd
from fedsafe_tff.training.steps import training_gradient
from tests import small

MODEL = small.model()
WEIGHTS = MODEL.init(keys.root(1))
KEY = keys.root(5)
PIXELS, LABELS = small.images(12, seed=3)
X = tf.constant(PIXELS, tf.float32) / 255.0
Y = tf.constant(LABELS, tf.int32)
EMPTY = X[:0], Y[:0]


def flat(tensors):
  return np.concatenate([np.ravel(t) for t in tensors])


def same(left, right):
  for a, b in zip(tf.nest.flatten(left), tf.nest.flatten(right), strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("graph", [False, True])
def test_no_noise_and_infinite_clip_is_the_plain_gradient_to_the_bit(graph):
  dp = DpSgd(np.inf, 0.0, 12)

  def private():
    return dp(MODEL, WEIGHTS, X, Y, key=KEY, step=2)

  def plain():
    return training_gradient(MODEL, WEIGHTS, X, Y, keys.fold(KEY, keys.DROPOUT, 2))

  if graph:
    private, plain = (tf.function(f, autograph=False) for f in (private, plain))
  same(private(), plain())


def test_the_same_on_adversarial_images():
  made = pgd(
    lambda x: MODEL.apply(WEIGHTS, x), X, Y, eps=0.1, step_size=0.1, steps=2, random_start=True,
    key=keys.fold(KEY, keys.ATTACK, 0),
  )
  dp = DpSgd(np.inf, 0.0, 12, attack_eps=0.1, attack_steps=2)
  plain = training_gradient(MODEL, WEIGHTS, made, Y, keys.fold(KEY, keys.DROPOUT, 0))
  same(dp(MODEL, WEIGHTS, X, Y, key=KEY, step=0), plain)
  same(dp(MODEL, WEIGHTS, X, Y, key=KEY, step=0, attack_eps=0.1), plain)


def test_adversarial_examples_cost_more_loss_than_clean_ones():
  clean, attacked = (
    DpSgd(1.0, 0.0, 12, attack_eps=eps, attack_steps=3)(MODEL, WEIGHTS, X, Y, key=KEY, step=0)[1]
    for eps in (0.0, 0.2)
  )
  assert float(tf.reduce_sum(attacked)) > float(tf.reduce_sum(clean))


def noise(dp, key=KEY, step=0):
  """What an empty batch gives: the noise alone."""
  return dp(MODEL, WEIGHTS, *EMPTY, key=key, step=step)[2]


def test_noise_has_the_stddev_that_is_stated():
  dp = DpSgd(0.3, 1.7, 10, microbatch=2)  # 5 units
  drawn = np.concatenate([flat(noise(dp, step=s)) for s in range(20)])
  stddev = 1.7 * 0.3 / 5
  error = stddev / np.sqrt(2 * len(drawn))
  assert abs(drawn.std() - stddev) < 4 * error
  assert abs(drawn.mean()) < 4 * stddev / np.sqrt(len(drawn))
  assert drawn.shape[0] > 20_000


def test_noise_is_added_to_the_clipped_sum():
  dp, still = (DpSgd(0.3, z, 12) for z in (1.7, 0.0))
  with_noise, without = (flat(d(MODEL, WEIGHTS, X, Y, key=KEY, step=4)[2]) for d in (dp, still))
  np.testing.assert_allclose(with_noise - without, flat(noise(dp, step=4)), atol=1e-6)


def test_noise_is_independent_across_clients_rounds_steps_and_tensors():
  dp = DpSgd(1.0, 1.0, 1)
  client_keys = [keys.fold(keys.root(0), r, c) for r in range(2) for c in range(3)]
  drawn = [flat(noise(dp, key, step)) for key in client_keys for step in range(3)]
  tied = np.corrcoef(drawn) - np.eye(len(drawn))
  assert np.abs(tied).max() < 5 / np.sqrt(len(drawn[0]))
  tensors = [np.ravel(t)[:8] for t in noise(dp) if tf.size(t) >= 8]
  assert len(np.unique(tensors)) == 8 * len(tensors)
  same(noise(dp), noise(dp))


def test_the_divisor_is_the_expected_batch_and_not_the_drawn_one():
  dp = DpSgd(0.5, 0.0, 100)
  whole = flat(dp(MODEL, WEIGHTS, X, Y, key=KEY, step=0)[2])
  assert np.linalg.norm(whole) <= 12 * 0.5 / 100 * (1 + 1e-5)


def test_adaptive_clip_moves_between_steps_and_scales_the_noise():
  dp = DpSgd(9.9, 1.0, 12, adaptive=AdaptiveClip(initial=1e-3, learning_rate=0.5))
  clip = dp.adaptive.initialize()
  made = dp.step(MODEL, WEIGHTS, X, Y, clip, key=KEY, step=0)
  assert float(made.clip_norm) == pytest.approx(1e-3 * np.exp(0.25), rel=1e-5)  # all are above
  assert np.std(flat(made.gradients)) == pytest.approx(1e-3 / 12, rel=0.1)


def test_an_example_changes_the_sum_of_its_microbatch_by_twice_the_clip_at_most():
  """All others stay where their coins put them, which units cut from a list would not."""
  dp = DpSgd(0.01, 0.0, 12, microbatch=4)
  run = tf.function(
    lambda x, y, step: dp(MODEL, WEIGHTS, x, y, key=KEY, step=step)[2], autograph=False,
    input_signature=[
      tf.TensorSpec([None, *X.shape[1:]]), tf.TensorSpec([None], tf.int32),
      tf.TensorSpec([], tf.int32),
    ],
  )  # fmt: skip
  moved = []
  for step in range(6):
    for last in (X[-1:], 0 * X[-1:], 1e6 * X[-1:], float("nan") * X[-1:]):
      x = tf.concat([X[:-1], last], 0)
      whole, without = (flat(run(*part, step)) for part in ((x, Y), (X[:-1], Y[:-1])))
      moved.append(np.linalg.norm(whole - without) * dp.expected_units)
  assert max(moved) <= 2 * 0.01 * (1 + 1e-4)
  assert max(moved) > 0.005


def test_examples_are_dealt_evenly_and_anew_in_each_step():
  dp = DpSgd(1.0, 0.0, 12, microbatch=4)
  sizes = []
  monkey = pytest.MonkeyPatch()
  with monkey.context() as patch:
    patch.setattr(gradient, "clipped_sum", lambda *a, units, **k: sizes.append(units.numpy()))
    for step in range(400):
      dp._sum(MODEL, WEIGHTS, X, Y, KEY, step, 0.0, 1.0)
  dealt = np.stack(sizes)
  shares = np.bincount(dealt.ravel(), minlength=3) / dealt.size
  assert np.abs(shares - 1 / 3).max() < 5 * np.sqrt(2 / 9 / dealt.size)
  together = (dealt[:, 0] == dealt[:, 1]).mean()
  assert abs(together - 1 / 3) < 5 * np.sqrt(2 / 9 / len(dealt))


def test_local_training_carries_the_clip_that_adapts():
  """Two steps of local training are those of `step`, with C handed on."""
  import tensorflow_federated as tff

  from fedsafe_tff.training.feeds import ImageFeed
  from fedsafe_tff.training.local import train

  dp = DpSgd(1e-3, 0.3, 12, adaptive=AdaptiveClip(initial=1e-3, learning_rate=0.5, count_stddev=1))
  feed = ImageFeed(tf.constant(PIXELS), Y, KEY, batch_size=12, epochs=2, shuffle=False)
  made = train(MODEL, WEIGHTS, feed, KEY, tff.learning.optimizers.build_sgdm(0.1), gradient=dp)
  weights, clip = WEIGHTS, dp.adaptive.initialize()
  for step in range(2):
    stepped = dp.step(MODEL, weights, X, Y, clip, key=KEY, step=step)
    weights = tuple(w - 0.1 * g for w, g in zip(weights, stepped.gradients))
    clip = stepped.clip_norm
  assert float(clip) != pytest.approx(1e-3, rel=0.05)
  np.testing.assert_allclose(flat(made.weights), flat(weights), atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_optimizers_learn_from_it(name):
  import tensorflow_federated as tff

  build = tff.learning.optimizers
  optimizer = {
    "sgd": lambda: build.build_sgdm(0.01),
    "momentum": lambda: build.build_sgdm(0.002, momentum=0.9),
    "adam": lambda: build.build_adam(0.005),
  }[name]()
  model = small.linear()
  dp = DpSgd(10.0, 0.01, 12)
  weights = model.init(keys.root(1))

  def loss(weights):
    return float(tf.reduce_mean(cross_entropy(model.apply(weights, X), Y)))

  before = loss(weights)
  state = optimizer.initialize(tuple(tf.TensorSpec(w.shape, w.dtype) for w in weights))
  step_fn = tf.function(
    lambda w, s: dp(model, w, X, Y, key=KEY, step=s)[2], autograph=False
  )
  for step in range(25):
    state, weights = optimizer.next(state, weights, step_fn(weights, tf.constant(step)))
  assert loss(weights) < 0.9 * before


@pytest.mark.slow
def test_tffs_worker_computes_the_same(runtime):
  import tensorflow_federated as tff

  dp = DpSgd(0.1, 0.5, 12, attack_eps=0.1, attack_steps=2)

  @tff.tensorflow.computation
  def step():
    x, y = tf.constant(X.numpy()), tf.constant(Y.numpy())
    return dp(MODEL, MODEL.init(keys.root(1)), x, y, key=keys.root(5), step=1)[2]

  made = runtime.call(step)
  expected = dp(MODEL, WEIGHTS, X, Y, key=KEY, step=1)[2]
  np.testing.assert_allclose(flat(made), flat(expected), atol=1e-5)


@pytest.mark.parametrize(
  "values,words",
  [
    ({"clip_norm": 0.0}, "clipping norm is 0.0"),
    ({"clip_norm": float("nan")}, "clipping norm is nan"),
    ({"clip_norm": float("inf")}, "finite clipping norm"),
    ({"noise_multiplier": -1.0}, "noise multiplier is -1.0"),
    ({"batch_size": 0}, "batch size is 0"),
    ({"microbatch": 0}, "microbatch is 0"),
    ({"microbatch": 3}, "no whole number of microbatches"),
    ({"attack_eps": -0.1}, "eps and steps"),
  ],
)
def test_values_out_of_range(values, words):
  with pytest.raises(UserError, match=words):
    DpSgd(**({"clip_norm": 1.0, "noise_multiplier": 1.0, "batch_size": 8} | values))
