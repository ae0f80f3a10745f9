"""Which images, as a value."""

import dataclasses

from fedsafe_tff.data.formats.frame import Reading


@dataclasses.dataclass(frozen=True)
class Meaning:
  """What tells class, patient, site and split of a file.

  Attributes:
    layout: `auto`, or the roles of folders, see `layouts`.
    metadata: A CSV file, or empty.
    columns: Names of its columns, see `metadata.columns`.
    patient_pattern: Regular expression on a file's name below the folder whose first group, or the
      whole match, names the patient; empty for none.
  """

  layout: str = "auto"
  metadata: str = ""
  columns: str = ""
  patient_pattern: str = ""


@dataclasses.dataclass(frozen=True)
class DataSpec:
  """Which images.

  Attributes:
    dataset: A name of `registry.DATASETS`.
    task: Task of the data set; empty takes its default.
    data_dir: Folder (file, for npz) of the images.
    image_size: Side in pixels; 0 takes the data set's own.
    num_images: How many to make or draw; 0 takes the default.
    skip_bad_images: Go on without images that can't be read.
    seed: Of what is drawn.
    reading: How files are read.
    meaning: What tells class, patient, site and split, of an image folder.
  """

  dataset: str
  task: str = ""
  data_dir: str = ""
  image_size: int = 0
  num_images: int = 0
  skip_bad_images: bool = False
  seed: int = 0
  reading: Reading = Reading()
  meaning: Meaning = Meaning()
