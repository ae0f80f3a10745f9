"""Settings of the data: which images, how they are split, who holds them."""

import dataclasses

from fedsafe_tff.config.setting import setting
from fedsafe_tff.data.partition import ALPHAS

_IMAGE_FILES = ("brain_tumor", "image_folder")
_ON_DISK = ("brain_tumor", "pathology", "image_folder", "npz")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
  """Data."""

  dataset: str = setting(
    "phantom",
    "Data set: phantom is generated, pathology without --data_dir comes from TFDS.",
    choices=("phantom", "brain_tumor", "pathology", "image_folder", "npz"),
  )
  task: str = setting(
    "",
    "Task of the data set: meningioma, glioma or four_class (brain_tumor); two_class or "
    "four_class (phantom); empty takes the data set's default.",
    applies=lambda c: c.dataset in ("phantom", "brain_tumor"),
    needs="--dataset=phantom or brain_tumor",
  )
  data_dir: str = setting(
    "",
    "Folder of the images (file, for npz).",
    applies=lambda c: c.dataset in _ON_DISK,
    needs="a data set read from disk",
  )
  image_size: int = setting(0, "Side of the square images in pixels; 0: the data set's own.", low=0)
  num_images: int = setting(
    0,
    "How many images to make (phantom) or to draw (pathology); 0: the default.",
    low=0,
    applies=lambda c: c.dataset in ("phantom", "pathology"),
    needs="--dataset=phantom or pathology",
  )
  skip_bad_images: bool = setting(
    False,
    "Go on without images that can't be read, and count them.",
    applies=lambda c: c.dataset in _IMAGE_FILES or (c.dataset == "pathology" and bool(c.data_dir)),
    needs="a data set of image files",
  )
  split: str = setting(
    "grouped",
    "published: the data set's own test part; grouped: near-duplicates never on two sides.",
    choices=("grouped", "published"),
  )
  evaluation_fraction: float = setting(
    0.25,
    "Share of the images on which attacks are evaluated.",
    low=0.0,
    low_open=True,
    high=1.0,
    high_open=True,
    applies=lambda c: c.split == "grouped",
    needs="--split=grouped",
  )
  adaptation_fraction: float = setting(
    0.15,
    "Share of the images that the server holds for adversarial adaptation.",
    low=0.0,
    low_open=True,
    high=1.0,
    high_open=True,
  )
  validation_fraction: float = setting(
    0.05,
    "Share of the images for the validation columns of metrics.csv.",
    low=0.0,
    low_open=True,
    high=1.0,
    high_open=True,
  )
  num_clients: int = setting(3, "Number of clients N.", low=1)
  partition: str = setting(
    "dirichlet",
    "How the training images are dealt to the clients.",
    choices=("iid", "dirichlet", "shards", "quantity"),
  )
  dirichlet_alpha: float = setting(
    10.0,
    "Concentration of the Dirichlet draw: small is far from IID.",
    low=ALPHAS[0],
    high=ALPHAS[1],
    applies=lambda c: c.partition in ("dirichlet", "quantity"),
    needs="--partition=dirichlet or quantity",
  )
  min_client_images: int = setting(20, "Least number of images m of a client (Eq. 3).", low=1)
  augment: str = setting(
    "flip",
    "Comma-separated augmentation inside local training: flip, flip_ud, rotate, rot90, color; "
    "empty for none.",
  )
  cache_dir: str = setting(
    ".cache", "Folder for prepared images; keyed by content, safe to delete."
  )
