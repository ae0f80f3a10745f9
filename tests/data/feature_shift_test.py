import numpy as np
import pytest

from fedsafe_tff.data.feature_shift import shift
from fedsafe_tff.errors import UserError

IMAGES = np.random.default_rng(0).integers(60, 190, (5, 6, 6, 3)).astype(np.uint8)


def shifted(kind, clients=3):
  return [shift(IMAGES, kind, k, clients, seed=1).astype(float) for k in range(clients)]


def test_none_changes_nothing():
  assert shift(IMAGES, "none", 0, 3, 0) is IMAGES


def test_brightness_moves_every_pixel_alike():
  moves = sorted(float((made - IMAGES).mean()) for made in shifted("brightness"))
  np.testing.assert_allclose(moves, [-0.15 * 255, 0, 0.15 * 255], atol=0.5)


def test_contrast_keeps_the_mean_and_spreads():
  spreads = sorted(made.std((1, 2, 3)).mean() for made in shifted("contrast"))
  usual = IMAGES.std((1, 2, 3)).mean()
  np.testing.assert_allclose(spreads, [usual / 1.5, usual, usual * 1.5], rtol=0.02)


def test_stain_scales_the_density_of_each_colour():
  for made in shifted("stain"):
    ratio = np.log(np.clip(made, 1, 255) / 255) / np.log(IMAGES / 255)
    gains = np.median(ratio, (0, 1, 2))
    assert (gains > 1 / 1.32).all() and (gains < 1.32).all() and np.ptp(gains) > 0
    np.testing.assert_allclose(ratio, np.broadcast_to(gains, ratio.shape), rtol=0.1)
  with pytest.raises(UserError, match="colour"):
    shift(IMAGES[..., :1], "stain", 0, 3, 0)


def test_the_same_seed_the_same_bits_and_unknown_kinds():
  np.testing.assert_array_equal(shifted("stain"), shifted("stain"))
  with pytest.raises(UserError, match="unknown"):
    shift(IMAGES, "colour", 0, 3, 0)
