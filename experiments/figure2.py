"""Figure 2 of the paper: ASR against the size of the perturbation."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.figure2 import figure2

if __name__ == "__main__":
  main.run(figure2)
