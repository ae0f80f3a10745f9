"""Mechanisms asked for by flags: solved, trained with, accounted for, stopped in time, resumed."""

import dataclasses
import signal

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedsafe_tff.errors import UserError
from fedsafe_tff.learning import fed_safe
from fedsafe_tff.learning.clients import Shards
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.privacy.accountant import Release, account
from fedsafe_tff.privacy.dp_sgd.gradient import DpSgd
from fedsafe_tff.privacy.dp_sgd.sampling import PoissonFeed
from fedsafe_tff.privacy.mechanisms.registry import MECHANISMS
from fedsafe_tff.privacy.statement import PrivacyStatement
from fedsafe_tff.runs import loop, private, run, saved_models, warm_start
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.noise import Noise
from fedsafe_tff.runs.report import privacy_section
from fedsafe_tff.runs.report.run_folder import RunFolder
from tests import small
from tests.runs import tiny

pytestmark = pytest.mark.usefixtures("built_once")
DP_SGD = {"privacy": "dp_sgd", "clip_norm": 1.0, "target_epsilon": 8.0, "batch_size": 8}


def test_dp_sgd_by_flags_is_accounted_for_as_it_samples():
  config = Config(**DP_SGD, rounds=5, local_epochs=2)
  noise = Noise.from_config(config, 40, client_images=(40, 80))
  assert private.poisson_steps(config, (40, 80)) == 2 * 8  # epochs of 60 images in batches of 8
  gradient = noise.mechanism.gradient
  release = Release(gradient.noise_multiplier, 5 * 16, 8 / 40)
  assert noise.epsilon(5) == pytest.approx(account([release], 1e-5).epsilon)
  assert 7.9 < noise.epsilon(5) <= 8.0 and noise.epsilon(2) < noise.epsilon(5)
  assert (gradient.clip_norm, noise.upload_clip, noise.uplink_sigma) == (1.0, 0.0, 0.0)
  facts = noise.facts(2, 5)
  now, planned = (PrivacyStatement.from_json(facts[name]) for name in ("now", "planned"))
  assert (now.level, now.sampling, now.sampling_rate) == ("record", "poisson", 0.2)
  assert now.epsilon == noise.epsilon(2) and planned.epsilon == noise.epsilon(5)


def test_adversarial_training_is_private_too():
  config = Config(
    **DP_SGD, defense="local_adversarial_training", local_attack_eps=0.02, local_attack_steps=2
  )
  gradient = Noise.from_config(config, 40).mechanism.gradient
  assert (gradient.attack_eps, gradient.attack_steps) == (0.02, 2)


def test_a_patient_costs_more_than_an_image_and_must_be_known():
  config = Config(**DP_SGD | {"target_epsilon": 0.0, "noise_multiplier": 2.0})
  by_patient = dataclasses.replace(config, privacy_level="patient")
  image = Noise.from_config(config, 40)
  patient = Noise.from_config(by_patient, 40, largest_patient=3)
  assert patient.epsilon(10) > 2 * image.epsilon(10)
  assert patient.private_statement(10).group == 3
  with pytest.raises(UserError, match="whose patients are named"):
    Noise.from_config(by_patient, 40)


@pytest.mark.parametrize("changes, told", [
  ({"target_epsilon": 0.0}, "either --target_epsilon or --noise_multiplier"),
  ({"noise_multiplier": 1.0}, "either --target_epsilon or --noise_multiplier"),
  ({"clip_norm": 0.0}, "needs --clip_norm above 0"),
  ({"uplink_sigma": 0.1}, "leave out --uplink_sigma"),
  ({"aggregator": "central_dp", "upload": "update"}, "--aggregator=mean"),
  ({"privacy": "central"}, "add --upload=update"),
  ({"dp_microbatches": 3}, "--dp_microbatches=3 must divide --batch_size=8"),
  ({"dp_microbatches": 16}, "--dp_microbatches=16 must divide --batch_size=8"),
  ({"dp_clip": "moving"}, "--dp_clip=moving is unknown"),
])
def test_what_does_not_go_together_is_told(changes, told):
  with pytest.raises(UserError, match=told):
    Config(**DP_SGD | changes)


