r"""Table 1 of the paper: ASR (self/avg) of adversarial training and of distributed noise.

python -m experiments.table1 --flagfile=flags/presets/sweep/cpu.flags \
  --brain_tumor_dir=FOLDER --pathology_dir=FOLDER --out=results/table1

Undefended models and local adversarial training stand beside them, clean accuracy beside all.
Presets: quick, cpu, paper. Trainings are kept in --cache and shared by all tables and figures.
Ctrl-C finishes the round or attack and saves; the same command continues.
"""

from collections.abc import Sequence

from fedsafe_tff.commands import main, sweeping


def table1(arguments: Sequence[str]) -> int:
  """Makes it; returns the exit code."""
  return sweeping.make("table1", arguments, __doc__)


if __name__ == "__main__":
  main.run(table1)
