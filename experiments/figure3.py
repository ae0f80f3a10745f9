"""Figure 3 of the paper: ASR against the share of the adaptation samples."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.figure3 import figure3

if __name__ == "__main__":
  main.run(figure3)
