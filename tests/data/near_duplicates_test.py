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

  pictures = rng.integers(0, 256, (5, 64, 64)).astype(np.uint8)
  prints = [
    near_duplicates.Fingerprint(dhash, phash, picture)
    for (dhash, phash), picture in zip(
      [
        (base, base),
        (flip(base, 0, 10), base),  # at the limit: linked to the first
        (flip(base, 0, 20), base),  # 20 bits from the first, linked through the second
        (flip(base, 100, 11), base),  # one bit too many
        (base, other),  # one of the two hashes is not enough
      ],
      pictures,
    )
  ]
  groups = near_duplicates.near_groups(prints)
  assert groups[0] == groups[1] == groups[2]
  assert len(set(groups)) == 3


def test_groups_of_hashes_are_joined_by_the_second_look(monkeypatch):
  hashes = np.random.default_rng(0).random((4, 256)) < 0.5
  order = [0, 1, 1, 2, 0, 3]  # two pairs by their hashes
  prints = [
    near_duplicates.Fingerprint(hashes[i], hashes[i], np.full([64, 64], i, np.uint8)) for i in order
  ]

  def find(pictures):
    assert pictures[:, 0, 0].tolist() == [0, 1, 2, 3]  # the first of each
    return np.array([[0, 2]])

  monkeypatch.setattr(near_duplicates.aligned_copies, "find", find)
  groups = near_duplicates.near_groups(prints).tolist()
  assert groups == [0, 1, 1, 0, 0, 2]
