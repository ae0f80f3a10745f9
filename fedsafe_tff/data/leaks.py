"""How many test images of the published split have a copy in its training part."""

import dataclasses

import numpy as np

from fedsafe_tff.data.image_set import ImageSet


@dataclasses.dataclass(frozen=True)
class Leaks:
  """Counts across the published split.

  Attributes:
    test_images: Size of the published test part.
    exact_copies: Test images with a pixel-identical copy in the training part.
    near_copies: Test images with an exact or a near copy there.
  """

  test_images: int
  exact_copies: int
  near_copies: int

  def sentence(self) -> str:
    """The counts in words."""
    return (
      f"published split: {self.exact_copies} of {self.test_images} test images have an exact copy "
      f"in the training part, {self.near_copies} an exact or near copy"
    )


def count_leaks(image_set: ImageSet) -> Leaks | None:
  """Counts copies across the published split; None where there is no such split."""
  test = image_set.published_test
  if test is None or not test.any() or test.all():
    return None
  exact = np.isin(image_set.exact[test], image_set.exact[~test])
  near = np.isin(image_set.groups[test], image_set.groups[~test])
  return Leaks(int(test.sum()), int(exact.sum()), int((exact | near).sum()))
