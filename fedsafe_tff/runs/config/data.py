"""Settings of the data: which images, how they are split, who holds them."""

import dataclasses

from fedsafe_tff import lazy
from fedsafe_tff.data.limits import ALPHAS, MOST, MOST_IMAGES, MOST_SIDE
from fedsafe_tff.data.registry import DATASETS, using
from fedsafe_tff.runs.config.setting import setting


def _uses(config: "DataConfig", setting: str) -> bool:
  return setting in DATASETS[config.dataset].uses


def _files(config: "DataConfig") -> bool:
  # One that comes from elsewhere without a folder has no files of images then.
  return _uses(config, "files") and bool(config.data_dir or not DATASETS[config.dataset].source)


_FILES = {"applies": _files, "needs": "a data set of image files"}
_DISK = {"applies": lambda c: _uses(c, "data_dir"), "needs": "a data set read from disk"}
_FOLDER = {
  "applies": lambda c: _uses(c, "layout"),
  "needs": f"--dataset={using('layout')}",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
  """Data."""

  dataset: str = setting(
    "phantom",
    f"Data set. {lazy.helps(DATASETS)}.",
    choices=tuple(DATASETS),
  )
  task: str = setting(
    "",
    "Task of a data set that has several, see --dataset; empty takes its default.",
    applies=lambda c: DATASETS[c.dataset].tasks is not None,
    needs=f"--dataset={lazy.listed(n for n, d in DATASETS.items() if d.tasks is not None)}",
  )
  data_dir: str = setting(
    "",
    "Folder of the images (file, for npz).",
    **_DISK,
  )
  image_size: int = setting(
    0, "Side of the square images in pixels; 0: the data set's own.", low=0, high=MOST_SIDE
  )
  num_images: int = setting(
    0,
    "How many images to make or, from a folder, to draw; 0: the default.",
    low=0,
    high=MOST_IMAGES,
    applies=lambda c: _uses(c, "num_images"),
    needs=f"--dataset={using('num_images')}",
  )
  layout: str = setting(
    "auto",
    "What the folders above an image mean, as they are nested: auto guesses, or of split, class, "
    "patient, site and * (nothing), such as class/patient or site/class.",
    **_FOLDER,
  )
  metadata: str = setting(
    "", "CSV file that tells of files: file and any of label, patient, site, split.", **_FOLDER
  )
  columns: str = setting(
    "",
    "Names of its columns where they are unusual: file=NAME,label=NAME,...",
    applies=lambda c: _uses(c, "layout") and bool(c.metadata),
    needs="--metadata",
  )
  patient_pattern: str = setting(
    "",
    "Regular expression on file names below the folder; its first group names the patient.",
    **_FOLDER,
  )
  window: str = setting(
    "auto",
    "How values of more than 8 bits become gray levels, the same for a whole series: auto (DICOM's "
    "own window, else lowest to highest value), percentile (0.5 to 99.5), LOW,HIGH, or dicom (its "
    "own window alone).",
    **_FILES,
  )
  transparency: str = setting(
    "black", "What transparent pixels are laid on.", choices=("black", "white"), **_FILES
  )
  slice_axis: int = setting(
    2,
    "Axis along which a NIfTI volume is cut: 0 sagittal, 1 coronal, 2 axial.",
    low=0,
    high=2,
    **_FOLDER,
  )
  max_pixels: int = setting(
    50_000_000, "Most pixels of an image; larger ones are refused.", low=1, **_DISK
  )
  max_bytes: int = setting(
    2**31, "Most bytes that one file may unpack to; larger ones are refused.", low=1, **_DISK
  )
  skip_bad_images: bool = setting(
    False,
    "Go on without images that can't be read, and count them.",
    **_FILES,
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
  num_clients: int = setting(3, "Number of clients N.", low=1, high=MOST)
  partition: str = setting(
    "dirichlet",
    "How the training images are dealt to the clients, patients and near-duplicates whole: iid, "
    "dirichlet, shards (label skew), quantity, site (a client per hospital) or source (clusters of "
    "near-duplicates, where no site is known).",
    choices=("iid", "dirichlet", "shards", "quantity", "site", "source"),
  )
  holdout_sites: str = setting(
    "",
    "Comma-separated names of sites that are for evaluation only: no client, nor the server, "
    "learns from them.",
    applies=lambda c: _uses(c, "sites"),
    needs=f"--dataset={using('sites')}",
  )
  feature_shift: str = setting(
    "none",
    "Makes the clients' training images differ, as scanners and stains do: brightness, contrast or "
    "stain (colour images).",
    choices=("none", "brightness", "contrast", "stain"),
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
