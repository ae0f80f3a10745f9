"""What a run tells of its data before it trains."""

from fedsafe_tff.runs.prepare import prepare
from tests.runs import tiny


def test_clients_that_lack_a_class_are_counted(tmp_path):
  said = []
  config = tiny.config(
    tmp_path, partition="dirichlet", dirichlet_alpha=0.02, min_client_images=1,
    defense="distributed_noise",
  )  # fmt: skip
  prepared = prepare(config, said.append)
  image_set = prepared.image_set
  expected = []
  for label, name in enumerate(image_set.class_names):
    lacking = [rows for rows in prepared.clients if not (image_set.labels[rows] == label).any()]
    if lacking:
      expected.append(f"{len(lacking)} of 3 clients hold no image of class {name}")
  assert expected
  assert [line for line in said if "hold no image" in line] == expected
