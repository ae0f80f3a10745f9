"""Settings of the binaries that make tables and figures, besides those of the runs in them."""

import dataclasses

from fedsafe_tff.runs.config.setting import setting

STUDIES = (
  "split",
  "clients",
  "dirichlet",
  "sigma",
  "collusion",
  "examples",
  "local_training",
  "compute_dtype",
  "steps",
  "eps_units",
  "uplink",
  "dp_fed_avg",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepConfig:
  """Table or figure."""

  tasks: str = setting(
    "glioma-paper,meningioma-paper,pathology-paper",
    "Comma-separated tasks: each is a preset in flags/presets or the path of one. Its flags come "
    "first, then those of other presets, then what is typed. In tables a task is called without "
    "-paper.",
  )
  methods: str = setting(
    "",
    "Comma-separated methods whose cells are made, such as distributed_noise; empty: all that the "
    "table or figure has. The page then holds these alone. Table 1 and Figure 2 take defences of "
    "parts and your own too, as --defense does: local+noise, PATH/file.py:factory.",
  )
  seeds: str = setting("0,1,2,3,4", "Comma-separated seeds; intervals need two or more.")
  brain_tumor_dir: str = setting("", "Folder of the MRI scans, for tasks of --dataset=brain_tumor.")
  pathology_dir: str = setting("", "Folder of the patches, for --dataset=pathology; empty: TFDS.")
  out: str = setting("", "Folder of tables, plots and page; by default results/NAME.")
  cache: str = setting(
    "runs/sweep",
    "Folder of trainings, adapted models and evaluations; tables and figures share it.",
  )
  only_cached: bool = setting(
    False,
    "Train and attack nothing: make tables of what the cache holds, and name what it lacks, and "
    "what could not be compared with the images.",
  )
  mixed_versions: bool = setting(
    False,
    "Put numbers that were drawn with other keys or on other splits than this version's beside its "
    "own. The page says which; without this flag it is an error.",
  )
  dp: bool = setting(
    False,
    "Noise and clip uploads by --clip_norm with --uplink_sigma or --uplink_epsilon. Without it "
    "these flags serve the cells of table 2 that are with DP, and no others.",
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AblationConfig:
  """Study."""

  study: str = setting(
    "sigma",
    "What varies: the split, the number of clients, how far they are from IID, the downlink "
    "sigma, the number of adversaries that collude, when the server's adversarial examples are "
    "made, how clients train on theirs, the type of the arithmetic, the PGD steps, the units of "
    "eps, the uplink sigma; or TFF's DP-FedAvg beside ours.",
    choices=STUDIES,
  )
