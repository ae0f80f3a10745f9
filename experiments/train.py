"""Trains, defends, attacks and reports: one run of Fed-Safe's Algorithm 1 or of a TFF baseline."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.train import train

if __name__ == "__main__":
  main.run(train)
