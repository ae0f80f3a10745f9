"""What attackers on privacy get out of a finished run."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.audit import audit

if __name__ == "__main__":
  main.run(audit)
