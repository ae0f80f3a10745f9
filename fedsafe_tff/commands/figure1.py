r"""Figure 1 of the paper: original, perturbation, adversarial example (FGSM, eps 0.03).

python -m experiments.figure1 --flagfile=flags/presets/sweep/cpu.flags \
  --brain_tumor_dir=FOLDER --pathology_dir=FOLDER --out=results/figure1

From the undefended model of the first seed.
Presets: quick, cpu, paper. Trainings are kept in --cache and shared by all tables and figures.
Ctrl-C finishes the round or attack and saves; the same command continues.
"""

from collections.abc import Sequence

from fedsafe_tff.commands import main, sweeping


def figure1(arguments: Sequence[str]) -> int:
  """Makes it; returns the exit code."""
  return sweeping.make("figure1", arguments, __doc__)


if __name__ == "__main__":
  main.run(figure1)
