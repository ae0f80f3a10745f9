"""Pairs of defences on the same images."""

import pytest

from fedsafe_tff.evaluation.statistics import mcnemar
from fedsafe_tff.paper import same_images
from tests.paper import synthetic


def row(method, seed, own, other="", images="some", **more):
  by_image = {"self": own, "images": images} | ({"avg": other} if other else {})
  return synthetic.row(method, seed=seed) | {"by_image": by_image} | more


def test_images_of_all_seeds_that_both_have(tmp_path):
  rows = [
    row("none", 0, "0011"), row("none", 1, "0001"), row("none", 2, "1111"),
    row("combined", 0, "1111", "0111"), row("combined", 1, "1001", "1111"),
    row("noise_only", 2, "0111", images="others"),  # as many, of another split
  ]
  [section] = same_images.sections(rows, tmp_path)
  found = mcnemar([0, 0, 1, 1, 0, 0, 0, 1], [1, 1, 1, 1, 1, 0, 0, 1])
  assert (found.only_first, found.only_second) == (0, 3)
  line = "| glioma | 0.05 | own | undefended | combined | 8 | 2 | 0.375 / 0.750 | 0 / 3 |"
  assert line in section.text and f"| {found.p:.3f} | {found.p:.3f} |" in section.text
  assert section.text.count("| glioma |") == 1  # no second defence has others' copies
  with (tmp_path / "pairs.csv").open() as file:
    assert len(file.readlines()) == 2


@pytest.mark.parametrize("changes", [{"images_of_patients": True}, {"by_image": None}])
def test_where_there_is_no_pair_there_is_no_table(tmp_path, changes):
  rows = [row("none", 0, "0011", **changes), row("combined", 0, "1111")]
  assert same_images.sections(rows, tmp_path) == []
  assert not any(tmp_path.iterdir())


def test_variants_stand_against_the_first_and_methods_of_one_variant_against_each_other(tmp_path):
  rows = [
    row(method, 0, "0101", variant=variant)
    for variant in ("a", "b", "c")
    for method in ("none", "combined")
  ]
  [section] = same_images.sections(rows, tmp_path)
  pairs = [line.split(" | ")[3:5] for line in section.text.splitlines() if "| glioma |" in line]
  assert ["undefended, a", "combined, a"] in pairs and ["undefended, a", "undefended, c"] in pairs
  assert ["undefended, b", "undefended, c"] not in pairs and len(pairs) == 3 + 2 * 2
