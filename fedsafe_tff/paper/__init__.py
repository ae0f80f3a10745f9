"""Drivers: the paper's tables and figures as sweeps over cells that share cached trainings."""
