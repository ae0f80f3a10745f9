r"""Table 2 of the paper: ASR with and without differential privacy, for both methods.

python -m experiments.table2 --flagfile=flags/presets/sweep/cpu.flags \
  --brain_tumor_dir=FOLDER --pathology_dir=FOLDER --out=results/table2

DP is what --clip_norm with --uplink_sigma or --uplink_epsilon make of it; presets set them.
Presets: quick, cpu, paper. Trainings are kept in --cache and shared by all tables and figures.
Ctrl-C finishes the round or attack and saves; the same command continues.
"""

from collections.abc import Sequence

from fedsafe_tff.commands import main, sweeping


def table2(arguments: Sequence[str]) -> int:
  """Makes it; returns the exit code."""
  return sweeping.make("table2", arguments, __doc__)


if __name__ == "__main__":
  main.run(table2)
