"""Above a limit a sample of the clients attack and are attacked."""

import numpy as np
import pytest

from fedsafe_tff import keys
from fedsafe_tff.attackers.copies import Colluding
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.evaluation import stored
from fedsafe_tff.evaluation.result import sampled_interval
from fedsafe_tff.evaluation.transfer import Evaluator
from fedsafe_tff.evaluation.worst import worst
from tests import small

N, MOST = 7, 4
SPEC = AttackSpec("pgd", 0.05, steps=2)


@pytest.fixture(scope="module")
def evaluated():
  model = small.linear()
  weights = [np.array(w) for w in model.init(keys.root(1))]
  rng = np.random.default_rng(0)
  copies = [[w + rng.normal(0, 0.02, w.shape).astype(w.dtype) for w in weights] for _ in range(N)]
  images, labels = small.images(12, 3)
  told = []

  def evaluator(most):
    return Evaluator(
      model, copies, images, labels, key=keys.root(5), most_clients=most,
      progress=lambda done, of: told.append((done, of)),
    )

  return evaluator, told


@pytest.mark.parametrize("who", [None, Colluding(2)])
def test_a_sample_has_what_all_have_in_its_rows_and_columns(evaluated, who):
  evaluator, _ = evaluated
  whole, part = evaluator(0).attack(SPEC, who), evaluator(MOST).attack(SPEC, who)
  assert whole.clients is None and whole.of_clients == 0
  assert len(part.clients) == MOST and part.of_clients == N
  assert list(part.clients) == sorted(set(part.clients)) != list(range(MOST))
  place = np.ix_(part.clients, part.clients)
  for name in ("flipped", "right", "predicted", "outside"):
    np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[place], err_msg=name)
  np.testing.assert_array_equal(part.clean_right, whole.clean_right[list(part.clients)])


def test_it_is_drawn_by_the_key_and_says_so(evaluated, tmp_path):
  evaluator, told = evaluated
  part = evaluator(MOST).attack(SPEC)
  assert part.clients == evaluator(MOST).attack(SPEC).clients
  assert evaluator(N).attack(SPEC).clients is None
  summary = part.summary()
  assert (summary["sampled_clients"], summary["of_clients"]) == (MOST, N)
  assert summary["asr_avg_low"] <= summary["asr_avg"] <= summary["asr_avg_high"]
  assert {row["adversary"] for row in part.rows()} == set(part.clients)
  assert told[-1][1] == N and (MOST - 1, MOST) in told
  stored.save(tmp_path / "a.npz", part)
  again = stored.load(tmp_path / "a.npz", SPEC)
  assert (again.clients, again.of_clients) == (part.clients, N)
  assert worst([part, again]).clients == part.clients


def test_the_interval_of_own_copies_is_that_of_a_mean():
  """Each client is in one pair: Student's, for 5 drawn of 20 without replacement."""
  own = np.array([0.3, 0.5, 0.45, 0.6, 0.4])
  matrix = np.where(np.eye(5, dtype=bool), own, 0.9)
  half = 2.7764451 * own.std(ddof=1) / np.sqrt(5) * np.sqrt(1 - 5 / 20)
  found = sampled_interval(matrix, np.eye(5, dtype=bool), 20)
  assert found == pytest.approx((0.45 - half, 0.45 + half))


@pytest.mark.parametrize("count", [4, 15])
def test_the_interval_covers_the_mean_over_all_clients(count):
  """Of 40 clients whose pairs depend on both; over samples of some, in about 95 of 100."""
  rng = np.random.default_rng(1)
  of, covered = 40, 0
  row, column = rng.normal(0, 0.1, (2, of))
  matrix = 0.5 + row[:, None] + column + rng.normal(0, 0.1, (of, of))
  truth = matrix[~np.eye(of, dtype=bool)].mean()
  for _ in range(300):
    some = rng.choice(of, count, replace=False)
    low, high = sampled_interval(matrix[np.ix_(some, some)], ~np.eye(count, dtype=bool), of)
    covered += low <= truth <= high
  assert 0.90 < covered / 300 < 0.995
  low, high = sampled_interval(matrix, ~np.eye(of, dtype=bool), of)
  assert low == pytest.approx(truth) == high  # all of them leave nothing open
