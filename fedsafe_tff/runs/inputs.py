"""The identity of what a run is given besides its flags: its images and a user's own model.

It stands in manifests and in the names of what caches hold, and is compared wherever something that
was computed before is taken up: what lies in a folder, or behind a model's name, may have changed.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

from fedsafe_tff.data import loading, remembered
from fedsafe_tff.data.formats.frame import Reading
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.spec import Meaning
from fedsafe_tff.models.registry import MODELS
from fedsafe_tff.runs.config import Config
from fedsafe_tff.training import own

Log = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Inputs:
  """What a run is given.

  Attributes:
    data_hash: `ImageSet.content_hash` of its images.
    model_hash: `models.source.fingerprint` of a user's model; empty for those of this package.
    init_hash: Of the weights that the run begins with; empty where it draws them.
    defense_hash: `training.own.fingerprint` of a user's defence; empty for those of this package.
  """

  data_hash: str
  model_hash: str = ""
  init_hash: str = ""
  defense_hash: str = ""

  @property
  def identity(self) -> str:
    """sha256, as hex, of all of it."""
    parts = dataclasses.asdict(self)
    for name in ("init_hash", "defense_hash"):
      if not parts[name]:
        del parts[name]  # as it was before there were any
    facts = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()

  def facts(self) -> dict[str, str | None]:
    """As manifests and stored results hold it."""
    return {
      "identity": self.identity,
      "data_hash": self.data_hash,
      "model_hash": self.model_hash or None,
      "init_hash": self.init_hash or None,
      "defense_hash": self.defense_hash or None,
    }

  def differing(self, stored: dict[str, Any]) -> str:
    """What differs from stored `facts`, in words; empty where nothing does."""
    if stored.get("identity") == self.identity:
      return ""
    if stored.get("data_hash") != self.data_hash:
      return "other images"
    if (stored.get("init_hash") or "") != self.init_hash:
      return "other weights of --init_from"
    if (stored.get("defense_hash") or "") != self.defense_hash:
      return "another source of --defense"
    return "another source or other weights of --model"


def data_spec(config: Config) -> loading.DataSpec:
  """Which images a config asks for, and how they are read."""
  return loading.DataSpec(
    dataset=config.dataset,
    task=config.task,
    data_dir=config.data_dir,
    image_size=config.image_size,
    num_images=config.num_images,
    skip_bad_images=config.skip_bad_images,
    seed=config.seed,
    reading=Reading(
      window=config.window,
      transparency=config.transparency,
      slice_axis=config.slice_axis,
      max_pixels=config.max_pixels,
      max_bytes=config.max_bytes,
    ),
    meaning=Meaning(
      layout=config.layout,
      metadata=config.metadata,
      columns=config.columns,
      patient_pattern=config.patient_pattern,
    ),
  )


def read_images(config: Config, log: Log) -> ImageSet:
  """The images, from the cache of decoded ones where these are still the ones on disk.

  Raises:
    UserError: Whatever is wrong with the folder, the images or the task.
  """
  return loading.load(data_spec(config), cache_dir=config.cache_dir, progress=log)


def identify(config: Config, image_set: ImageSet) -> Inputs:
  """The identity of images that were read and of the configuration's model.

  Raises:
    UserError: A user's model can't be loaded.
  """
  model_hash = ""
  if config.model not in MODELS:
    from fedsafe_tff.models import source  # imports TensorFlow, which takes seconds

    model_hash = source.fingerprint(
      config.model,
      input_shape=image_set.image_shape,
      num_classes=len(image_set.class_names),
    )
  init_hash = ""
  if config.init_from:
    from fedsafe_tff.runs import warm_start

    init_hash = warm_start.fingerprint(config.init_from)
  data_hash = remembered.content_hash(image_set, config.cache_dir)
  return Inputs(data_hash, model_hash, init_hash, own.fingerprint(config.defense))
