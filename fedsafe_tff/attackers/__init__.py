"""Who attacks and what it holds: the models that an attack goes through, and its victims."""

from fedsafe_tff import lazy

__getattr__, __dir__ = lazy.attach(
  __name__,
  {
    "ATTACKERS": "registry",
    "Attacker": "attacker",
    "Holding": "holding",
    "OwnCopy": "copies",
    "NoiseEnsemble": "copies",
    "Averaging": "copies",
    "RoundHistory": "copies",
    "Colluding": "copies",
    "LocalUpdate": "makers",
    "Surrogate": "makers",
    "Imitation": "makers",
    "BlackBox": "black_box",
    "Worst": "worst",
  },
)
