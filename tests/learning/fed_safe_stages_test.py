"""Stages in the whole process: adaptation, aggregators of TFF's, and stages of one's own."""

import collections

import numpy as np
import pytest
import tensorflow_federated as tff

from fedsafe_tff import keys
from fedsafe_tff.data.shard_reader import read_named
from fedsafe_tff.learning.adaptation import build_adapting_finalizer, build_replacing_finalizer
from fedsafe_tff.learning.aggregation import build_aggregator
from fedsafe_tff.learning.client_work import build_client_work
from fedsafe_tff.learning.clients import Shards
from fedsafe_tff.learning.fed_safe import build_fed_safe
from fedsafe_tff.learning.types import weights_type
from fedsafe_tff.training import iterated, schedules
from fedsafe_tff.training.adaptation import Adaptation, adapt
from fedsafe_tff.training.copies import Noise
from fedsafe_tff.training.steps import training_gradient
from fedsafe_tff.training.upload import Upload
from tests import small
from tests.learning.processes import IDS, MODEL, SGD, build, rounds, same, weights


@pytest.fixture(scope="module")
def shard_store(tmp_path_factory):
  return small.store(tmp_path_factory.mktemp("shards"))


def adapting(shard_store, **changes):
  settings = Adaptation(**({"eps": 0.05, "steps": 2, "epochs": 2, "batch_size": 8} | changes))
  return {
    "adaptation": settings,
    "adaptation_data": lambda: read_named(shard_store.directory, "adaptation", small.SHAPE),
  }


def test_adaptation_in_a_round_is_the_pure_function(runtime, shard_store):
  parts = adapting(shard_store)
  plain, metrics = rounds(runtime, build(shard_store), 2)
  assert not metrics["finalizer"]["adaptation"]["adapted"]
  process = build(shard_store, adapt_when=schedules.every(2), **parts)
  first, metrics = rounds(runtime, process, 1)
  assert not metrics["finalizer"]["adaptation"]["metrics"].any()
  assert process.get_hparams(first)["finalizer"]["adapt"]  # the next round adapts
  adapted, metrics = runtime.call(process.next, first, IDS)
  images, labels = read_named(shard_store.directory, "adaptation", small.SHAPE)
  key = keys.fold(plain.finalizer["key"], keys.ADAPTATION, 1)
  expected, values = adapt(MODEL, weights(plain), images, labels, key, parts["adaptation"])
  same(weights(adapted), expected, atol=1e-5)
  measured = metrics["finalizer"]["adaptation"]
  assert measured["adapted"]
  np.testing.assert_allclose(measured["metrics"], values, atol=1e-4)


@pytest.mark.parametrize(
  "examples",
  ["once", *(pytest.param(name, marks=pytest.mark.slow) for name in ("each_epoch", "iterated"))],
)
def test_adapting_after_the_last_round_gives_the_bits_of_adapting_in_it(
  runtime, shard_store, examples
):
  parts = adapting(shard_store, share=0.6, examples=examples, passes=2)
  inside = build(shard_store, adapt_when=schedules.every(2), copies=Noise(0.01), **parts)
  expected, metrics = rounds(runtime, inside, 2)
  # The training knows of no adaptation: that is what a cache of trainings holds.
  trained, _ = rounds(runtime, build(shard_store), 2)
  adapted, told = runtime.call(inside.adapt, trained)
  assert any((a != b).any() for a, b in zip(weights(trained), weights(adapted)))
  same(weights(adapted), weights(expected))
  np.testing.assert_array_equal(
    told["metrics"], metrics["finalizer"]["adaptation"]["metrics"]
  )
  if examples == "iterated":
    passes = parts["adaptation"].begin(weights(trained), small.SHAPE)._asdict()
    while not iterated.is_over(iterated.Carried(**passes)):
      passes = dict(runtime.call(inside.adapt_pass, trained, collections.OrderedDict(passes)))
    for left, right in zip(passes["weights"], weights(adapted)):
      np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(passes["table"], told["passes"])
    np.testing.assert_array_equal(passes["metrics"], told["metrics"])
  else:
    assert inside.adapt_pass is None
  for stage, key in (
    ("distributor", "noise_key"), ("client_work", "key"), ("client_work", "noise_key"),
    ("finalizer", "key"),
  ):
    left, right = getattr(adapted, stage), getattr(expected, stage)
    assert left["round"] == right["round"] == 2
    np.testing.assert_array_equal(left[key], right[key])
  mine = runtime.call(inside.distribute, adapted, IDS)
  theirs = runtime.call(inside.distribute, expected, IDS)
  for client in IDS:
    same(mine[client].trainable, theirs[client].trainable)


