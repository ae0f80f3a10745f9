"""What the paper reports: Darzi, Sijtsema, van Ooijen, "Fed-Safe: Securing Federated Learning in
Healthcare Against Adversarial Attacks".

Its "MRI" is read as the meningioma task: the text names pathology, meningioma and glioma. Attack
success rates are shares, in [0, 1].
"""

import dataclasses

SOURCE = "Fed-Safe (Darzi, Sijtsema, van Ooijen)"


@dataclasses.dataclass(frozen=True)
class Pair:
  """ASR on the adversary's own copy, and the mean over the other clients'."""

  self_: float
  avg: float

  def of(self, metric: str) -> float:
    """The value that belongs to a column of results: `asr_self` or `asr_avg`."""
    return {"asr_self": self.self_, "asr_avg": self.avg}[metric]


# Table 1: task -> eps ("Step" in the paper) -> (adversarial training, distributed noise).
TABLE1: dict[str, dict[float, tuple[Pair, Pair]]] = {
  "glioma": {
    0.005: (Pair(0.03, 0.00), Pair(0.03, 0.00)),
    0.012: (Pair(0.00, 0.00), Pair(0.00, 0.00)),
    0.017: (Pair(0.00, 0.00), Pair(0.00, 0.00)),
    0.05: (Pair(0.03, 0.00), Pair(0.00, 0.00)),
  },
  "meningioma": {
    0.005: (Pair(0.12, 0.05), Pair(0.10, 0.02)),
    0.012: (Pair(0.22, 0.09), Pair(0.22, 0.08)),
    0.017: (Pair(0.25, 0.11), Pair(0.23, 0.04)),
    0.05: (Pair(0.46, 0.27), Pair(0.41, 0.15)),
  },
  "pathology": {
    0.005: (Pair(0.32, 0.08), Pair(0.31, 0.08)),
    0.012: (Pair(0.43, 0.12), Pair(0.47, 0.10)),
    0.017: (Pair(0.46, 0.17), Pair(0.49, 0.12)),
    0.05: (Pair(0.54, 0.32), Pair(0.65, 0.34)),
  },
}

# Table 2: task -> eps -> (without DP, with DP). The paper does not say for which of the two
# methods; the text says that DP helped in both, and that glioma was 0.0 throughout.
TABLE2: dict[str, dict[float, tuple[float, float]]] = {
  "pathology": {
    0.01: (0.1021, 0.0509),
    0.03: (0.0997, 0.0872),
    0.05: (0.0953, 0.0787),
    0.07: (0.1904, 0.1667),
  },
  "meningioma": {
    0.01: (0.0274, 0.0031),
    0.03: (0.0392, 0.0032),
    0.05: (0.1267, 0.0032),
    0.07: (0.0629, 0.0032),
  },
  "glioma": {eps: (0.0, 0.0) for eps in (0.01, 0.03, 0.05, 0.07)},
}
# The row "Average" of each, as printed: the mean of the four values above is 0.1219 and 0.0959 for
# pathology, 0.0641 and 0.0032 for MRI.
TABLE2_AVERAGE: dict[str, tuple[float, float]] = {
  "pathology": (0.1219, 0.0958),
  "meningioma": (0.0641, 0.0032),
  "glioma": (0.0, 0.0),
}

# Section 4.3: the benign clients' ASR with distributed noise and 20 % of the adaptation samples.
SHARE = 0.2
AVG_ASR_AT_SHARE = {"pathology": 0.122, "meningioma": 0.097, "glioma": 0.0}

# Section 4.3: "Distributed noise training was able to reduce the attacker's self-ASR by up to 8%,
# and the attacker's average ASR by up to 27%, compared to the adversarial training method."
SELF_REDUCTION = 0.08
AVG_REDUCTION = 0.27

# Section 4.3: "In both defense models, the self ASR was around two to four times higher than the
# average ASR".
SELF_OVER_AVG = (2.0, 4.0)

EPS_TABLE1 = (0.005, 0.012, 0.017, 0.05)
EPS_TABLE2 = (0.01, 0.03, 0.05, 0.07)
SHARES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
EPS_FIGURE1 = 0.03