def test_a_clip_that_adapts_and_microbatches_are_counted_and_stated():
  changes = {"target_epsilon": 0.0, "noise_multiplier": 2.0, "dp_clip": "adaptive"}
  config = Config(**DP_SGD | changes)
  plain = Noise.from_config(dataclasses.replace(config, dp_clip="fixed"), 40)
  adaptive = Noise.from_config(config, 40)
  assert adaptive.mechanism.gradient.adaptive.initial == 1.0
  assert adaptive.epsilon(10) > 1.01 * plain.epsilon(10)
  both = Noise.from_config(dataclasses.replace(config, dp_microbatches=4), 40)
  assert both.mechanism.gradient.microbatch == 2 and both.mechanism.gradient.expected_units == 4
  assert both.epsilon(10) > 2 * adaptive.epsilon(10)
  now = PrivacyStatement.from_json(both.facts(10, 10)["now"])
  assert (now.clip, now.microbatch) == ("adaptive", 2)
  said = " ".join(both.statement(10))
  assert "the mean of 2 images" in said and "follows a quantile" in said
  assert "Clipping" not in " ".join(plain.statement(10))


@pytest.mark.parametrize("changes, told", [
  ({"privacy": "tree", "upload": "update", "dp_clip": "adaptive"}, "--dp_clip has no effect"),
  ({"privacy": "output", "dp_microbatches": 2}, "--dp_microbatches has no effect"),
  ({"dp_microbatches": -1}, "--dp_microbatches=-1 is out of range"),
])
def test_clipping_flags_that_do_nothing_are_refused(changes, told, tmp_path):
  with pytest.raises(UserError, match=told):
    tiny.config(tmp_path, **DP_SGD | {"defense": "server_adversarial_training"} | changes)


def test_more_noise_than_a_central_clip_that_adapts_can_have_is_told():
  config = Config(
    privacy="central", clip_norm=1.0, noise_multiplier=0.5, upload="update", dp_clip="adaptive"
  )
  with pytest.raises(UserError, match="below a tenth"):
    Noise.from_config(config, 40)


def test_batches_larger_than_a_client_are_told():
  with pytest.raises(UserError, match="smaller --batch_size"):
    Noise.from_config(Config(**DP_SGD | {"batch_size": 41}), 40)


@pytest.mark.parametrize("settings", [
  {"uplink_sigma": 0.5, "clip_norm": 2.0},
  {"aggregator": "central_dp", "upload": "update", "clip_norm": 2.0, "dp_noise_multiplier": 3.0},
  {"algorithm": "tff_dp_fed_avg", "clip_norm": 2.0, "dp_noise_multiplier": 3.0},
])
def test_older_flags_have_a_statement_of_the_same_epsilon(settings):
  noise = Noise.from_config(Config(**settings), 40)
  assert noise.private_statement(7).epsilon == pytest.approx(noise.epsilon(7), rel=1e-6)


def test_without_a_mechanism_nothing_is_guaranteed():
  for settings in ({}, {"uplink_sigma": 0.5}, {"defense": "noise_only"}):
    made = Noise.from_config(Config(**settings), 40).facts(3, 3)["now"]
    assert made["guarantees"] is False and made["epsilon"] is None


@pytest.mark.parametrize("name", [name for name in MECHANISMS if name != "distributed"])
@pytest.mark.parametrize("defense, adapts", [
  ("none", False), ("local_adversarial_training", False), ("server_adversarial_training", True),
  ("distributed_noise", True), ("combined", True), ("local+adaptation", True),
])
def test_images_that_adaptation_trains_on_are_not_covered(name, defense, adapts, tmp_path):
  config = Config(
    privacy=name, clip_norm=1.0, noise_multiplier=4.0, batch_size=8, defense=defense, rounds=2,
    upload="update",
  )
  assert (config.adapts or config.heals_copies) == adapts
  noise = Noise.from_config(config, 40)
  facts, told = noise.facts(2, 2), " ".join(noise.statement(2))
  page = privacy_section.section(
    RunFolder(tmp_path, {}, {}, [], [], {}, {}, [], {}, privacy=facts)
  )["facts"]
  for where in (
    "; ".join(facts["now"]["not_covered"]), "; ".join(facts["planned"]["not_covered"]), told,
    dict(page)["not protected"],
  ):
    assert "the server's own images" in where
    assert ("on which adaptation trains without clipping or noise" in where) == adapts
  assert "no privacy statement can be made" not in told


