import collections
import dataclasses

import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.paper import ablation, figure1, figure2, figure3, paper, table1, table2
from fedsafe_tff.paper.cells import check_typed, make_cell, of_methods
from fedsafe_tff.paper.studies import STUDIES
from tests.paper import synthetic


def make(tmp_path, method="distributed_noise", settings=None, **keywords):
  request = synthetic.request(tmp_path, settings=settings)
  return make_cell(request, request.tasks[0], method, 3, eps=(0.01, 0.02), **keywords)


def test_a_cell_is_the_tasks_configuration_with_its_own_method_and_seed(tmp_path):
  cell = make(tmp_path, settings={"rounds": 7, "downlink_sigma": 0.02, "local_attack_eps": 0.5})
  assert (cell.config.defense, cell.config.seed, cell.config.rounds) == ("distributed_noise", 3, 7)
  assert cell.config.downlink_sigma == 0.02
  assert cell.config.local_attack_eps == 0.03  # has no effect here: at its default
  assert cell.config.attacks == "pgd" and cell.config.attack_eps == cell.eps == (0.01, 0.02)
  assert make(tmp_path, "none", {"downlink_sigma": 0.02}).config.downlink_sigma == 0.01


def test_dp_is_for_the_cells_that_ask_for_it(tmp_path):
  without = make(tmp_path).config
  assert (without.clip_norm, without.uplink_sigma) == (0, 0)
  with_dp = make(tmp_path, dp=True).config
  assert (with_dp.clip_norm, with_dp.uplink_sigma) == (20, 0.001)
  for settings in ({"clip_norm": 0.0}, {"uplink_sigma": 0.0}):
    with pytest.raises(UserError, match="cells with DP need --(clip_norm|uplink_sigma)"):
      make(tmp_path, settings=settings, dp=True)
    make(tmp_path, settings=settings)
  # What a study sets need not be typed too.
  sigma = make(tmp_path, settings={"uplink_sigma": 0.0}, dp=True, changes={"uplink_sigma": 0.5})
  assert sigma.config.uplink_sigma == 0.5


def test_noise_without_a_seed_that_a_table_could_be_repeated_with(tmp_path):
  for keywords in ({}, {"dp": True}, {"method": "none", "dp": True}):
    with pytest.raises(UserError, match="give the seed of their noise, --noise_seed"):
      make(tmp_path, settings={"noise_seed": -1}, **keywords)
  assert make(tmp_path, "none", {"noise_seed": -1}).config == make(tmp_path, "none").config


def test_sizes_in_other_units(tmp_path):
  cell = make(tmp_path, eps_scale=0.5)
  assert cell.eps == (0.01, 0.02) and cell.config.attack_eps == (0.005, 0.01)
  assert make(tmp_path, eps_scale=100.0).config.attack_eps == (1.0, 1.0)  # all of the pixel range


def test_sizes_that_the_user_gives_win(tmp_path):
  request = synthetic.request(tmp_path, eps=(0.3,))
  assert {cell.eps for cell in table1.cells(request)} == {(0.3,)}


@pytest.mark.parametrize(
  "settings, flag", [({"adaptation_every": 2}, "adaptation_every"),
                     ({"downlink_schedule": "every"}, "downlink_schedule")]
)
def test_what_would_be_inside_the_rounds_is_refused(tmp_path, settings, flag):
  with pytest.raises(UserError, match=f"--{flag}.*leave it at"):
    make(tmp_path, settings=settings)
  make(tmp_path, "none", settings=settings)


