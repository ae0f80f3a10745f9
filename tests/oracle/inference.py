"""Intervals and tests of the tables from their definitions, in NumPy alone."""

import itertools
import math

import numpy as np


def t_quantile(probability, degrees):
  """Quantile of Student's t: its density is summed until the probability is reached."""

  def density(t):
    scale = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)
    scale -= 0.5 * math.log(degrees * math.pi)
    return math.exp(scale) * (1 + np.square(t) / degrees) ** (-(degrees + 1) / 2)

  low, high = 0.0, 1.0
  while _half(density, high) + 0.5 < probability:
    high *= 2
  for _ in range(60):
    middle = (low + high) / 2
    if _half(density, middle) + 0.5 < probability:
      low = middle
    else:
      high = middle
  return (low + high) / 2


def t_tail(t, degrees):
  """Two-sided p-value of Student's t."""
  angle = math.atan(abs(t) / math.sqrt(degrees))  # t = sqrt(n) tan(angle): a finite integral

  def density(a):
    return np.cos(a) ** (degrees - 1)

  whole, inner = _half(density, math.pi / 2), _half(density, angle)
  return 1.0 - inner / whole


def _half(density, end, parts=20000):
  """Simpson's rule from 0 to `end`."""
  places = np.linspace(0.0, end, parts + 1)
  values = density(places)
  weights = np.ones(parts + 1)
  weights[1:-1:2], weights[2:-1:2] = 4.0, 2.0
  return float((weights * values).sum() * end / parts / 3)


def interval(values):
  """Mean and half-width of the 95 % interval of a mean."""
  count = len(values)
  mean = sum(values) / count
  deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (count - 1))
  return mean, t_quantile(0.975, count - 1) * deviation / math.sqrt(count)


def paired_p(first, second):
  """Two-sided p-value of the paired t-test."""
  differences = [b - a for a, b in zip(first, second)]
  count = len(differences)
  mean = sum(differences) / count
  deviation = math.sqrt(sum((d - mean) ** 2 for d in differences) / (count - 1))
  return t_tail(mean * math.sqrt(count) / deviation, count - 1)


def sign_flip_p(differences):
  """The share of all choices of signs whose mean is as far from 0 as that of the differences."""
  seen = abs(sum(differences))
  sums = [
    abs(sum(s * d for s, d in zip(signs, differences)))
    for signs in itertools.product((-1, 1), repeat=len(differences))
  ]
  return sum(total >= seen - 1e-12 for total in sums) / len(sums)


def holm_rejects(p_values, level):
  """Holm's procedure at one level: which hypotheses fall, from the smallest p-value on."""
  fallen = [False] * len(p_values)
  order = sorted(range(len(p_values)), key=lambda i: p_values[i])
  for rank, index in enumerate(order):
    if p_values[index] > level / (len(p_values) - rank):
      break
    fallen[index] = True
  return fallen
