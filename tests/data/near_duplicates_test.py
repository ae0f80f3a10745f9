import numpy as np

from fedsafe_tff.data import near_duplicates


def test_groups_are_linked_by_both_hashes_and_through_others(monkeypatch):
  monkeypatch.setattr(near_duplicates, "_ROWS", 2)  # several blocks
  rng = np.random.default_rng(0)
  base, other = rng.random((2, 256)) < 0.5

  def flip(bits, start, count):
    changed = bits.copy()
    changed[start : start + count] ^= True
    return changed

  hashes = [
    (base, base),
    (flip(base, 0, 10), base),  # at the limit: linked to the first
    (flip(base, 0, 20), base),  # 20 bits from the first, linked through the second
    (flip(base, 100, 11), base),  # one bit too many
    (base, other),  # one of the two hashes is not enough
  ]
  groups = near_duplicates.near_groups(hashes)
  assert groups[0] == groups[1] == groups[2]
  assert len(set(groups)) == 3
