"""Attacks a finished run, or a model's file, again: no training."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.attack import attack

if __name__ == "__main__":
  main.run(attack)
