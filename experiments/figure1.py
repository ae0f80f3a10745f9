"""Figure 1 of the paper: original, perturbation, adversarial example (FGSM, eps 0.03)."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.figure1 import figure1

if __name__ == "__main__":
  main.run(figure1)
