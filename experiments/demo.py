"""Three defences on embedded data, in one page: python -m experiments.demo [--flag=value ...]."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.demo import demo

if __name__ == "__main__":
  main.run(demo)
