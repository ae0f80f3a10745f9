"""Noise calibration as the paper has it, and accounting of what is provable."""

from fedsafe_tff import lazy

__getattr__, __dir__ = lazy.attach(__name__, {}, ("accounting", "calibration"))
