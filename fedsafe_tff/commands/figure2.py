r"""Figure 2 of the paper: ASR against the size of the perturbation.

python -m experiments.figure2 --flagfile=flags/presets/sweep/cpu.flags \
  --brain_tumor_dir=FOLDER --pathology_dir=FOLDER --out=results/figure2

Undefended, adversarial training and distributed noise; benign clients and adversary.
Presets: quick, cpu, paper. Trainings are kept in --cache and shared by all tables and figures.
Ctrl-C finishes the round or attack and saves; the same command continues.
"""

from collections.abc import Sequence

from fedsafe_tff.commands import main, sweeping


def figure2(arguments: Sequence[str]) -> int:
  """Makes it; returns the exit code."""
  return sweeping.make("figure2", arguments, __doc__)


if __name__ == "__main__":
  main.run(figure2)