def test_an_adaptation_of_ones_own_is_called_and_not_taken_for_its_passes(shard_store):
  class Mine(Adaptation):
    def __call__(self, *arguments):
      return super().__call__(*arguments)

  settings = {"steps": 1, "epochs": 1, "examples": "iterated", "passes": 2}
  for kind, made in ((Mine, False), (Adaptation, True)):
    parts = adapting(shard_store) | {"adaptation": kind(**settings)}
    finalizer = build_adapting_finalizer(
      build_replacing_finalizer(weights_type(MODEL)), MODEL, parts["adaptation"],
      parts["adaptation_data"],
    )  # fmt: skip
    assert (finalizer.adapt_pass is not None) == made and finalizer.adapt is not None


@pytest.fixture(scope="module")
def mean(runtime, shard_store):
  """The state after a round of updates that are averaged."""
  return rounds(runtime, build(shard_store, upload=Upload()), 1)[0]


@pytest.mark.parametrize(
  "name",
  ["central_dp", "adaptive_dp"]
  + [pytest.param(name, marks=pytest.mark.slow) for name in ("robust", "secure_sum")],
)
def test_tffs_aggregators_take_the_place_of_the_mean(runtime, shard_store, mean, name):
  """What they do is in aggregation_test; here, that the round works with them."""
  aggregator = build_aggregator(
    name, clip_norm=1.0, noise_multiplier=1e-4, clients_per_round=3
  )
  process = build(shard_store, upload=Upload(), model_aggregator=aggregator)
  state, _ = rounds(runtime, process, 1)
  start = runtime.call(process.initialize)
  moved, along = (
    np.concatenate([np.ravel(w - o) for w, o in zip(weights(s), weights(start))])
    for s in (mean, state)
  )
  assert np.isfinite(along).all()
  assert along @ moved > 0.5 * np.linalg.norm(along) * np.linalg.norm(moved)


def test_a_stage_of_tffs_in_the_place_of_ours(runtime, shard_store):
  from fedsafe_tff.learning import types

  broadcast = tff.learning.templates.build_broadcast_process(types.weights_type(MODEL))
  identity = tff.learning.templates.finalizers.build_identity_finalizer(
    types.weights_type(MODEL), types.weights_type(MODEL).trainable
  )
  process = build(shard_store, distributor=broadcast, finalizer=identity)
  state, _ = rounds(runtime, process, 1)
  same(weights(state), weights(runtime.call(process.initialize)))
  assert process.adapt is None
  same(runtime.call(process.distribute, state, IDS).trainable, weights(state))


def test_stages_of_ours_built_by_themselves_are_those_that_are_built_in(runtime, shard_store):
  clients = Shards(small.read_shards(shard_store), batch_size=8)
  upload = Upload("weights", sigma=0.01)
  work = build_client_work(
    MODEL, SGD(0.05), clients=clients, upload=upload, seed=5, noise_seed=6
  )
  process = build_fed_safe(
    MODEL, client_work=work, clients=clients, upload=Upload("weights"), seed=5
  )
  mine, _ = rounds(runtime, process, 1)
  expected, _ = rounds(runtime, build(shard_store, upload=upload), 1)
  same(weights(mine), weights(expected))


def test_parts_may_be_functions(runtime, shard_store):
  def halved(model, values, x, y, *, key, step, attack_eps):
    logits, losses, gradients = training_gradient(model, values, x, y, key)
    return logits, losses, [0.5 * g for g in gradients]

  model = small.linear()

  def moved(rate, **parts):
    process = build_fed_safe(
      model, client_optimizer=SGD(rate), clients=Shards(small.read_shards(shard_store)), **parts
    )
    before = runtime.call(process.initialize)
    after, _ = runtime.call(process.next, before, IDS)
    return process, after, [a - b for a, b in zip(weights(after), weights(before))]

  process, state, half = moved(0.1, gradient=halved, copies=lambda w, key: [2.0 * t for t in w])
  same(half, moved(0.05)[2], atol=1e-6)
  copies = runtime.call(process.distribute, state, IDS)
  same(copies[1].trainable, [2.0 * w for w in weights(state)])
