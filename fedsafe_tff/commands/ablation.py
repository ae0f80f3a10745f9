r"""What else decides: split, clients, non-IID strength, noise, attack steps, units of eps, DP.

python -m experiments.ablation --flagfile=flags/presets/sweep/cpu.flags --study=split \
  --brain_tumor_dir=FOLDER --pathology_dir=FOLDER --out=results/split

--study says which of them varies.
Presets: quick, cpu, paper. Trainings are kept in --cache and shared by all tables and figures.
Ctrl-C finishes the round or attack and saves; the same command continues.
"""

from collections.abc import Sequence

from fedsafe_tff.commands import main, sweeping


def ablation(arguments: Sequence[str]) -> int:
  """Makes it; returns the exit code."""
  return sweeping.make("ablation", arguments, __doc__)


if __name__ == "__main__":
  main.run(ablation)
