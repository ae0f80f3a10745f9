"""Accuracy on attacked validation images."""

import dataclasses

import pytest

from fedsafe_tff import keys
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.runs import robust_validation
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.prepare import prepare
from tests.runs import tiny

SIZE = 0.08  # takes some images of an untrained model and leaves others


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
  config = tiny.config(tmp_path_factory.mktemp("robust"), defense="adaptation")
  return config, prepare(config)


def accuracy(config, prepared, weights, **changes):
  config = dataclasses.replace(config, **changes)
  scorer = Scorer(prepared.model, 32)
  return robust_validation.RobustValidation(config, prepared, scorer).accuracy(weights)


def test_a_larger_perturbation_leaves_less_and_none_leaves_all(prepared):
  config, prepared = prepared
  images, labels = prepared.images("validation")
  weights = [w.numpy() for w in prepared.model.init(keys.root(0))]
  # As many images as may be are right: of a model that is always wrong nothing is left to lose.
  scorer = Scorer(prepared.model, 32)
  if (right := (scorer.predict(weights, images) == labels).mean()) < 0.5:
    weights, right = [*weights[:-2], -weights[-2], -weights[-1]], 1 - right
  found = [
    accuracy(config, prepared, weights, defense="local", local_attack_eps=eps)
    for eps in (1e-7, SIZE, 1.0)
  ]
  assert found[0] == pytest.approx(right) and found[2] == 0.0
  assert found[2] < found[1] < found[0]
  adapted = accuracy(config, prepared, weights, defense="adaptation", adaptation_eps=SIZE)
  assert adapted == found[1]  # the same attack and the same random starts


@pytest.mark.parametrize(
  "changes, size",
  [
    ({}, 0.0),
    ({"defense": "noise_only"}, 0.0),
    ({"defense": "local", "local_attack_eps": 0.02}, 0.02),
    ({"defense": "adaptation", "adaptation_eps": 0.04}, 0.04),
    ({"defense": "healed", "adaptation_eps": 0.04}, 0.0),
    ({"defense": "local+adaptation", "local_attack_eps": 0.02, "adaptation_eps": 0.04}, 0.02),
  ],
)
def test_the_size_is_that_which_the_defence_trains_against(changes, size):
  assert robust_validation.size_of(Config(**changes)) == size
