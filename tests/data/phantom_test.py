import numpy as np
import sklearn.linear_model

from fedsafe_tff.data import phantom


def load(**keywords):
  return phantom.load(**({"task": "two_class", "num_images": 200, "image_size": 32, "seed": 1}
                         | keywords))


def test_the_seed_decides_every_pixel():
  assert load().content_hash() == load().content_hash() != load(seed=2).content_hash()


def test_classes_and_shares():
  data = load(task="four_class")
  assert data.images.shape == (200, 32, 32, 1) and len(data.class_names) == 4
  assert np.bincount(data.labels)[0] == 80 and np.bincount(data.labels).min() >= 38
  two = load()
  np.testing.assert_array_equal(two.labels, data.labels > 0)
  np.testing.assert_array_equal(two.images, data.images)


def test_linear_models_on_pixels_are_far_from_perfect():
  data = load(num_images=600)
  pixels = data.images.reshape(600, -1) / 255.0
  ridge = sklearn.linear_model.RidgeClassifier(10.0).fit(pixels[:450], data.labels[:450])
  assert ridge.score(pixels[450:], data.labels[450:]) < 0.85
