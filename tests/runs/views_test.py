"""A run that answers by the mean over views: trained as without, evaluated and rebuilt with it."""

import numpy as np
import pytest

from fedsafe_tff.commands import train
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.models.views import averaged
from fedsafe_tff.runs.load import load_run
from fedsafe_tff.runs.rebuild import rebuild
from fedsafe_tff.runs.report.run_folder import RunFolder
from tests.runs import tiny

pytestmark = pytest.mark.usefixtures("built_once")


def run(folder, **changes):
  words = tiny.arguments(folder, defense="local+adaptation", attacks="pgd", **changes)
  assert train.train(words) == 0
  return folder / "run"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  plain = run(tmp_path_factory.mktemp("plain"))
  return plain, run(tmp_path_factory.mktemp("views"), test_time_augment="rot90,flip")


def test_clients_and_server_train_the_same_bits(runs):
  tiny.assert_same_models(*runs)


def test_evaluation_and_whoever_loads_the_run_have_the_mean(runs):
  plain, views = (load_run(run) for run in runs)
  assert views.model.in_training is not views.model and plain.model.in_training is plain.model
  images, labels = views.images("evaluation")
  mean = averaged(plain.model, ("flip", "rot90"))
  wanted = Scorer(mean, 16).predict(plain.weights, images)
  rebuilt = rebuild(RunFolder.read(runs[1]))
  for model in (views.model, rebuilt.model):
    np.testing.assert_array_equal(Scorer(model, 16).predict(views.weights, images), wanted)
  assert views.results["clean_accuracy_global"] == pytest.approx((wanted == labels).mean())
  attacked = [run.results["results"] for run in (plain, views)]
  assert [row["asr_self"] for row in attacked[0]] != [row["asr_self"] for row in attacked[1]]


def test_bad_views_are_refused_before_the_training(tmp_path):
  with pytest.raises(UserError, match="choose from flip, flip_ud, rot90"):
    run(tmp_path, test_time_augment="rotate")
  assert not (tmp_path / "run" / "models").exists()
