"""Deals the training images to the clients so that patients and near-duplicates stay whole."""

import dataclasses

import numpy as np

from fedsafe_tff.data import seeds
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.partition import METHODS, partition
from fedsafe_tff.errors import UserError

VERSION = 2  # of how images are dealt: 1 let near-duplicates fall to several clients
_ATTEMPTS = 50
_NEXT = 2**53  # seeds are below it


@dataclasses.dataclass(frozen=True, eq=False)
class Dealt:
  """Who holds what.

  Attributes:
    clients: Sorted indices into the image set, for each client; disjoint.
    sites: Name of each client's site, or None.
    left_out: Training images that no client holds, since their group is of another site too.
  """

  clients: list[np.ndarray]
  sites: tuple[str, ...] | None = None
  left_out: int = 0


def deal(
  image_set: ImageSet,
  train: np.ndarray,
  *,
  num_clients: int,
  method: str,
  alpha: float = 1.0,
  min_images: int = 1,
  seed: int = 0,
) -> Dealt:
  """Deals `train` to the clients.

  Args:
    image_set: The images with their groups and sites.
    train: Indices of the training images.
    num_clients: N.
    method: One of `partition.METHODS`, on whole groups; "site", a client per site; "source", whole
      groups to whoever holds least.
    alpha: Concentration of the Dirichlet.
    min_images: Least size m of a client (Eq. 3).
    seed: Of the draw.

  Raises:
    UserError: Too few groups for the clients, or sites and clients that don't fit.
  """
  if method == "site":
    dealt = by_site(image_set, train, num_clients)
  else:
    groups = image_set.groups[train]
    if method == "source":
      parts = by_source(groups, num_clients, seed)
    else:
      settings = {"num_clients": num_clients, "method": method, "alpha": alpha}
      parts = whole(image_set.labels[train], groups, min_images=min_images, seed=seed, **settings)
    dealt = Dealt([train[positions] for positions in parts])
  for number, rows in enumerate(dealt.clients):
    if len(rows) < min_images:
      who = f"site {dealt.sites[number]}" if dealt.sites else f"client {number}"
      raise UserError(
        f"{who} has {len(rows)} training images, fewer than --min_client_images={min_images}: "
        "lower it, hold the site out, or give fewer --num_clients"
      )
  return dealt


def whole(
  labels: np.ndarray, groups: np.ndarray, *, min_images: int, seed: int, **settings
) -> list[np.ndarray]:
  """As `partition.partition`, with groups in place of images; a group is of its majority's class.

  Where every image is a group of its own the parts are those of `partition`.
  """
  if settings["method"] not in METHODS:
    return partition(labels, min_images=min_images, seed=seed, **settings)
  names, unit = np.unique(groups, return_inverse=True)
  if len(names) == len(groups):
    return partition(labels, min_images=min_images, seed=seed, **settings)
  clients = settings["num_clients"]
  if len(names) < clients:
    raise UserError(
      f"{len(names)} patients or groups of near-duplicates can't be dealt whole to {clients} "
      "clients: lower --num_clients"
    )
  counts = np.zeros((len(names), int(labels.max()) + 1), np.int64)
  np.add.at(counts, (unit, labels), 1)
  unit_labels = counts.argmax(1)
  for attempt in range(_ATTEMPTS):
    parts = partition(unit_labels, min_images=1, seed=seed + attempt * _NEXT, **settings)
    holder = np.empty(len(names), np.int64)
    for client, members in enumerate(parts):
      holder[members] = client
    found = [np.flatnonzero(holder[unit] == client) for client in range(clients)]
    if min(map(len, found)) >= min_images:
      return found
  raise UserError(
    f"no {settings['method']} partition of {len(labels)} images in {len(names)} patients or groups "
    f"of near-duplicates gives each of {clients} clients at least {min_images} images: raise "
    "--dirichlet_alpha, or lower --num_clients or --min_client_images"
  )


def by_source(groups: np.ndarray, num_clients: int, seed: int) -> list[np.ndarray]:
  """Clusters of near-duplicates, the largest first, each to whoever holds least."""
  names, unit, sizes = np.unique(groups, return_inverse=True, return_counts=True)
  if len(names) < num_clients:
    raise UserError(
      f"{len(names)} clusters of near-duplicates can't be dealt whole to {num_clients} clients: "
      "lower --num_clients"
    )
  rng = seeds.generator(seed, "partition/source")
  order = np.lexsort((rng.random(len(names)), -sizes))
  held = np.zeros(num_clients, np.int64)
  holder = np.empty(len(names), np.int64)
  for cluster in order:
    holder[cluster] = held.argmin()
    held[holder[cluster]] += sizes[cluster]
  return [np.flatnonzero(holder[unit] == client) for client in range(num_clients)]


def by_site(image_set: ImageSet, train: np.ndarray, num_clients: int) -> Dealt:
  """A client for each site; a group at several sites is kept where most of it is."""
  if image_set.sites is None:
    raise UserError(
      "--partition=site: no site is known: name it by --layout, by --metadata, or take "
      "--partition=source"
    )
  sites = np.array(image_set.sites, str)[train]
  unknown = int((sites == "").sum())
  if unknown:
    raise UserError(
      f"--partition=site: {unknown} training images have no site: name it by --metadata, or take "
      "another --partition"
    )
  names, number = np.unique(sites, return_inverse=True)
  if len(names) != num_clients:
    listed = ", ".join(names[:8].tolist()) + (", ..." if len(names) > 8 else "")
    raise UserError(
      f"--partition=site: {len(names)} sites have training images ({listed}): give "
      f"--num_clients={len(names)}, or --holdout_sites"
    )
  _, unit = np.unique(image_set.groups[train], return_inverse=True)
  counts = np.zeros((int(unit.max()) + 1, len(names)), np.int64)
  np.add.at(counts, (unit, number), 1)
  kept = number == counts.argmax(1)[unit]
  clients = [train[kept & (number == site)] for site in range(len(names))]
  empty = [name for name, rows in zip(names.tolist(), clients) if not len(rows)]
  if empty:
    raise UserError(
      f"--partition=site: all images of {empty[0]} are of patients or near-duplicates that another "
      "site holds more of: hold it out or join the two"
    )
  return Dealt(clients, tuple(names.tolist()), int((~kept).sum()))


def holdout_mask(image_set: ImageSet, sites: str) -> np.ndarray | None:
  """Which images are of the comma-separated `sites`, bool [n]; None where none is named.

  Raises:
    UserError: A site that no image has.
  """
  wanted = [name.strip() for name in sites.split(",") if name.strip()]
  if not wanted:
    return None
  known = sorted(set(image_set.sites or ()) - {""})
  for name in wanted:
    if name not in known:
      raise UserError(
        f"--holdout_sites={name}: no image is of that site; known are "
        + (", ".join(known[:8]) or "none: name them by --layout or --metadata")
      )
  if set(wanted) == set(known):
    raise UserError("--holdout_sites names all sites: leave one to learn from")
  return np.isin(np.array(image_set.sites, str), wanted)
