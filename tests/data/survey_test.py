import dataclasses

import numpy as np

from fedsafe_tff.data import shortcuts
from fedsafe_tff.data import survey as survey_lib
from fedsafe_tff.data.image_set import ImageSet

COUNT = 120


def image_set(**changes):
  rng = np.random.default_rng(0)
  labels = (np.arange(COUNT) % 2).astype(np.int32)
  values = {
    "images": rng.integers(0, 256, (COUNT, 8, 8, 1)).astype(np.uint8),
    "labels": labels,
    "class_names": ("well", "ill"),
    "names": tuple(map(str, range(COUNT))),
    "groups": np.arange(COUNT),
    "exact": np.arange(COUNT),
    "published_test": None,
    "source_sizes": np.full((COUNT, 2), 8, np.int32),
    "inventory": {"left_out": [], "litter": 0, "files_found": COUNT, "files_loaded": COUNT,
                  "images": COUNT},
  }  # fmt: skip
  return ImageSet(**(values | changes))


def warned(data):
  return [s.name for s in shortcuts.find(data) if s.warns]


def test_noise_has_no_shortcut():
  assert warned(image_set()) == []
  assert {s.name for s in shortcuts.find(image_set())} == {"brightness", "border"}


def test_each_shortcut_is_found_with_its_accuracy():
  data = image_set()
  ill = data.labels == 1
  sizes = np.where(ill[:, None], 512, 8 + np.arange(COUNT)[:, None] % 5) * np.ones((1, 2), int)
  found = {s.name: s for s in shortcuts.find(image_set(source_sizes=sizes.astype(np.int32)))}
  size = found["size of the file's image"]
  assert size.warns and size.accuracy == 1.0 and size.majority == 0.5 and size.classes_alike == 1.0
  framed = data.images.copy()
  framed[ill, 0] = framed[ill, -1] = framed[ill, :, 0] = framed[ill, :, -1] = 0
  assert "border" in warned(image_set(images=framed))
  dark = np.where(ill[:, None, None, None], data.images // 2, data.images)
  assert warned(image_set(images=dark))[0] == "brightness"
  kinds = tuple("PNG 8 bit" if flag else "JPEG 8 bit" for flag in ill)
  assert warned(image_set(kinds=kinds)) == ["kind of file"]
  sites = tuple("A" if flag else "B" for flag in ill)
  assert warned(image_set(sites=sites)) == ["site"]


def test_a_rule_is_not_scored_on_copies_of_what_it_learnt_from():
  # Every group has a brightness and a class of its own: copies would be told by heart.
  rng = np.random.default_rng(1)
  groups = np.arange(COUNT) // 20
  level = np.array([10, 50, 90, 130, 170, 210])[groups]
  images = np.broadcast_to(level[:, None, None, None], (COUNT, 8, 8, 1)).astype(np.uint8)
  labels = (groups % 2).astype(np.int32)
  data = image_set(images=images, labels=labels, groups=groups)
  assert next(s for s in shortcuts.find(data) if s.name == "brightness").accuracy < 0.9
  loose = dataclasses.replace(data, groups=rng.permutation(COUNT))
  assert next(s for s in shortcuts.find(loose) if s.name == "brightness").accuracy == 1.0


def test_counts_by_class_site_and_patient():
  data = image_set(
    sites=tuple("A" if i < 80 else "B" for i in range(COUNT)),
    patients=tuple(f"p{i // 4}" for i in range(COUNT)),
    groups=np.arange(COUNT) // 4,
    published_test=np.arange(COUNT) % 4 == 0,
  )
  facts = survey_lib.survey(data)
  assert facts["images"] == COUNT and facts["groups"] == 30 == facts["patients"]
  assert [(r["name"], r["images"], r["patients"]) for r in facts["sites"]] == [
    ("A", 80, 20), ("B", 40, 10),
  ]  # fmt: skip
  assert facts["sites"][0]["by_class"] == [40, 40]
  assert facts["sizes"] == [{"name": "8 x 8", "images": COUNT}]
  told = " ".join(facts["belonging"])
  assert "90 images share a near-duplicate or the patient" in told
  assert "30 groups hold images of several classes" in told
  assert "30 of 30 test images" not in told and "published split" in told


def test_twelve_pictures_of_every_class_and_site_as_the_model_sees_them():
  data = image_set(sites=tuple("A" if i < 5 else "B" for i in range(COUNT)))
  made = survey_lib.pictures(data)
  assert [title for title, _ in made] == ["class well", "class ill", "site A", "site B"]
  assert made[0][1].shape == (8, 96, 1) and made[2][1].shape == (8, 40, 1)
  np.testing.assert_array_equal(made[2][1][:, 8:16], data.images[1])


def test_what_is_too_small_for_folds_has_no_shortcuts():
  some = image_set()
  labels = np.zeros_like(some.labels)
  assert shortcuts.find(image_set(labels=labels)) == []
  labels[:] = np.arange(COUNT)  # a class for each image
  assert shortcuts.find(image_set(labels=labels)) == []
  assert not shortcuts.can_fold(np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.arange(8))
  assert shortcuts.can_fold(np.array([0, 0, 0, 0, 0, 1]), np.arange(6))
