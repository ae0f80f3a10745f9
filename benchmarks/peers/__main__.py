"""`python -m benchmarks.peers`, see `compare.py`."""

from benchmarks.peers.compare import peers
from fedsafe_tff.commands import main

if __name__ == "__main__":
  main.run(peers)
