"""Noise calibration as the paper has it, mechanisms, and accounting of what is provable."""

from fedsafe_tff import lazy

__getattr__, __dir__ = lazy.attach(
  __name__,
  {
    "PrivacySettings": "mechanisms.mechanism",
    "build_mechanism": "mechanisms.registry",
    "MECHANISMS": "mechanisms.registry",
  },
  ("accounting", "calibration", "solving", "statement"),
)
