import pytest

from fedsafe_tff.paper import identity, rows
from tests.paper.stored import HERE, attack, by_older_definition, cache_of, cells


@pytest.fixture
def cache(tmp_path):
  return cache_of(tmp_path, HERE)


def test_rows_say_where_every_number_is_from(tmp_path, cache):
  cell, other = cells(tmp_path, "distributed_noise", "none")
  attack(cache, cell, 0.02, asr=0.5)
  [row] = rows.of_cells(cache, [cell, other])
  assert (row["task"], row["method"], row["seed"], row["eps"]) == (
    "phantom",
    "distributed_noise",
    0,
    0.02,
  )
  assert row["asr_self"] == 0.5 and row["clean_accuracy_global"] == 0.91
  assert row["clean_accuracy_all"] == pytest.approx(0.92)
  assert (cache.folder / row["evaluation"]).is_file()
  assert row["training"] == f"trainings/{identity.training_name(cell.config, HERE)}"
  assert row["evaluation"].startswith(row["training"] + "/evaluations/")
  assert row["git_commit"] == "abc"
  assert (row["keys"], row["splits"], row["definitions"]) == (1, 1, 2)


def test_a_column_has_one_definition(tmp_path, cache):
  group = cells(tmp_path, "none", "server_adversarial_training", "distributed_noise")
  for cell in group:
    by_older_definition(cache, cell, 0.01)
    attack(cache, cell, 0.02)
  found = {(row["method"], row["eps"]): row for row in rows.of_cells(cache, group)}
  values = {place: row["clean_accuracy_all"] for place, row in found.items()}
  for method in ("none", "server_adversarial_training"):
    assert values[method, 0.01] == 0.91  # the global model's, which every client holds
  assert values["distributed_noise", 0.01] is None
  assert [values[c.method, 0.02] for c in group] == pytest.approx([0.92] * 3)
  assert {place[1]: row["definitions"] for place, row in found.items()} == {0.01: 1, 0.02: 2}
