"""Timing side by side: contenders take turns, figures are medians of paired repeats."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

# A contender runs once; one that times itself returns its seconds.
Contender = Callable[[], float | None]
Log = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Spread:
  """Median, least and greatest of several measurements."""

  median: float
  low: float
  high: float

  @classmethod
  def of(cls, numbers: Sequence[float]) -> "Spread":
    return cls(statistics.median(numbers), min(numbers), max(numbers))

  def text(self, digits: int = 3) -> str:
    """As it stands in a table: `1.02 (0.99-1.07)`."""
    return "{} ({}-{})".format(
      *(significant(n, digits) for n in (self.median, self.low, self.high))
    )


def significant(number: float, digits: int = 3) -> str:
  """A number with so many significant digits, without an exponent."""
  if number == 0 or number != number:
    return f"{number:g}"
  whole = len(str(int(abs(number)))) if abs(number) >= 1 else 0
  if whole >= digits:
    return f"{number:.0f}"
  return f"{number:.{digits - whole}f}" if whole else f"{number:.{digits}g}"


def interleaved(
  contenders: Mapping[str, Contender],
  repeats: int,
  *,
  warmup: int = 1,
  until: float = float("inf"),
  log: Log = lambda text: None,
) -> dict[str, list[float]]:
  """Runs every contender `repeats` times in turns.

  The order is reversed in every second repeat: what drifts with time (a processor that grows hot)
  then touches all alike.

  Args:
    contenders: By name.
    repeats: How many measurements of each.
    warmup: How many runs before them are not measured: graphs are built in the first.
    until: Moment of `time.monotonic` by which to be done: a repeat that would not be, judged by the
      one before, is left out, but for the first.
    log: Is told how far it is.

  Returns:
    Seconds by name; number k of each was measured in the same repeat.
  """
  seconds: dict[str, list[float]] = {name: [] for name in contenders}
  took = 0.0
  for repeat in range(-warmup, repeats):
    started = time.monotonic()
    if repeat > 0 and started + took > until:
      log(f"time is up after {repeat} repeats")
      break
    order = list(contenders)
    for name in order if repeat % 2 == 0 else reversed(order):
      begun = time.perf_counter()
      own = contenders[name]()
      elapsed = time.perf_counter() - begun if own is None else own
      if repeat >= 0:
        seconds[name].append(elapsed)
      log(f"{'warm-up' if repeat < 0 else f'repeat {repeat + 1}'}: {name} {elapsed:.3f} s")
    took = time.monotonic() - started
  return seconds


def ratio(left: Sequence[float], right: Sequence[float]) -> Spread:
  """Left over right, pair by pair."""
  return Spread.of([a / b for a, b in zip(left, right, strict=True)])


def matrix_rate(
  dtype: str = "float32", *, size: int = 4096, seconds: float = 3.0, device: str | None = None
) -> float:
  """FLOP/s of the fastest of many big matrix products: what the machine reaches at its best.

  Args:
    dtype: Of the matrices.
    size: Their side.
    seconds: How long to go on.
    device: Where; None leaves it to TensorFlow.
  """
  import tensorflow as tf

  with tf.device(device):
    left, right = (
      tf.cast(tf.random.stateless_normal([size, size], [seed, 0]), dtype) for seed in (1, 2)
    )
    # Read to its end: a GPU's operations return before they are done.
    multiply = tf.function(lambda a, b: tf.reduce_sum(tf.cast(tf.matmul(a, b), tf.float32)))
    multiply(left, right).numpy()
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
      begun = time.perf_counter()
      multiply(left, right).numpy()
      now = time.perf_counter()
      best = min(best, now - begun)
      if now > end:
        return 2 * size**3 / best
