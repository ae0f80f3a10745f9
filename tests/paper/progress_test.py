import io

import pytest

from fedsafe_tff.paper import progress as progress_lib
from fedsafe_tff.paper.steps import Estimate, Step

TRAIN, ATTACK = Step("train", "glioma", "none"), Step("attack", "glioma")


@pytest.fixture
def clock(monkeypatch):
  """Seconds that a test moves."""
  now = [100.0]
  monkeypatch.setattr(progress_lib.time, "monotonic", lambda: now[0])
  return now


def test_a_line_per_step_with_the_time_left_of_the_whole_sweep(clock):
  stream = io.StringIO()
  with progress_lib.SweepProgress([TRAIN, ATTACK, ATTACK, TRAIN], stream=stream) as progress:
    progress.begin(TRAIN, "training")
    clock[0] += 100
    assert progress.end() == 100
    progress.begin(ATTACK, "attack")
    clock[0] += 10
    progress.end("ASR self 0.500")
  first, second = stream.getvalue().splitlines()
  assert first == "1/4  training  left more than 1:40"  # attacks are not yet known
  assert second == "2/4  attack: ASR self 0.500  left 1:50"


def test_what_is_known_from_the_cache_counts_at_once(clock):
  stream = io.StringIO()
  known = Estimate([(TRAIN, 60.0), (ATTACK, 5.0)])
  with progress_lib.SweepProgress([ATTACK, ATTACK, TRAIN], known, stream) as progress:
    progress.begin(ATTACK, "attack")
    clock[0] += 5
    progress.end()
  assert stream.getvalue() == "1/3  attack  left 1:05\n"


def test_rounds_are_told_now_and_then_with_their_own_estimate(clock):
  stream = io.StringIO()
  known = Estimate([(ATTACK, 10.0)])
  with progress_lib.SweepProgress([TRAIN, ATTACK], known, stream) as progress:
    progress.begin(TRAIN, "training")
    progress.start(10, 2)
    for number in range(3, 6):
      clock[0] += 30
      progress.round(number, {"validation_accuracy": 0.75})
  # 30 seconds a round; 7 rounds left after the first that is told, then 10 for the attack.
  lines = stream.getvalue().splitlines()
  assert lines[0] == "0/2  training: round 3/10, validation 0.750  left 3:40"
  assert len(lines) == 2 and lines[1].startswith("0/2  training: round 5/10")


def test_steps_of_a_failed_training_are_no_longer_waited_for(clock):
  stream = io.StringIO()
  known = Estimate([(ATTACK, 10.0)])
  with progress_lib.SweepProgress([TRAIN, ATTACK, ATTACK], known, stream) as progress:
    progress.begin(TRAIN, "training")
    progress.drop([TRAIN, ATTACK])
    progress.begin(ATTACK, "attack")
    clock[0] += 10
    progress.end()
  assert stream.getvalue() == "3/3  attack  left 0:00\n"
