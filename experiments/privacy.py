"""Sigma and epsilon by every reading, without training."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.privacy import privacy

if __name__ == "__main__":
  main.run(privacy)