def test_the_papers_cells(tmp_path):
  request = synthetic.request(tmp_path, seeds=(0, 1))
  one = table1.cells(request)
  assert len(one) == 2 * 4 and {c.eps for c in one} == {paper.EPS_TABLE1}
  assert {c.method for c in one} == {
    "none", "local_adversarial_training", "server_adversarial_training", "distributed_noise",
  }
  two = table2.cells(request)
  assert [(c.variant, c.config.uplink_sigma) for c in two[:4]] == [
    ("no DP", 0), ("no DP", 0), ("DP", 0.001), ("DP", 0.001),
  ]
  three = figure3.cells(request)
  assert [c.config.adaptation_share for c in three[:12:2]] == [0.1, 0.2, 0.3, 0.5, 0.7, 1.0]
  assert [c.variant for c in three[:12:2]] == ["10 %", "20 %", "30 %", "50 %", "70 %", "100 %"]
  assert {(c.method, c.variant) for c in three[-4:]} == {("none", "0 %"), ("noise_only", "0 %")}
  assert set(paper.EPS_TABLE1) | set(paper.EPS_TABLE2) <= set(figure2.SIZES)
  assert [(c.method, c.seed, c.examples) for c in figure1.cells(request)] == [("none", 0, True)]


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_varies_what_it_says(tmp_path, study):
  # A recipe that has three of the variants of the study of local training, TRADES, no decay and a
  # single view, and a network that has no widths to vary.
  departs = study == "local_training"
  recipe = {"local_loss": "trades", "model": "own.py:net", "local_attack_steps": 3}
  settings = recipe if departs else {}
  cells = ablation.cells(synthetic.request(tmp_path, "ablation", study=study, settings=settings))
  assert len({c.variant for c in cells}) == len(STUDIES[study][1]) - 4 * departs > 1
  methods = {v.name: len(v.methods) for v in STUDIES[study][1]}
  assert collections.Counter(c.variant for c in cells) == {
    variant: methods[variant] for variant in {c.variant for c in cells}
  }
  if study == "sigma":  # adaptation without noise stands beside every sigma
    assert len({c.config for c in cells if c.method == "server_adversarial_training"}) == 1
    cells = [c for c in cells if c.method != "server_adversarial_training"]
  alike = {
    (dataclasses.replace(c.config, seed=0), c.method) for c in cells
  }
  assert len(alike) == len(cells)  # no two cells are one and the same
  published = [c.config.evaluation_fraction for c in cells if c.config.split == "published"]
  assert len(published) == (3 if study == "split" else 0)


def test_what_a_preset_has_already_is_no_variant(tmp_path):
  settings = {
    "local_loss": "trades", "model": "gn_cnn", "rounds": 10, "local_attack_steps": 1,
    "learning_rate": 0.1, "weight_decay": 0.003, "test_time_augment": "rot90",
  }  # fmt: skip
  request = synthetic.request(tmp_path, "ablation", study="local_training", settings=settings)
  found = {c.variant: c.config for c in ablation.cells(request)}
  already = {"FGSM", "TRADES", "gn_cnn", "rate 0.1", "weight decay 0.003", "4 views"}
  assert not already & found.keys()
  assert len(found) == len(STUDIES["local_training"][1]) - len(already)
  assert found["no weight decay"].weight_decay == 0
  assert found["N-FGSM"].local_attack_noise == 1
  assert {found[f"rate {rate}"].learning_rate for rate in ("0.05", "0.2")} == {0.05, 0.2}
  assert found["7 steps"].local_attack_steps == 7
  assert found["twice the rounds"].rounds == 20 == 2 * found["the preset's"].rounds
  assert found["half the rounds"].rounds == 5
  assert [found[name].test_time_augment for name in ("a single view", "2 views")] == ["", "flip"]


def test_other_units_hold_for_the_servers_examples_too(tmp_path):
  request = synthetic.request(
    tmp_path, "ablation", study="eps_units", settings={"adaptation_eps": 0.04, "attack_steps": 6}
  )
  found = {
    c.variant: (c.config.attack_eps[0] / c.eps[0], c.config.adaptation_eps, c.config.attack_steps)
    for c in ablation.cells(request)
    if c.method == "distributed_noise"
  }
  assert found["pixels"] == (1.0, 0.04, 6) and found["of [-1, 1]"] == (0.5, 0.02, 6)
  assert found["of standard deviations"] == pytest.approx((0.225, 0.009, 6))
  assert found["size of a step"] == pytest.approx((10.0, 0.04, 10))


