"""Table 1 of the paper: ASR (self/avg) of adversarial training and of distributed noise."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.table1 import table1

if __name__ == "__main__":
  main.run(table1)
