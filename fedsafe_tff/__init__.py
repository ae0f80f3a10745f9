"""Fed-Safe on TensorFlow Federated: adversarially robust, noised federated learning."""

from fedsafe_tff import lazy

__version__ = "0.1.0"

__getattr__, __dir__ = lazy.attach(
  __name__,
  {},
  (
    "attackers", "attacks", "data", "evaluation", "keys", "learning", "models", "privacy",
    "runtime",
    "training",
  ),
)
