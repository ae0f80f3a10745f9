"""Drivers: from a config to a run folder. They know files, progress and signals."""