def test_rounds_within_an_epsilon():
  assert private.rounds_within(lambda n: 2.0 * n, 9.0, 20) == 4
  assert private.rounds_within(lambda n: 2.0 * n, 9.0, 3) == 3
  with pytest.raises(UserError, match="one round costs epsilon 2"):
    private.rounds_within(lambda n: 2.0 * n, 1.0, 20)
  with pytest.raises(UserError, match="no epsilon is guaranteed"):
    private.rounds_within(lambda n: None, 1.0, 20)


def _fixed(weights: np.ndarray) -> FunctionalModel:
  model = small.linear()
  return dataclasses.replace(model, init_fn=lambda key: tuple(map(tf.constant, weights)))


@pytest.mark.slow
def test_sampling_and_noise_of_dp_sgd_follow_the_noises_seed(runtime):
  """A seed that stands in a paper's table must not undo the noise, nor tell who was drawn."""
  del runtime  # TFF's default; a run that ended before leaves one that is closed
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (30, *small.SHAPE)).astype(np.uint8)
  read = lambda client: (tf.constant(images), tf.constant(np.arange(30) % 2, tf.int32))  # noqa: E731
  model = _fixed((rng.normal(size=(256, 2)).astype(np.float32), np.zeros(2, np.float32)))

  def after(noise_multiplier, seed, noise_seed):
    process = fed_safe.build_fed_safe(
      model,
      client_optimizer=tff.learning.optimizers.build_sgdm(0.1),
      clients=Shards(read, batch_size=6, poisson_steps=3),
      gradient=DpSgd(clip_norm=1.0, noise_multiplier=noise_multiplier, batch_size=6),
      seed=seed,
      noise_seed=noise_seed,
    )
    state = process.next(process.initialize(), [0]).state
    return np.concatenate([np.ravel(w) for w in process.get_model_weights(state).trainable])

  for noise in (0.0, 1.0):  # without noise what differs are the batches
    first = after(noise, seed=1, noise_seed=5)
    np.testing.assert_array_equal(first, after(noise, seed=1, noise_seed=5))
    assert np.abs(first - after(noise, seed=1, noise_seed=6)).max() > 1e-3


def test_shards_are_sampled_at_their_clients_rate():
  images, labels = tf.zeros([50, 4, 4, 1], tf.uint8), tf.zeros([50], tf.int32)
  feed = Shards(lambda client: (images, labels), batch_size=10, poisson_steps=400).feed_of(
    tf.constant(0), tf.constant([1, 2], tf.int64)
  )
  assert isinstance(feed, PoissonFeed) and feed.steps == 400
  drawn = np.mean([len(feed.rows(step)) for step in range(400)])
  assert abs(drawn - 10) < 4 * np.sqrt(50 * 0.2 * 0.8 / 400)


@pytest.fixture(scope="module")
def stopped_and_whole(tmp_path_factory):
  """A private run that ends within its epsilon, whole and stopped after each round."""
  folder = tmp_path_factory.mktemp("private")
  flags = DP_SGD | {
    "target_epsilon": 0.0, "noise_multiplier": 1.0, "rounds": 6, "noise_seed": 3,
    "defense": "server_adversarial_training", "runtime": "device", "dp_clip": "adaptive",
    "dp_microbatches": 4,
  }
  del flags["batch_size"]
  cost = Noise.from_config(tiny.config(folder, **flags), 26, client_images=(26, 26, 26)).epsilon
  flags["stop_at_epsilon"] = round((cost(3) + cost(4)) / 2, 3)
  whole = run.run(tiny.config(folder, **flags))
  with pytest.MonkeyPatch.context() as patch:
    save = loop.Checkpoints.save

    def save_and_stop(self, state, version):
      save(self, state, version)
      if version == 2:
        signal.raise_signal(signal.SIGTERM)

    patch.setattr(loop.Checkpoints, "save", save_and_stop)
    with pytest.raises(run.Stopped):
      run.run(tiny.config(folder, **flags, run_dir=folder / "again"))
  again = run.run(tiny.config(folder, **flags, run_dir=folder / "again"))
  return whole, again, flags["stop_at_epsilon"]


