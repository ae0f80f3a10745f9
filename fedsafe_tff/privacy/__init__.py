"""Noise calibration as the paper has it, and accounting of what is provable."""
