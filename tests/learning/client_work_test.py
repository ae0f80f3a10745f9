import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.learning import client_work, types
from fedsafe_tff.learning.clients import with_ids
from fedsafe_tff.learning.distribution import build_copy_distribution
from fedsafe_tff.training import schedules
from fedsafe_tff.training.copies import Noise, noisy_copy
from fedsafe_tff.training.gradients import Adversarial
from fedsafe_tff.training.local import METRICS
from fedsafe_tff.training.steps import training_gradient
from tests import small

MODEL = small.linear()
SGD = tff.learning.optimizers.build_sgdm
WEIGHTS = tff.learning.models.ModelWeights(tuple(MODEL.init(keys.root(1))), ())
DATA = [small.batches(client) for client in range(3)]


def test_schedules_set_what_the_next_round_trains_with(runtime):
  process = client_work.build_client_work(
    MODEL, SGD(0.5, 0.9), gradient=Adversarial(0.03, steps=1),
    learning_rate_fn=schedules.table([0.25, 0.0, 0.125]),
    attack_eps_fn=schedules.table([0.0, 0.25, 0.5]),
  )
  state = runtime.call(process.initialize)
  received = [WEIGHTS] * 3
  found, norms = [], []
  for _ in range(3):
    hparams = process.get_hparams(state)
    assert hparams["optimizer"]["momentum"] == np.float32(0.9)
    found.append((hparams["optimizer"]["learning_rate"], hparams["attack_eps"]))
    output = runtime.call(process.next, state, received, with_ids(DATA))
    state = output.state
    norms.append(output.measurements["clients"]["metrics"][:, METRICS.index("norm")].max())
  assert found == [(0.25, 0.0), (0.0, 0.25), (0.125, 0.5)]
  assert norms[1] == 0 < norms[2] and state["round"] == 3
  hparams["optimizer"]["learning_rate"] = np.float32(0.0)
  still = runtime.call(process.next, process.set_hparams(state, hparams), received, with_ids(DATA))
  assert not np.concatenate([np.ravel(t) for r in still.result for t in r.update]).any()


def test_without_schedules_hyperparameters_stay(runtime):
  process = client_work.build_client_work(MODEL, SGD(0.5), gradient=Adversarial(0.03, steps=1))
  state = runtime.call(process.initialize)
  later = runtime.call(process.next, state, [WEIGHTS], with_ids(DATA[:1])).state
  for at in (state, later):
    hparams = process.get_hparams(at)
    assert (hparams["optimizer"]["learning_rate"], hparams["attack_eps"]) == (0.5, np.float32(0.03))


def test_measurements_are_weighted_by_examples(runtime):
  process = client_work.build_client_work(MODEL, SGD(0.1))
  state = runtime.call(process.initialize)
  output = runtime.call(process.next, state, [WEIGHTS] * 3, with_ids(DATA, [4, 9, 1]))
  table = output.measurements["clients"]
  np.testing.assert_array_equal(table["client"], [4, 9, 1])
  sizes = np.array(small.SIZES)
  np.testing.assert_array_equal(table["metrics"][:, 0], sizes)
  np.testing.assert_array_equal([r.update_weight for r in output.result], sizes)
  train = output.measurements["train"]
  for name in ("loss", "accuracy"):
    column = table["metrics"][:, METRICS.index(name)]
    np.testing.assert_allclose(train[name], (sizes * column).sum() / sizes.sum(), rtol=1e-5)
  assert train["num_examples"] == sizes.sum()


def test_tffs_own_client_work_starts_from_copies(runtime):
  """Within TFF's composer: our distributor, TFF's work, aggregator and finalizer."""
  copies = Noise(0.5)

  @tf.function
  def predict(weights, x, training):
    return MODEL.apply(weights[0], x)

  functional = tff.learning.models.FunctionalModel(
    initial_weights=(tuple(w.numpy() for w in WEIGHTS.trainable), ()),
    predict_on_batch_fn=predict,
    loss_fn=lambda output, label, sample_weight=None: tf.reduce_mean(MODEL.losses(output, label)),
    input_spec=DATA[0].element_spec,
  )
  work = tff.learning.templates.build_functional_model_delta_client_work(
    model=functional, optimizer=SGD(0.1),
    client_weighting=tff.learning.ClientWeighting.NUM_EXAMPLES,
  )
  weights_type = types.weights_type(MODEL)
  process = tff.learning.templates.compose_learning_process(
    types.initial_weights(MODEL, 0),
    build_copy_distribution(weights_type, copies, in_rounds=True, seed=7),
    client_work.start_from_copies(work, copies),
    tff.aggregators.MeanFactory().create(weights_type.trainable, tff.TensorType(np.float32)),
    tff.learning.templates.build_apply_optimizer_finalizer(SGD(1.0), weights_type),
  )
  before = runtime.call(process.initialize)
  after, _ = runtime.call(process.next, before, with_ids([small.batches(k, 99) for k in range(3)]))
  start = before.global_model_weights.trainable
  expected = list(start)
  for client, size in enumerate(small.SIZES):
    copy = noisy_copy(start, 0.5, before.distributor["noise_key"], 0, client)
    ((x, y),) = small.batches(client, 99)
    gradients = training_gradient(MODEL, copy, x, y, keys.root(0))[2]
    share = size / sum(small.SIZES)
    expected = [w - 0.1 * share * g.numpy() for w, g in zip(expected, gradients)]
  for left, right in zip(after.global_model_weights.trainable, expected):
    np.testing.assert_allclose(left, right, atol=1e-5)
  with pytest.raises(TypeError):
    runtime.call(process.next, before, DATA)  # without identifiers
