from fedsafe_tff.runtime.silence import Silence


def test_only_silence_that_was_looked_at_counts():
  now = [100.0]

  def after(seconds):
    now[0] += seconds
    return silence.too_long()

  silence = Silence(8.0, lambda: now[0])
  assert not any(after(1.0) for _ in range(7))
  assert after(1.0)
  silence.heard()
  assert not any(after(3600.0) for _ in range(3))  # this process was stopped for hours
  silence.heard()
  assert not any(after(1.0) for _ in range(7))
  now[0] += 3600.0
  silence.heard()
  assert not after(1.0)
