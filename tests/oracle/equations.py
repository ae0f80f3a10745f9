"""The paper's equations in float64 NumPy, written from the paper: they know no fedsafe_tff."""

import math

import numpy as np


class Network:
  """x -> tanh(x A + a) B + b, with the cross-entropy of its softmax and gradients by hand."""

  def __init__(self, weights):
    self.weights = [np.asarray(w, np.float64) for w in weights]  # A, a, B, b

  def _hidden(self, x):
    first, offset, _, _ = self.weights
    return np.tanh(x.reshape(len(x), -1) @ first + offset)

  def logits(self, x):
    return self._hidden(x) @ self.weights[2] + self.weights[3]

  def predict(self, x):
    return self.logits(x).argmax(1)

  def _probabilities(self, x):
    logits = self.logits(x)
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)

  def losses(self, x, y):
    return -np.log(self._probabilities(x)[np.arange(len(y)), y])

  def _slopes(self, x, y):
    """Derivatives of each image's loss by the logits, and by what enters tanh."""
    by_logits = self._probabilities(x)
    by_logits[np.arange(len(y)), y] -= 1.0
    return by_logits, (by_logits @ self.weights[2].T) * (1.0 - self._hidden(x) ** 2)

  def input_gradient(self, x, y):
    """Of each image's loss by its pixels."""
    return (self._slopes(x, y)[1] @ self.weights[0].T).reshape(x.shape)

  def weight_gradient(self, x, y):
    """Of the mean loss by the weights."""
    by_logits, by_sum = (part / len(y) for part in self._slopes(x, y))
    flat = x.reshape(len(x), -1)
    return [flat.T @ by_sum, by_sum.sum(0), self._hidden(x).T @ by_logits, by_logits.sum(0)]


def train(weights, x, y, *, epochs, batch_size, rate):
  """Eq. 1: gradient descent on the mean loss of one batch after the other, in their order."""
  network = Network(weights)
  for _ in range(epochs):
    for start in range(0, len(y), batch_size):
      rows = slice(start, start + batch_size)
      gradient = network.weight_gradient(x[rows], y[rows])
      network = Network([w - rate * g for w, g in zip(network.weights, gradient)])
  return network.weights


def norm(tensors):
  """L2 norm of all coordinates together."""
  return math.sqrt(sum((np.asarray(t, np.float64) ** 2).sum() for t in tensors))


def clip(tensors, most):
  """Eq. 2 and 3: w / max(1, |w| / C)."""
  scale = max(1.0, norm(tensors) / most)
  return [t / scale for t in tensors]


def uplink_sigma(*, most, images, exposures, epsilon, delta):
  """Eq. 2 and 3: sigma = c L (2 C / m) / epsilon, c = sqrt(2 ln(1.25 / delta))."""
  return math.sqrt(2 * math.log(1.25 / delta)) * exposures * (2 * most / images) / epsilon


def weighted_mean(uploads, counts):
  """Eq. 4: sum over clients of n_i / n times w_i, tensor by tensor."""
  total = sum(counts)
  return [sum(n / total * w for n, w in zip(counts, parts)) for parts in zip(*uploads)]


def fgsm(network, x, y, eps):
  """Eq. 6, in the range of pixels."""
  return np.clip(x + eps * np.sign(network.input_gradient(x, y)), 0.0, 1.0)


def pgd(network, x, y, eps, step, steps):
  """Eq. 7: steps along the signs, each taken back into the ball around x and the range."""
  current = x
  for _ in range(steps):
    current = current + step * np.sign(network.input_gradient(current, y))
    current = np.minimum(np.maximum(current, x - eps), x + eps)
    current = np.minimum(np.maximum(current, 0.0), 1.0)
  return current


def success_rate(network, x, attacked):
  """Eq. 11: the share of images whose predicted label differs after the attack."""
  return sum(a != b for a, b in zip(network.predict(x), network.predict(attacked))) / len(x)


def two_gaussians_delta(epsilon, distance, sigma, dimensions):
  """delta(epsilon) of N(0, sigma^2) against N(distance, sigma^2), in each of some dimensions.

  The integral of max(0, p - e^epsilon q) over a grid: the definition of (epsilon, delta)-DP.
  """
  grid = np.linspace(-9 * sigma, 9 * sigma + distance, 2001)
  width = grid[1] - grid[0]
  p, q = (np.exp(-0.5 * ((grid - mean) / sigma) ** 2) for mean in (0.0, distance))
  p, q = (density / (density.sum() * width) for density in (p, q))
  left, right = p, q
  for _ in range(dimensions - 1):
    left, right = np.multiply.outer(left, p), np.multiply.outer(right, q)
  return np.maximum(left - math.exp(epsilon) * right, 0.0).sum() * width**dimensions
