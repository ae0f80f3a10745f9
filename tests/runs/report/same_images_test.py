"""Two runs on the same images."""

import json

from fedsafe_tff.commands import compare
from fedsafe_tff.runs.report import same_images
from fedsafe_tff.runs.report.render import write_csv
from fedsafe_tff.runs.report.run_folder import RunFolder
from tests.runs.report import synthetic


def attacked(
  path, right, *, images=range(8), data="abc", suite="strong", attack="worst of 3", told=True
):
  """A finished run whose first copy is right on these images, and that of another on none."""
  synthetic.finished(path)
  manifest = json.loads((path / "manifest.json").read_text())
  (path / "manifest.json").write_text(json.dumps(manifest | {"data_hash": data}))
  evaluation = json.loads((path / "evaluation.json").read_text())
  for row in evaluation["results"] if told else ():
    row["intervals"] = {"asr_self": [0.1, 0.9]}
  (path / "evaluation.json").write_text(json.dumps(evaluation | {"evaluation": suite}))
  rows = [
    {
      "image": image, "attacker": "own_copy" if suite == "paper" else "worst", "attack": attack,
      "eps": 0.03, "one_self": float(value), "one_avg": 0.0, "right_self": 0.5,
    }
    for image, value in zip(images, right, strict=True)
  ]  # fmt: skip
  write_csv(path / "images.csv", rows)
  return RunFolder.read(path)


def test_an_image_counts_where_one_copy_is_right_however_many_others_there_are(tmp_path):
  first = attacked(tmp_path / "a", [1, 1, 1, 0, 0, 0, 0, 0])
  second = attacked(tmp_path / "b", [1, 0, 1, 1, 1, 1, 1, 1], attack="worst of 5")
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
  assert "McNemar's exact test" in out and "not corrected for their number" in out
  assert out.count("| all of strong | 0.03 | own | 8 |") == 3
  assert out.count("| all of strong | 0.03 | another's | 8 |") == 3


def test_runs_of_other_images_data_or_suites_are_no_pair(tmp_path, capsys):
  first = attacked(tmp_path / "a", [1] * 8)
  for number, changes in enumerate(
    (
      {"images": range(1, 9)}, {"data": "other"}, {"data": None}, {"suite": "standard"},
      {"told": False},  # patients
    )
  ):
    other = attacked(tmp_path / f"other{number}", [1] * 8, **changes)
    assert same_images.pairs(first, other) == {}
  papers = [
    attacked(tmp_path / f"paper{n}", [1] * 8, suite="paper", attack="pgd") for n in range(2)
  ]
  assert {key[0] for key in same_images.pairs(*papers)} == {"pgd, own_copy"}
  papers[1].config["attack_steps"] = 99
  assert same_images.pairs(*papers) == {}
  suites = [attacked(tmp_path / f"suite{n}", [1] * 8) for n in range(2)]
  suites[1].config["attack_steps"] = 99  # a suite has steps of its own
  assert same_images.pairs(*suites)
  suites[1].config["attack_labels"] = "predicted"
  assert same_images.pairs(*suites) == {}
  synthetic.finished(tmp_path / "older")
  assert same_images.pairs(first, RunFolder.read(tmp_path / "older")) == {}
  compare.compare([str(tmp_path / "a"), str(tmp_path / "older")])
  assert "McNemar" not in capsys.readouterr().out


def test_later_attacks_of_one_name_are_a_pair_too(tmp_path):
  runs = []
  for name in "ab":
    run = attacked(tmp_path / name, [1] * 8, told=False)
    run.again["strong"] = {"evaluation": "strong", "results": [{"intervals": {"asr_self": [0, 1]}}]}
    run.images_again["strong"] = run.images
    runs.append(run)
  assert {key[0] for key in same_images.pairs(*runs)} == {"all of strong"}
