"""Checks this machine: versions, devices, a TFF round, memory, disk, data folders."""

from fedsafe_tff.commands import main
from fedsafe_tff.commands.doctor import doctor

if __name__ == "__main__":
  main.run(doctor)
