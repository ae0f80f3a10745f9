import dataclasses

import numpy as np
import pytest

from fedsafe_tff.data.image_set import ImageSet, pixel_hash

IMAGES = ImageSet(
  images=np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2, 1),
  labels=np.array([0, 1, 0, 1, 0, 1], np.int32),
  class_names=("a", "b"),
  names=tuple("uvwxyz"),
  groups=np.arange(6),
  exact=np.arange(6),
  published_test=np.arange(6) == 0,
  source_sizes=np.full((6, 2), 9, np.int32),
)


@pytest.mark.parametrize(
  "name, value",
  [
    ("images", IMAGES.images + 1),
    ("images", IMAGES.images.reshape(6, 1, 4, 1)),
    ("labels", 1 - IMAGES.labels),
    ("class_names", ("a", "c")),
    ("groups", np.zeros(6, int)),
    ("exact", np.zeros(6, int)),
    ("published_test", None),
    ("published_test", np.zeros(6, bool)),
    ("published_test", np.arange(6) == 1),
    ("source_sizes", np.full((6, 2), 512)),
    ("published_validation", np.arange(6) == 2),
    ("patients", tuple("ppqqrr")),
    ("sites", ("north",) * 6),
    ("kinds", ("PNG 8 bit",) * 6),
  ],
  ids=str,
)
def test_whatever_a_result_rests_on_changes_the_hash(name, value):
  assert dataclasses.replace(IMAGES, **{name: value}).content_hash() != IMAGES.content_hash()


def test_where_the_images_lie_does_not_change_it():
  moved = dataclasses.replace(IMAGES, names=tuple("abcdef"), labels=IMAGES.labels.astype(np.int64))
  assert moved.content_hash() == IMAGES.content_hash() and len(moved.content_hash()) == 64
  assert IMAGES.content_hash(pixel_hash(IMAGES.images)) == IMAGES.content_hash()


def test_boundaries_between_fields_are_a_part_of_it():
  left, right = (
    dataclasses.replace(IMAGES, class_names=names) for names in (("a", "b\0c"), ("a\0b", "c"))
  )
  assert left.content_hash() != right.content_hash()
