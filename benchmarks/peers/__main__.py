"""`python -m benchmarks.peers`, see `compare.py`."""

from benchmarks.peers.compare import peers
from experiments import main

if __name__ == "__main__":
  main.run(peers)
