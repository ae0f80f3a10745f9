"""Thin binaries: `python -m experiments.NAME --help`."""
