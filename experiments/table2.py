"""Table 2 of the paper: ASR with and without differential privacy, for both methods."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.table2 import table2

if __name__ == "__main__":
  main.run(table2)
