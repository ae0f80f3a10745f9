"""Certified accuracy of a finished run by randomised smoothing."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.certify import certify

if __name__ == "__main__":
  main.run(certify)
