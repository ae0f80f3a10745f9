"""Each mechanism: its noise, its statement, its target."""

import math

import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.privacy import accounting, calibration
from fedsafe_tff.privacy.accountant import Release, account
from fedsafe_tff.privacy.mechanisms.mechanism import PrivacySettings
from fedsafe_tff.privacy.mechanisms.registry import MECHANISMS, build_mechanism

IMAGES = (310, 250, 400)
VALUES = {"rounds": 10, "clip_norm": 2.0, "client_images": IMAGES}


def build(name, **values):
  if "noise_multiplier" not in values:
    values.setdefault("target_epsilon", 8.0)
  return build_mechanism(name, PrivacySettings(**(VALUES | values)))


@pytest.mark.parametrize("name", ["output", "dp_sgd", "central", "tree"])
def test_a_target_is_met_by_all_rounds_together_and_not_before(name):
  made = build(name)
  assert 7.9 < made.account(10).epsilon <= 8.0
  assert made.account(5).epsilon < made.account(10).epsilon < made.account(11).epsilon
  assert made.account(0).epsilon == 0.0
  statement = made.statement(10)
  assert statement.guarantees and statement.mechanism == name and statement.delta == 1e-5
  assert statement.epsilon == made.account(10).epsilon


def test_the_papers_noise_is_by_its_formula_and_the_statement_by_what_is_provable():
  made = build("paper", target_epsilon=8.0)
  common = {"delta": 1e-5, "clip_norm": 2.0, "min_images": 250, "exposures": 10}
  assert made.upload_sigma == calibration.paper_uplink_sigma(epsilon=8.0, **common)
  statement = made.statement(10)
  assert statement.nominal_epsilon == pytest.approx(8.0)
  assert statement.epsilon == pytest.approx(
    accounting.provable_epsilon(sigma=made.upload_sigma, clip_norm=2.0, uploads=10, delta=1e-5)
  )
  assert statement.epsilon > 1000 and statement.level == "client"


def test_output_has_the_provable_sensitivity_and_the_analytic_gaussian():
  made = build("output", target_epsilon=1.0, rounds=1)
  assert made.upload_sigma == pytest.approx(3.731 * 2 * 2.0, abs=2e-3)
  assert made.upload_clip == 2.0
  many = build("output", noise_multiplier=3.0)
  assert many.upload_sigma == 12.0 and many.statement(10).compositions == 10


def test_dp_sgd_is_accounted_at_the_rate_of_the_smallest_client():
  made = build("dp_sgd", noise_multiplier=1.1, batch_size=25, local_steps=7)
  assert made.releases(3) == [Release(1.1, 21, 0.1)]
  statement = made.statement(3)
  assert statement.sampling == "poisson" and statement.sampling_rate == 0.1
  assert statement.level == "record" and statement.compositions == 21
  gradient = made.gradient
  assert (gradient.clip_norm, gradient.noise_multiplier, gradient.batch_size) == (2.0, 1.1, 25)
  assert build("dp_sgd", noise_multiplier=1.1, batch_size=100).releases(1)[0].count == 3


def test_the_issues_numbers_come_out_of_the_mechanism():
  made = build("dp_sgd", noise_multiplier=1.0, batch_size=20, local_steps=25)
  assert made.statement(10).epsilon == pytest.approx(8.789, abs=5e-4)


def test_dp_sgd_counts_adaptive_clipping_microbatches_and_patients():
  plain = build("dp_sgd", noise_multiplier=1.5)
  adaptive = build("dp_sgd", noise_multiplier=1.5, adaptive_clip=True)
  assert adaptive.gradient.adaptive.count_stddev == pytest.approx(3.2)
  assert adaptive.releases(1)[0].noise_multiplier == pytest.approx(
    (1.5**-2 + (2 * 3.2) ** -2) ** -0.5
  )
  assert build("dp_sgd", noise_multiplier=1.5, microbatch=4).releases(1)[0].noise_multiplier == 0.75
  patient = build("dp_sgd", noise_multiplier=1.5, level="patient", group=3)
  assert patient.statement(10).epsilon == account(plain.releases(10), 1e-5, group=3).epsilon
  assert patient.statement(10).epsilon > 2 * plain.statement(10).epsilon
  solved = build("dp_sgd", level="patient", group=3)
  assert 7.9 < solved.statement(10).epsilon <= 8.0
  attacked = build("dp_sgd", noise_multiplier=1.5, attack_eps=0.012, attack_steps=2)
  assert attacked.gradient.attack_steps == 2 and attacked.statement(10) == plain.statement(10)


