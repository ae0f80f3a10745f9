import pytest

from fedsafe_tff.paper import paper


def test_table_1_has_every_task_at_every_size():
  assert set(paper.TABLE1) == {"glioma", "meningioma", "pathology"}
  for cells in paper.TABLE1.values():
    assert tuple(cells) == paper.EPS_TABLE1
  adversarial, noise = paper.TABLE1["meningioma"][0.05]
  assert (adversarial.self_, adversarial.avg) == (0.46, 0.27)
  assert (noise.self_, noise.avg) == (0.41, 0.15)


@pytest.mark.parametrize("task", paper.TABLE2)
def test_table_2s_averages_are_the_means_of_its_rows(task):
  for column in (0, 1):
    values = [pair[column] for pair in paper.TABLE2[task].values()]
    assert len(values) == 4
    printed = paper.TABLE2_AVERAGE[task][column]
    assert sum(values) / 4 == pytest.approx(printed, abs=1.01e-4)


def test_the_claimed_reductions_are_larger_than_any_in_table_1():
  """What the evidence of those claims says of the paper."""
  drops = {
    metric: max(
      a.of(metric) - b.of(metric) for task in paper.TABLE1.values() for a, b in task.values()
    )
    for metric in ("asr_self", "asr_avg")
  }
  assert drops["asr_self"] == pytest.approx(0.05) and drops["asr_avg"] == pytest.approx(0.12)
