"""Rounds in which a part of the clients trains."""

import collections
import itertools

import pytest

from fedsafe_tff.commands import train
from fedsafe_tff.errors import UserError
from fedsafe_tff.runs import loop, trainers
from fedsafe_tff.runs.cohort import cohort, took_part
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.noise import Noise
from tests.runs import tiny

SIX = {
  "num_clients": 6, "clients_per_round": 2, "min_client_images": 3, "rounds": 4,
  "partition": "iid", "attack_eps": 0.1, "defense": "server_adversarial_training",
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("without_pictures")


def _who(run):
  """The clients of each round, as the run folder has them."""
  found = collections.defaultdict(list)
  for row in tiny.rows(run / "clients.csv"):
    found[int(row["round"])].append(int(row["client"]))
  return list(found.values())


def test_every_pair_is_drawn_as_often_as_any_other():
  config = Config(num_clients=4, clients_per_round=2, seed=3)
  drawn = collections.Counter(tuple(cohort(config, number)) for number in range(600))
  assert set(drawn) == set(itertools.combinations(range(4), 2))
  # 100 of each are expected, with a standard deviation of 9.1.
  assert all(60 < times < 140 for times in drawn.values()), drawn


def test_the_draw_follows_from_seed_and_round():
  first, again, other = (Config(num_clients=50, clients_per_round=5, seed=s) for s in (1, 1, 2))
  assert [cohort(first, r) for r in range(5)] == [cohort(again, r) for r in range(5)]
  assert cohort(first, 0) != cohort(first, 1)
  assert cohort(first, 0) != cohort(other, 0)
  assert cohort(Config(num_clients=5), 7) == [0, 1, 2, 3, 4]
  assert cohort(Config(num_clients=5, clients_per_round=5), 7) == [0, 1, 2, 3, 4]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp("cohort")
  assert train.train(tiny.arguments(folder, **SIX)) == 0
  return folder / "run"


def test_those_that_were_drawn_train_and_no_others(whole):
  config = Config(num_clients=6, clients_per_round=2)
  assert _who(whole) == [cohort(config, number) for number in range(4)]
  # Every client receives the last model and attacks with it.
  evaluation = tiny.read_json(whole / "evaluation.json")
  assert len(evaluation["clean_accuracy_clients"]) == 6
  assert "2 of 6 took part in it" in (whole / "report.html").read_text()


def test_a_run_that_was_stopped_draws_the_same_clients(whole, tmp_path, monkeypatch):
  real = trainers.Trainer.next

  def stopped(self, state, index):
    if index == 2:
      raise UserError("stopped here")
    return real(self, state, index)

  with monkeypatch.context() as patch:
    patch.setattr(trainers.Trainer, "next", stopped)
    with pytest.raises(UserError, match="stopped here"):
      train.train(tiny.arguments(tmp_path, **SIX))
  assert len(_who(tmp_path / "run")) == 2
  assert train.train(tiny.arguments(tmp_path, **SIX)) == 0
  assert _who(tmp_path / "run") == _who(whole)
  tiny.assert_same_models(tmp_path / "run", whole)


def test_the_mean_and_the_metrics_are_of_those_that_took_part(whole):
  told = {int(row["round"]): float(row["train_loss"]) for row in tiny.rows(whole / "metrics.csv")}
  for number in range(1, 5):
    rows = [r for r in tiny.rows(whole / "clients.csv") if int(r["round"]) == number]
    images = [float(row["num_examples"]) for row in rows]
    losses = [float(row["loss"]) for row in rows]
    mean = sum(n * loss for n, loss in zip(images, losses)) / sum(images)
    assert told[number] == pytest.approx(mean, rel=1e-5)


def test_tffs_baselines_train_with_a_part_too(tmp_path):
  changes = {"defense": "none", "algorithm": "tff_fed_avg", "learning_rate": 0.01}
  made = tiny.arguments(tmp_path, **SIX | changes)
  assert train.train([word for word in made if "--adaptation" not in word]) == 0
  assert _who(tmp_path / "run") == [
    cohort(Config(num_clients=6, clients_per_round=2), number) for number in range(4)
  ]


def test_what_is_not_finite_is_named_by_the_clients_own_number(tmp_path):
  seen = {"took_part": [1, 4], "clients": [[5.0, 1.0, 1.0, 1.0, 0.0, 0.0]] * 6}
  outcome = {name: loop.np.array(value) for name, value in seen.items()}
  outcome["clients"][4, 1] = float("nan")
  outcome["clients"][2] = float("nan")  # did not take part
  with pytest.raises(UserError, match="the loss of client 4 is nan"):
    loop._check_finite(Config(num_clients=6, not_finite="stop"), outcome, 1, tmp_path)
  leaving = Config(num_clients=6, not_finite="leave_out")
  assert loop._check_finite(leaving, outcome, 1, tmp_path).tolist() == [4]


def test_who_was_never_drawn_is_no_member():
  config = Config(num_clients=20, clients_per_round=2, rounds=4)
  drawn = {client for number in range(4) for client in cohort(config, number)}
  assert took_part(config, 4) == sorted(drawn) and 2 <= len(drawn) <= 8
  # A run that --stop_at_epsilon ended early had fewer rounds than its settings.
  assert took_part(config, 1) == cohort(config, 0)
  assert took_part(Config(num_clients=3), 1) == [0, 1, 2]


def test_privacy_is_that_of_all_rounds_and_says_so():
  common = {"num_clients": 20, "clip_norm": 1.0, "uplink_sigma": 0.1}
  every, some = (Config(clients_per_round=m, **common) for m in (0, 5))
  left, right = (Noise.from_config(c, 10).private_statement(7) for c in (every, some))
  assert (left.epsilon, left.sampling, right.sampling) == (right.epsilon, "none", "cohort")


def test_noise_on_the_uploads_of_a_round_is_all_that_the_downlink_counts_on():
  common = {
    "rounds": 50, "exposures": 5, "defense": "noise_only", "downlink_epsilon": 1.0,
    "clip_norm": 1.0,
  }  # fmt: skip
  found = Noise.from_config(Config(num_clients=20, clients_per_round=2, **common), 100)
  alone = Noise.from_config(Config(num_clients=2, **common), 100)
  assert found.downlink_sigma == alone.downlink_sigma > 0


@pytest.mark.parametrize(
  "settings, message",
  [
    (
      {"num_clients": 3, "clients_per_round": 2, "aggregator": "central_dp", "upload": "update",
       "clip_norm": 1.0},
      "all clients in every round: leave out --clients_per_round",
    ),
    ({"num_clients": 3, "clients_per_round": 4}, "is more than --num_clients=3"),
    (
      {"num_clients": 3, "clients_per_round": 2, "privacy": "central", "noise_multiplier": 1.0,
       "clip_norm": 1.0, "upload": "update"},
      "leave out --clients_per_round",
    ),
  ],
)
def test_what_can_not_be(settings, message):
  with pytest.raises(UserError, match=message):
    Config(**settings)
