"""Evasion attacks as pure functions of a logits function and a batch (Eq. 5-7)."""

from fedsafe_tff import lazy

__getattr__, __dir__ = lazy.attach(
  __name__,
  {
    "AttackSpec": "spec",
    "ATTACKS": "registry",
    "Attack": "registry",
    "Ensemble": "ensemble",
  },
  ("apgd", "art_adapter", "craft", "fgsm", "momentum", "pgd", "square"),
)
