"""Two runs on the same images."""

import json

from fedsafe_tff.commands import compare
from fedsafe_tff.runs.report import same_images
from fedsafe_tff.runs.report.render import write_csv
from fedsafe_tff.runs.report.run_folder import RunFolder
from tests.runs.report import synthetic


def attacked(path, right, *, images=range(8), data="abc", suite="strong", attack="worst of 3"):
  """A finished run of which an image is right on so many of two copies, on the others' nowhere."""
  synthetic.finished(path)
  manifest = json.loads((path / "manifest.json").read_text())
  (path / "manifest.json").write_text(json.dumps(manifest | {"data_hash": data}))
  evaluation = json.loads((path / "evaluation.json").read_text())
  (path / "evaluation.json").write_text(json.dumps(evaluation | {"evaluation": suite}))
  rows = [
    {
      "image": image, "attacker": "worst", "attack": attack, "eps": 0.03, "clean_right": 1.0,
      "right_self": value, "right_avg": 0.0, "flipped_self": 1.0 - value, "flipped_avg": 1.0,
    }
    for image, value in zip(images, right, strict=True)
  ]  # fmt: skip
  write_csv(path / "images.csv", rows)
  return RunFolder.read(path)


def test_an_image_counts_where_every_copy_is_right(tmp_path):
  first = attacked(tmp_path / "a", [1, 1, 1, 0.5, 0, 0, 0, 0])
  second = attacked(tmp_path / "b", [1, 0.5, 1, 1, 1, 1, 1, 1], attack="worst of 5")
  found = same_images.pairs(first, second)
  assert set(found) == {("all of strong", 0.03, "self"), ("all of strong", 0.03, "avg")}
  own = found["all of strong", 0.03, "self"]
  assert (own.first, own.second, own.count) == (3 / 8, 7 / 8, 8)
  assert (own.only_first, own.only_second, own.odds_ratio) == (1, 5, 5.0)
  assert own.p == 2 * (1 + 6) / 2**6  # the binomial's two tails of at most 1 of 6
  others = found["all of strong", 0.03, "avg"]
  assert (others.first, others.second, others.p) == (0.0, 0.0, 1.0)


def test_the_table_has_every_pair_and_says_what_it_is(tmp_path, capsys):
  for name in "abc":
    attacked(tmp_path / name, [1] * 8)
  compare.compare([str(tmp_path / name) for name in "abc"])
  out = capsys.readouterr().out
  assert "McNemar's exact test, of each pair and not corrected" in out
  assert out.count("| all of strong | 0.03 | own | 8 |") == 3
  assert out.count("| all of strong | 0.03 | others' | 8 |") == 3


def test_runs_of_other_images_data_or_suites_are_no_pair(tmp_path, capsys):
  first = attacked(tmp_path / "a", [1] * 8)
  for number, changes in enumerate(
    ({"images": range(1, 9)}, {"data": "other"}, {"data": None}, {"suite": "standard"})
  ):
    other = attacked(tmp_path / f"other{number}", [1] * 8, **changes)
    assert same_images.pairs(first, other) == {}
  synthetic.finished(tmp_path / "older")
  assert same_images.pairs(first, RunFolder.read(tmp_path / "older")) == {}
  compare.compare([str(tmp_path / "a"), str(tmp_path / "older")])
  assert "McNemar" not in capsys.readouterr().out
