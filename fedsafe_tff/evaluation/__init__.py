"""Clean accuracy, attack success rate (Eq. 11), the transfer matrix and example images."""

from fedsafe_tff import lazy

__getattr__, __dir__ = lazy.attach(
  __name__,
  {
    "transfer_matrix": "transfer",
    "Evaluator": "transfer",
    "AttackResult": "result",
    "Scorer": "accuracy",
    "WorstCase": "worst_case",
    "check_masking": "masking",
    "MaskingReport": "masking",
    "Smoother": "smoothing",
    "triptych": "examples",
  },
)
