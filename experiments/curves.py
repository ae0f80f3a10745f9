"""Curves over a finished run: noise, colluders, averaged rounds, queries."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.curves import curves

if __name__ == "__main__":
  main.run(curves)
