"""From a config to data on disk, a model and the numbers that depend on both."""

import collections
import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from fedsafe_tff.data import (
  dealing,
  inventory,
  partition,
  remembered,
  shard_writer,
  shards,
  splits,
)
from fedsafe_tff.data.augment import parse_ops
from fedsafe_tff.data.feature_shift import shift
from fedsafe_tff.data.image_set import ImageSet, class_phrase
from fedsafe_tff.data.leaks import Leaks, count_leaks
from fedsafe_tff.data.trivial import VERSION as TRIVIAL_VERSION
from fedsafe_tff.data.trivial import trivial_baselines
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.models.registry import build_model
from fedsafe_tff.models.views import averaged, check_views, parse_views
from fedsafe_tff.runs import inputs, warm_start
from fedsafe_tff.runs.config import Config

_CALIBRATION_IMAGES = 64
_EXACT_IMAGES = 2048


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
  """All that a run needs before its first round.

  Attributes:
    image_set: The images.
    parts: Indices of the four parts.
    clients: For each client, indices of its images.
    store: The shards on disk.
    model: The functional model.
    inputs: The identity of the images and of a user's model.
    leaks: Copies across the published split, if there is one.
    trivial: Accuracy of the trivial baselines on the evaluation part.
    min_images: Size m of the smallest client.
    sites: Name of each client's site, or None.
  """

  image_set: ImageSet
  parts: splits.Parts
  clients: list[np.ndarray]
  store: shards.ShardStore
  model: FunctionalModel
  inputs: inputs.Inputs
  leaks: Leaks | None
  trivial: dict[str, float]
  min_images: int
  sites: tuple[str, ...] | None = None

  @property
  def largest_patient(self) -> int:
    """Images of a patient at a client at most; 0 where an image's patient is not named."""
    patients = self.image_set.patients
    if patients is None:
      return 0
    counts = [collections.Counter(patients[row] for row in rows) for rows in self.clients]
    if any("" in count for count in counts):
      return 0
    return max(max(count.values()) for count in counts)

  def images(self, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a part."""
    indices = getattr(self.parts, part)
    return self.image_set.images[indices], self.image_set.labels[indices]

  def partition_facts(self) -> dict:
    """Contents of `partition.json`."""
    classes = len(self.image_set.class_names)
    counts = partition.label_counts(self.image_set.labels, self.clients, classes)
    return {
      "class_names": list(self.image_set.class_names),
      "clients": counts.tolist(),
      "parts": self.parts.sizes(),
      "version": dealing.VERSION,
      "sites": list(self.sites) if self.sites else None,
    }


def _calibration_images(images: np.ndarray) -> np.ndarray:
  """Those on which the initial weights are calibrated; files come class by class: from all over."""
  rows = np.linspace(0, len(images) - 1, min(len(images), _CALIBRATION_IMAGES))
  return images[rows.astype(int)]


def _shifts(config: Config, count: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
  """What is done to each client's images, by the name of its shard."""
  if config.feature_shift == "none":
    return {}
  return {
    shards.client_name(client): functools.partial(
      shift, kind=config.feature_shift, client=client, num_clients=count, seed=config.seed
    )
    for client in range(count)
  }


def write_shards(
  config: Config,
  folder: str,
  image_set: ImageSet,
  clients: Sequence[np.ndarray],
  server: np.ndarray,
  data_hash: str,
) -> shards.ShardStore:
  """Writes what clients and server train on, or finds it complete.

  Args:
    config: The run's settings.
    folder: Where to write it.
    image_set: The images.
    clients: For each client, indices of its images.
    server: Indices of the server's.
    data_hash: Hash of the image set.

  Raises:
    UserError: The folder can't be written.
  """
  files = {shards.client_name(client): rows for client, rows in enumerate(clients)}
  return shard_writer.build_from_rows(
    folder,
    data_hash,
    image_set,
    files | {shards.SERVER: server},
    changes=_shifts(config, len(clients)),
    change_key=[config.feature_shift, config.seed if config.feature_shift != "none" else 0],
  )


def _statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Mean and standard deviation (0.001 at least) of every channel, in pixels of [0, 1]."""
  if len(images) <= _EXACT_IMAGES:
    pixels = images.astype(np.float64) / 255.0
    mean, stddev = pixels.mean(axis=(0, 1, 2)), pixels.std(axis=(0, 1, 2))
  else:  # whole numbers: as floats they would be eight times as large
    channels = [np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[-1])]
    counts = np.stack(channels, -1) / channels[0].sum()
    levels = np.arange(256)[:, None] / 255.0
    mean = (counts * levels).sum(0)
    stddev = np.sqrt((counts * (levels - mean) ** 2).sum(0))
  return tuple(mean), tuple(np.maximum(stddev, 1e-3))


def prepare(config: Config, log: Callable[[str], None] = lambda text: None) -> Prepared:
  """Loads, splits, deals out and writes shards; builds the model.

  Args:
    config: The run's settings.
    log: Is told what is found.

  Raises:
    UserError: Whatever is wrong with data, split, partition or model.
  """
  ops = parse_ops(config.augment)  # before hours of decoding
  views = parse_views(config.test_time_augment)
  image_set = inputs.read_images(config, log)
  for line in inventory.sentences(image_set.inventory or {}):
    log(line)
  height, width, _ = image_set.image_shape
  if "rot90" in ops and height != width:
    raise UserError(
      f"--augment=rot90 needs square images, and these have {height}x{width} pixels: give "
      "--image_size, or another --augment"
    )
  check_views(views, image_set.image_shape)
  leaks = count_leaks(image_set)
  if leaks is not None:
    log(leaks.sentence())
  held = dealing.holdout_mask(image_set, config.holdout_sites)
  if held is not None:
    log(f"{int(held.sum())} images of {config.holdout_sites} are held out: for evaluation only")
  parts = splits.split(
    image_set,
    method=config.split,
    evaluation_fraction=config.evaluation_fraction,
    adaptation_fraction=config.adaptation_fraction,
    validation_fraction=config.validation_fraction,
    seed=config.seed,
    holdout=held,
  )
  dealt = dealing.deal(
    image_set,
    parts.train,
    num_clients=config.num_clients,
    method=config.partition,
    alpha=config.dirichlet_alpha,
    min_images=config.min_client_images,
    seed=config.seed,
  )
  clients = dealt.clients
  if dealt.left_out:
    log(
      f"{dealt.left_out} training images are left out: their patient or a near-duplicate is at "
      "another site, which holds more of them"
    )
  for label, name in enumerate(image_set.class_names):
    without = sum(label not in image_set.labels[rows] for rows in clients)
    if without:
      log(f"{without} of {len(clients)} clients hold no image of {class_phrase(name)}")
  identified = inputs.identify(config, image_set)
  store = write_shards(
    config, config.cache_dir, image_set, clients, parts.adaptation, identified.data_hash
  )
  # The server normalises by its own images: the clients' statistics stay with them.
  server = image_set.images[parts.adaptation]
  mean, stddev = _statistics(server)
  model = build_model(
    config.model,
    input_shape=image_set.image_shape,
    num_classes=len(image_set.class_names),
    conv_widths=config.conv_widths,
    dense_widths=config.dense_widths,
    dropout=config.dropout,
    mean=mean,
    stddev=stddev,
    compute_dtype=config.compute_dtype,
    pool_grid=config.pool_grid,
    calibration=_calibration_images(server) if config.init == "calibrated" else None,
    seed=config.seed,
  )
  if config.init_from:
    model = warm_start.begin_from(model, config.init_from, config.trainable)
  model = averaged(model, views)
  trivial = remembered.remember(
    config.cache_dir,
    "trivial",
    f"{TRIVIAL_VERSION} {identified.data_hash} "
    + remembered.rows_key(parts.train, parts.evaluation),
    lambda: trivial_baselines(image_set, parts.train, parts.evaluation),
  )
  sizes = ", ".join(f"{name} {size}" for name, size in parts.sizes().items())
  log(f"{len(image_set)} images {image_set.image_shape}: {sizes}")
  log("trivial baselines: " + ", ".join(f"{name} {score:.3f}" for name, score in trivial.items()))
  return Prepared(
    image_set=image_set,
    parts=parts,
    clients=clients,
    store=store,
    model=model,
    inputs=identified,
    leaks=leaks,
    trivial=trivial,
    min_images=min(map(len, clients)),
    sites=dealt.sites,
  )
