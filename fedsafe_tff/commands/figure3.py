r"""Figure 3 of the paper: ASR against the share of the adaptation samples.

python -m experiments.figure3 --flagfile=flags/presets/sweep/cpu.flags \
  --brain_tumor_dir=FOLDER --pathology_dir=FOLDER --out=results/figure3

Adversarial training and distributed noise, from one training per task and seed.
Presets: quick, cpu, paper. Trainings are kept in --cache and shared by all tables and figures.
Ctrl-C finishes the round or attack and saves; the same command continues.
"""

from collections.abc import Sequence

from fedsafe_tff.commands import main, sweeping


def figure3(arguments: Sequence[str]) -> int:
  """Makes it; returns the exit code."""
  return sweeping.make("figure3", arguments, __doc__)


if __name__ == "__main__":
  main.run(figure3)