def test_both_sides_of_the_dp_fed_avg_study_train_alike(tmp_path):
  settings = {"learning_rate_schedule": "cosine", "gradient_clip": 1.0, "weight_decay": 0.003}
  request = synthetic.request(tmp_path, "ablation", study="dp_fed_avg", settings=settings)
  names = ("learning_rate", *settings)
  trained = {tuple(getattr(c.config, n) for n in names) for c in ablation.cells(request)}
  assert len(trained) == 1


def test_fgsm_begins_at_the_image_where_the_preset_begins_at_noise(tmp_path):
  settings = {"local_attack_steps": 2, "local_attack_noise": 1.0}
  request = synthetic.request(tmp_path, "ablation", study="local_training", settings=settings)
  found = {c.variant: c.config.local_attack_noise for c in ablation.cells(request)}
  assert (found["FGSM"], found["N-FGSM"]) == (0, 1)


def test_a_typed_flag_without_effect_in_any_cell(tmp_path):
  def check(*typed, **keywords):
    request = synthetic.request(tmp_path, typed=frozenset(typed), **keywords)
    check_typed(request, table1.cells(request))

  check("rounds", "adaptation_eps", "local_attack_eps", "downlink_sigma")
  with pytest.raises(UserError, match="--attack_restarts has no effect here.*random_start"):
    check("attack_restarts")
  with pytest.raises(UserError, match="--uplink_sigma has no effect here: it needs --dp"):
    check("uplink_sigma")
  check("uplink_sigma", dp=True)
  request = synthetic.request(tmp_path, "table2", typed=frozenset(["local_attack_eps"]))
  with pytest.raises(UserError, match="--local_attack_eps has no effect"):
    check_typed(request, table2.cells(request))


def test_a_typed_flag_that_the_study_sets_itself(tmp_path):
  def check(name, typed, **settings):
    request = synthetic.request(
      tmp_path, "ablation", study=name, settings=settings, typed=frozenset([typed])
    )
    check_typed(request, ablation.cells(request))

  with pytest.raises(UserError, match="--attack_steps has no effect here: steps sets it itself"):
    check("steps", "attack_steps", attack_steps=77)
  with pytest.raises(UserError, match="--num_clients has no effect here: clients sets it"):
    check("clients", "num_clients", num_clients=7)
  check("clients", "attack_steps", attack_steps=77)
  check("clients", "num_clients", num_clients=10)
  check("local_training", "rounds", rounds=6)


def test_a_single_cell_can_be_asked_for_by_its_method(tmp_path):
  request = synthetic.request(tmp_path, methods=("noise_only",))
  with pytest.raises(UserError, match="table1 has no method 'noise_only': choose of none, local_"):
    of_methods(request, table1.cells(request))
  request = dataclasses.replace(request, methods=("distributed_noise",))
  (cell,) = of_methods(request, table1.cells(request))
  assert (cell.method, cell.seed) == ("distributed_noise", 0)
  everything = dataclasses.replace(request, methods=())
  assert len(of_methods(everything, table1.cells(request))) == 4


def test_tables_ask_for_the_papers_attacks_whatever_a_runs_default(tmp_path):
  cell = make(tmp_path, settings={"evaluation": "strong"})
  assert cell.config.evaluation == "paper" and "evaluation" not in cell.config.identity()


def test_combined_has_cells_where_it_is_asked_for(tmp_path):
  request = synthetic.request(tmp_path)
  assert "combined" not in {cell.method for cell in table1.cells(request)}
  request = synthetic.request(tmp_path, methods=("none", "combined"))
  cells = of_methods(request, table1.cells(request))
  assert {cell.method for cell in cells} == {"none", "combined"}
  assert {cell.config.defense for cell in cells} == {"none", "combined"}
