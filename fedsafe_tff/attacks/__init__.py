"""Evasion attacks as pure functions of a logits function and a batch (Eq. 5-7)."""
