"""The study of sites on brain MRI, the hospitals told by the size of the files."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.sites import sites

if __name__ == "__main__":
  main.run(sites)