def test_central_is_a_gaussian_for_each_round():
  made = build("central", noise_multiplier=4.0)
  epsilon = accounting.central_epsilon(noise_multiplier=4.0, rounds=10, delta=1e-5)
  statement = made.statement(10)
  assert statement.epsilon == pytest.approx(epsilon)
  assert statement.level == "client" and statement.observer == "clients"


def test_a_tree_pays_where_clients_come_rarely():
  from dp_accounting import NeighboringRelation, SingleEpochTreeAggregationDpEvent, rdp

  one_each = {"client_images": (100,) * 64, "clients_per_round": 2, "rounds": 32}
  made = build("tree", noise_multiplier=4.0, **one_each)
  library = rdp.RdpAccountant(neighboring_relation=NeighboringRelation.REPLACE_SPECIAL)
  library.compose(SingleEpochTreeAggregationDpEvent(4.0, 32))
  assert made.account(32).epsilon == pytest.approx(library.get_epsilon(1e-5), rel=0.01)
  often = {"client_images": (100,) * 2, "rounds": 32}
  assert build("tree", noise_multiplier=4.0, **often).account(32).epsilon > build(
    "central", noise_multiplier=4.0, **often
  ).account(32).epsilon


def test_no_epsilon_is_stated_for_distributed_noise():
  statement = build("distributed", noise_multiplier=4.0).statement(10)
  assert not statement.guarantees and statement.epsilon == math.inf
  assert any("not accounted for" in warning for warning in statement.warnings)


@pytest.mark.parametrize(
  "name,values,words",
  [
    ("dp_sgd", {"batch_size": 251}, "batches of 251 from a client with 250"),
    ("dp_sgd", {"level": "client"}, "protects a record or a patient"),
    ("output", {"target_epsilon": 0.0}, "target epsilon is 0.0"),
    ("output", {"noise_multiplier": 0.0}, "one above 0"),
    ("dp_sgd", {"adaptive_clip": True, "count_stddev": 0.01}, "no noise gives epsilon 8"),
    ("central", {"adaptive_clip": True}, "below a tenth"),
    ("tree", {"adaptive_clip": True}, "fix the clipping norm"),
    ("distributed", {"discrete": "laplace"}, "skellam or gaussian"),
    ("dp_sgd", {"noise_multiplier": 1.0, "target_epsilon": 1.0}, "either"),
    ("dp_sgd", {"delta": 1.0}, "delta is 1.0"),
    ("dp_sgd", {"clip_norm": math.inf}, "clipping norm is inf"),
    ("dp_sgd", {"client_images": ()}, "at least one round"),
    ("central", {"clients_per_round": 4}, "4 clients a round can't be had of 3"),
    ("homomorphic", {}, "choose paper, output, dp_sgd"),
  ],
)
def test_what_cannot_be_had_is_said(name, values, words):
  with pytest.raises(UserError, match=words):
    build(name, **values)


def test_a_delta_above_one_over_n_is_warned_of():
  few = build("output", delta=0.5).statement(1).warnings[-1]
  assert f"n = {len(IMAGES)} clients" in few  # of which an upload tells, and not of an image
  assert f"n = {min(IMAGES)} records" in build("dp_sgd", delta=0.01).statement(1).warnings[-1]
  assert not build("output", delta=0.01).statement(1).warnings


def test_the_registry_is_complete():
  assert list(MECHANISMS) == ["paper", "output", "dp_sgd", "central", "tree", "distributed"]
