"""One meaning for each number of an evaluation, whatever version made it."""

import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation import definitions

# 200 of 359 images are attacked; the copies get 170 and 180 of these right, 300 and 320 of all.
ATTACKED = [170 / 200, 180 / 200]
ALL = [300 / 359, 320 / 359]


def evaluation(copies, **more):
  result = {"attack": "pgd", "eps": 0.03, "clean_accuracy": 0.875, "asr_self": 0.5}
  made = {
    "clean_accuracy_global": 0.9025,
    "clean_accuracy_clients": copies,
    "attacked_images": 200,
  } | more
  return made | ({} if "results" in more else {"result": result})


def read(stored, one_model=False, images=359):
  return definitions.accuracies_of_copies(stored, one_model=one_model, evaluation_images=images)


def test_a_model_collapsed_that_is_two_points_above_the_majority_or_less():
  assert definitions.has_collapsed(0.02, 0.0)
  assert definitions.has_collapsed(0.5, 0.6)
  assert not definitions.has_collapsed(0.0201, 0.0)


def test_an_evaluation_without_a_version_is_told_by_its_numbers():
  assert definitions.version_of(evaluation(ATTACKED), 359) == 1
  assert definitions.version_of(evaluation(ALL), 359) == 2
  # Where all images are attacked both definitions are one.
  assert definitions.version_of(evaluation(ATTACKED, attacked_images=359), 359) == 2
  assert definitions.version_of(evaluation(ATTACKED), None) == 1
  run = evaluation(ATTACKED, results=[{"clean_accuracy": 0.875}, {"clean_accuracy": 0.875}])
  assert definitions.version_of(run, 359) == 1
  assert definitions.version_of({"results": []}, 359) == 2


def test_a_version_that_is_told_is_believed():
  assert definitions.version_of(evaluation(ALL, result_versions={"definitions": 1}), 359) == 1
  told = evaluation(ATTACKED, result_versions={"keys": 2, "definitions": 2})
  assert definitions.version_of(told, 359) == 2 and read(told) == ATTACKED
  later = evaluation(ALL, result_versions={"definitions": definitions.VERSION + 1})
  with pytest.raises(UserError, match="definitions 3.*up to 2.*read it with the version"):
    read(later)


def test_the_copies_accuracy_is_on_all_images_or_left_out():
  assert read(evaluation(ALL)) == ALL
  assert read(evaluation(ATTACKED), one_model=True) == [0.9025, 0.9025]
  assert read(evaluation(ATTACKED)) is None
  assert read({"results": []}) is None


def test_an_older_evaluation_is_renewed_by_the_very_models_only():
  stored = evaluation(ATTACKED, seconds=3.0)
  now = {"clean_global": 0.9025, "clean_copies": ALL, "accuracy_on_attacked": 0.875}
  assert definitions.renewed(stored, **now) == stored | {"clean_accuracy_clients": ALL}
  assert stored["clean_accuracy_clients"] == ATTACKED
  assert definitions.renewed(stored, **now | {"clean_global": 0.9}) is None
  assert definitions.renewed(stored, **now | {"accuracy_on_attacked": 0.87}) is None
