"""Whether a model reads the disease or the scan's origin, told by the size of the files."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.origin import origin

if __name__ == "__main__":
  main.run(origin)
