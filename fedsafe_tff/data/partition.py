"""Deals the training images to N clients: disjoint, complete, each with at least m images."""

from collections.abc import Sequence

import numpy as np

from fedsafe_tff.data import seeds
from fedsafe_tff.errors import UserError

METHODS = ("iid", "dirichlet", "shards", "quantity")
_ATTEMPTS = 200
# Of the Dirichlet's concentration. Below, NumPy's draw takes ever longer, inside C, where not even
# Ctrl-C ends it; above, all shares are equal to a thousandth, and in the end not finite.
ALPHAS = (1e-4, 1e6)
_NEARLY_EQUAL = 1e3  # shares differ by a few hundredths at most: a larger alpha changes nothing


def partition(
  labels: np.ndarray,
  *,
  num_clients: int,
  method: str,
  alpha: float = 1.0,
  min_images: int = 1,
  seed: int = 0,
) -> list[np.ndarray]:
  """Splits positions 0 to n-1 over the clients.

  Args:
    labels: int [n].
    num_clients: N.
    method: "iid", a random deal in equal parts that gives every client an image of every class;
      "dirichlet", class shares drawn from Dir(alpha) per class (Hsu et al., arXiv:1909.06335);
      "shards", two shards of label-sorted images each (McMahan et al., arXiv:1602.05629);
      "quantity", IID labels with sizes drawn from Dir(alpha).
    alpha: Concentration of the Dirichlet, within `ALPHAS`.
    min_images: Least size m of a client (Eq. 3).
    seed: Of the draw.

  Returns:
    Sorted positions of each client.

  Raises:
    UserError: There are too few images for the clients asked for, or alpha is out of range.
  """
  count = len(labels)
  if method not in METHODS:
    raise UserError(f"--partition={method} is unknown: choose one of {', '.join(METHODS)}")
  if num_clients < 1:
    raise UserError(f"--num_clients={num_clients}: expected at least 1")
  if num_clients * min_images > count:
    raise UserError(
      f"{count} training images are too few for {num_clients} clients with at least "
      f"{min_images} each: lower --num_clients or --min_client_images"
    )
  if method in ("dirichlet", "quantity") and not ALPHAS[0] <= alpha <= ALPHAS[1]:
    raise UserError(
      f"--dirichlet_alpha={alpha:g} is out of range: it must lie in [{ALPHAS[0]:g}, {ALPHAS[1]:g}]"
    )
  rng = seeds.generator(seed, f"partition/{method}")
  if method == "iid":
    present, counts = np.unique(labels, return_counts=True)
    if counts.min() < num_clients:
      raise UserError(
        f"class {present[counts.argmin()]} has {counts.min()} training images, too few for "
        f"{num_clients} clients to hold one each, as iid means: lower --num_clients, or choose "
        "another --partition"
      )
    parts = np.array_split(rng.permutation(count), num_clients)
    return [np.sort(p) for p in _with_every_class(rng, labels, parts, present)]
  if method == "shards":
    if 2 * num_clients > count:
      raise UserError(f"{count} images are too few for two shards for each of {num_clients}")
    order = np.lexsort((rng.random(count), labels))
    shards = np.array_split(order, 2 * num_clients)
    deal = rng.permutation(2 * num_clients)
    parts = [
      np.concatenate([shards[deal[2 * i]], shards[deal[2 * i + 1]]]) for i in range(num_clients)
    ]
    if min(map(len, parts)) >= min_images:
      return [np.sort(p) for p in parts]
  draw = _dirichlet if method == "dirichlet" else _quantity
  for _ in range(_ATTEMPTS if method != "shards" else 0):
    parts = draw(rng, labels, num_clients, alpha)
    if min(map(len, parts)) >= min_images:
      return [np.sort(p) for p in parts]
  advice = "choose --partition=iid"
  if method != "shards" and alpha < _NEARLY_EQUAL:
    advice = f"raise --dirichlet_alpha={alpha:g}"
  raise UserError(
    f"no {method} partition of {count} images gives each of {num_clients} clients at least "
    f"{min_images} images: {advice}, or lower --num_clients or --min_client_images"
  )


def _with_every_class(rng, labels, parts, classes) -> list[np.ndarray]:
  """Swaps images between clients until each holds one of every class.

  Each class has as many images as there are clients. So for one who lacks it another has two; and
  one who lacks a class has two of some other, since it holds as many images as there are classes.
  """
  for label in classes:
    for part in parts:
      if (labels[part] == label).any():
        continue
      givers = [p for p in parts if (labels[p] == label).sum() > 1]
      giver = givers[rng.integers(len(givers))]
      found, counts = np.unique(labels[part], return_counts=True)
      given = rng.choice(np.flatnonzero(labels[giver] == label))
      back = rng.choice(np.flatnonzero(np.isin(labels[part], found[counts > 1])))
      part[back], giver[given] = giver[given], part[back]
  return parts


def _cut(rng: np.random.Generator, items: np.ndarray, shares: np.ndarray) -> list[np.ndarray]:
  borders = np.round(np.cumsum(shares)[:-1] * len(items)).astype(int)
  return np.split(rng.permutation(items), borders)


def _dirichlet(rng, labels, num_clients, alpha) -> list[np.ndarray]:
  pieces: list[list[np.ndarray]] = [[] for _ in range(num_clients)]
  for label in np.unique(labels):
    shares = rng.dirichlet(np.full(num_clients, alpha))
    for client, piece in enumerate(_cut(rng, np.flatnonzero(labels == label), shares)):
      pieces[client].append(piece)
  return [np.concatenate(p) for p in pieces]


def _quantity(rng, labels, num_clients, alpha) -> list[np.ndarray]:
  shares = rng.dirichlet(np.full(num_clients, alpha))
  return _cut(rng, np.arange(len(labels)), shares)


def label_counts(labels: np.ndarray, parts: Sequence[np.ndarray], num_classes: int) -> np.ndarray:
  """How many images of each class each client holds, int [clients, classes]."""
  return np.stack([np.bincount(labels[part], minlength=num_classes) for part in parts])
