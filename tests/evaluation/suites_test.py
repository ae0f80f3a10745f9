import numpy as np
import pytest

from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation import stored, suites
from fedsafe_tff.evaluation.result import AttackResult
from fedsafe_tff.evaluation.worst import worst


def test_standard_is_pgd_20_with_two_steps_and_two_losses():
  specs = [trial.spec(0.04) for trial in suites.SUITES["standard"].trials]
  assert {(s.name, s.steps, s.random_start) for s in specs} == {("pgd", 20, True)}
  assert {(s.step_size, s.loss) for s in specs} == {
    (step, loss) for step in (0.005, 0.01) for loss in ("cross_entropy", "margin")
  }


def test_strong_has_all_that_standard_has_and_transfer_attacks_apgd_square_restarts():
  strong = suites.SUITES["strong"]
  assert strong.trials[:4] == suites.SUITES["standard"].trials
  specs = [trial.spec(0.04, "predicted") for trial in strong.trials]
  assert {s.name for s in specs} == {
    "pgd", "apgd", "square", "mi_fgsm", "ni_fgsm", "di_fgsm", "vmi_fgsm",
  }
  assert max(s.restarts for s in specs) == 3 and {s.labels for s in specs} == {"predicted"}
  assert len({(t.attacker, t.attack) for t in strong.trials}) == len(strong.trials)
  assert set(strong.attackers) == {
    "own_copy", "noise_ensemble", "averaging", "round_history", "colluding_mean",
    "colluding_ensemble", "local_update", "surrogate", "imitation", "black_box",
  }


def test_gradients_are_counted_for_the_time_left():
  assert suites.gradients(AttackSpec("fgsm", 0.1)) == 1
  starts = AttackSpec("pgd", 0.1, steps=50, random_start=True, restarts=3)
  assert suites.gradients(starts) == 150
  assert suites.gradients(AttackSpec("vmi_fgsm", 0.1, steps=10, options={"samples": 5})) == 60


def result(flipped, right, predicted=None, label="a", **more):
  shape = np.shape(flipped)
  return AttackResult(
    spec=AttackSpec("fgsm", 0.1),
    flipped=np.array(flipped, bool),
    right=np.array(right, bool),
    clean_right=np.ones([shape[1], shape[2]], bool),
    outside=~np.eye(shape[0], dtype=bool),
    random_noise_flip=np.array([0.1]),
    zero_gradient=np.array([1 / 3]),
    predicted=None if predicted is None else np.array(predicted, np.int32),
    label=label,
    **more,
  )


def test_results_come_back_from_disk_bit_for_bit(tmp_path):
  made = result([[[1, 0, 1]]], [[[0, 1, 0]]], [[[2, 0, 1]]], queries=np.array([[[3, 4, 5]]]))
  stored.save(tmp_path / "a.npz", made)
  back = stored.load(tmp_path / "a.npz", made.spec)
  for name in ("flipped", "right", "clean_right", "outside", "random_noise_flip", "zero_gradient",
               "predicted", "queries"):
    before, after = getattr(made, name), getattr(back, name)
    np.testing.assert_array_equal(before, after)
    assert before.dtype.kind == after.dtype.kind
  assert back.summary() == made.summary() and back.rows() == made.rows()


def test_what_is_not_there_or_of_another_attack_is_none(tmp_path):
  made = result([[[1]]], [[[0]]])
  stored.save(tmp_path / "a.npz", made)
  assert stored.load(tmp_path / "a.npz", AttackSpec("fgsm", 0.2)) is None
  assert stored.load(tmp_path / "b.npz", made.spec) is None
  (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:50])
  assert stored.load(tmp_path / "b.npz", made.spec) is None


def test_the_worst_has_a_flipped_label_where_any_flips():
  first = result([[[0, 1, 0]]], [[[1, 0, 1]]], [[[0, 1, 0]]])
  second = result([[[1, 1, 0]]], [[[0, 0, 1]]], [[[2, 2, 0]]])
  together = worst([first, second])
  np.testing.assert_array_equal(together.predicted, [[[2, 1, 0]]])
  np.testing.assert_array_equal(together.flipped, [[[1, 1, 0]]])
  assert worst([first, result([[[0, 0, 0]]], [[[1, 1, 1]]])]).predicted is None


@pytest.mark.parametrize("eps", [-0.1, 1.5])
def test_sizes_out_of_range_are_refused(eps):
  with pytest.raises(UserError, match="eps is"):
    suites.SUITES["standard"].trials[0].spec(eps)
