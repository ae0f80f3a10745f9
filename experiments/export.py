"""Writes a run's model as a SavedModel that needs TensorFlow alone."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.export import export

if __name__ == "__main__":
  main.run(export)
