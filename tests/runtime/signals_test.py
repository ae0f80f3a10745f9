import os
import signal

import pytest

from fedsafe_tff.runtime.signals import graceful_stop


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_interrupts(sent):
  before = signal.getsignal(sent)
  with pytest.raises(KeyboardInterrupt), graceful_stop() as stop:
    assert not stop.requested
    os.kill(os.getpid(), sent)
    assert stop.requested
    assert stop.signal_name == sent.name
    os.kill(os.getpid(), sent)
  assert signal.getsignal(sent) is before