def test_a_run_stops_within_its_epsilon_and_is_whole(stopped_and_whole):
  path, _, most = stopped_and_whole
  epsilons = [float(row["epsilon"]) for row in tiny.rows(path / "metrics.csv")]
  assert epsilons == sorted(epsilons) and 0 < epsilons[-1] <= most
  facts = tiny.read_json(path / "privacy.json")
  assert facts["rounds"] == facts["planned_rounds"] == len(epsilons) < 6
  assert facts["now"]["epsilon"] == epsilons[-1]
  assert [row["adapted"] for row in tiny.rows(path / "metrics.csv")][-1] == "1"
  assert "finished" in tiny.read_json(path / "manifest.json")
  assert "dp_sgd: (" in (path / "report.html").read_text()


def test_the_accountant_and_the_run_agree_after_a_stop(stopped_and_whole):
  whole, again, _ = stopped_and_whole
  assert tiny.read_json(whole / "privacy.json") == tiny.read_json(again / "privacy.json")
  assert tiny.rows(whole / "metrics.csv", "seconds") == tiny.rows(again / "metrics.csv", "seconds")
  tiny.assert_same_models(whole, again)


def test_a_run_begins_with_another_runs_weights(stopped_and_whole, tmp_path):
  path = stopped_and_whole[0]
  stored = saved_models.read(path / "models" / "global.npz")
  assert warm_start.file_of(str(path)) == path / "models" / "global.npz"
  with pytest.raises(UserError, match="holds no weights"):
    warm_start.file_of(str(tmp_path))
  with pytest.raises(UserError, match="is of another model"):
    warm_start.begin_from(small.linear(), str(path))
  made = run.run(
    tiny.config(
      tmp_path, init_from=path, rounds=1, learning_rate=1e-9, runtime="device",
      defense="server_adversarial_training", adaptation_learning_rate=1e-9,
    )
  )
  after = saved_models.read(made / "models" / "global.npz")
  for mine, theirs in zip(after.weights, stored.weights, strict=True):
    np.testing.assert_allclose(mine, theirs, atol=1e-6)
  for mine, theirs in zip(after.frozen, stored.frozen, strict=True):
    np.testing.assert_array_equal(mine, theirs)
  assert tiny.read_json(made / "manifest.json")["init_hash"]


@pytest.mark.slow
def test_distributed_noise_runs_and_states_no_epsilon(tmp_path):
  """TFF's description of this process is deeper than protobuf reads by default."""
  made = run.run(
    tiny.config(
      tmp_path, privacy="distributed", noise_multiplier=0.2, clip_norm=1.0, upload="update",
      defense="server_adversarial_training", rounds=1, runtime="device",
    )
  )
  assert "finished" in tiny.read_json(made / "manifest.json")
  now = tiny.read_json(made / "privacy.json")["now"]
  assert (now["mechanism"], now["guarantees"], now["compositions"]) == ("distributed", False, 1)


@pytest.mark.slow
@pytest.mark.parametrize("runtime_name", ["native", "ray"])
def test_all_runtimes_clip_and_deal_alike(runtime_name, tmp_path):
  flags = DP_SGD | {
    "target_epsilon": 0.0, "noise_multiplier": 1.0, "rounds": 1, "noise_seed": 3,
    "dp_clip": "adaptive", "dp_microbatches": 4, "defense": "server_adversarial_training",
  }
  del flags["batch_size"]
  left, right = (
    tiny.models(run.run(tiny.config(tmp_path, **flags, runtime=name, run_dir=tmp_path / name)))
    for name in ("device", runtime_name)
  )
  assert left.keys() == right.keys()
  for name, value in left.items():
    if value.dtype.kind == "f":
      np.testing.assert_allclose(value, right[name], atol=1e-5, err_msg=name)
    else:  # the weights' names
      np.testing.assert_array_equal(value, right[name])
