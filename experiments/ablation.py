"""What else decides: split, clients, non-IID strength, noise, attack steps, units of eps, DP."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.ablation import ablation

if __name__ == "__main__":
  main.run(ablation)
