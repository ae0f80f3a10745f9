"""Puts runs side by side, as Markdown: python -m experiments.compare RUN_DIR [RUN_DIR ...]."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.compare import compare

if __name__ == "__main__":
  main.run(compare)
