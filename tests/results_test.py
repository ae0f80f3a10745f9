"""Every number under docs/results leads to an evaluation and to the manifest of its training."""

import csv
import dataclasses
import functools
import json
import pathlib
import tarfile

import pytest

from fedsafe_tff.paper import identity
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.config.config import BEFORE

RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "results"
METHODS = (
  "none",
  "server_adversarial_training",
  "distributed_noise",
  "local_adversarial_training",
)
# Defences of the pages' own that make copies.
OWN_COPIES = (
  "noisy_adaptation.py:at_sigma", "cross_copy.py:cross", "local+noise", "local+adaptation+noise",
)  # fmt: skip
NUMBERS = sorted(RESULTS.glob("*/numbers.csv"))
SWEEP = RESULTS / "sweep.tar.xz"
ARCHIVES = [SWEEP, *sorted(RESULTS.glob("*/runs.tar.xz"))]


@functools.cache
def read(path):
  """Name to contents of every JSON file in an archive."""
  with tarfile.open(path) as opened:
    return {
      member.name: json.load(opened.extractfile(member))
      for member in opened
      if member.name.endswith(".json")
    }


def archive_of(path):
  """A page has its own archive, or that of the sweeps."""
  own = path.parent / "runs.tar.xz"
  return read(own if own.is_file() else SWEEP)


@pytest.fixture(scope="module")
def archive():
  return read(SWEEP)


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.parent.name)
def test_the_archive_names_no_folder_of_a_machine(path):
  for name, content in read(path).items():
    text = json.dumps(content)
    assert "/tmp/" not in text and "/home/" not in text and "/work/" not in text, name


def result_of(evaluation, row):
  """The paper's evaluations have one result; under a suite there is one of each attacker."""
  if "results" not in evaluation:
    return evaluation["result"]
  [found] = [r for r in evaluation["results"] if r["attacker"] == row["attacker"]]
  return found


@pytest.mark.parametrize("path", NUMBERS, ids=lambda path: path.parent.name)
def test_numbers_are_those_of_their_evaluations(path):
  archive = archive_of(path)
  with path.open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert rows
  for row in rows:
    evaluation = archive[row["evaluation"]]
    config = evaluation["config"]
    # A defence of a user's own is named by its file, wherever it lay.
    defense = config["defense"].rsplit("/", 1)[-1]
    assert (config["seed"], defense) == (int(row["seed"]), row["method"])
    assert config["attack_eps"] == [float(row["eps_pixels"])]
    for name in ("clean_accuracy", "asr_self", "asr_avg"):
      assert result_of(evaluation, row)[name] == float(row[name]), (row["evaluation"], name)
    manifest = archive[f"{row['training']}/manifest.json"]
    assert manifest["finished"] and manifest["git_commit"] and manifest["hardware"]["cpu"]
    assert manifest["data_hash"] == evaluation["data_hash"]
    assert f"{row['training']}/config.json" in archive


@pytest.mark.parametrize("path", NUMBERS, ids=lambda path: path.parent.name)
def test_clean_accuracy_has_one_definition_a_column(path):
  """The copies' on all evaluation images, or nothing; older evaluations have it on a part."""
  archive = archive_of(path)
  with path.open(newline="") as file:
    rows = list(csv.DictReader(file))
  for row in rows:
    evaluation = archive[row["evaluation"]]
    images = archive[f"{row['training']}/manifest.json"]["data"]["parts"]["evaluation"]
    copies = evaluation["clean_accuracy_clients"]
    if row["method"] not in ("distributed_noise", "noise_only", "combined", *OWN_COPIES):
      # Every client holds the global model.
      assert float(row["clean_accuracy_all"]) == pytest.approx(evaluation["clean_accuracy_global"])
    elif row["clean_accuracy_all"] == "":
      assert row["definitions"] == "1"
      attacked = [share * evaluation["attacked_images"] for share in copies]
      assert attacked == pytest.approx([round(number) for number in attacked], abs=1e-6)
    else:
      assert row["definitions"] == "2"
      right = [share * images for share in copies]
      assert right == pytest.approx([round(number) for number in right], abs=1e-6)
      assert float(row["clean_accuracy_all"]) == pytest.approx(sum(copies) / len(copies))


@pytest.mark.parametrize("path", NUMBERS, ids=lambda path: path.parent.name)
def test_a_page_says_which_versions_it_stands_on(path):
  with path.open(newline="") as file:
    rows = list(csv.DictReader(file))
  drawn = {(row["keys"], row["splits"]) for row in rows}
  page = (path.parent / "README.md").read_text()
  told = "; ".join(f"keys {keys}, splits {splits}" for keys, splits in sorted(drawn))
  assert f"- versions: {told}\n" in page
  assert (len(drawn) > 1) == ("## Numbers of different versions" in page)
  unknown = any(row["clean_accuracy_all"] == "" for row in rows)
  assert unknown == ("‡n: at n seeds nobody knows" in page)


def _config(stored):
  names = {field.name for field in dataclasses.fields(Config)}
  values = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items() if k in names}
  return Config(**(BEFORE | values))


def test_the_archive_is_found_by_the_names_that_it_was_written_with(archive):
  """It is from before the identity of images was a part of them; `--only_cached` reads it."""
  found = 0
  for name, content in archive.items():
    _, training, *rest = name.split("/")
    if rest == ["config.json"]:
      assert identity.old_training_name(_config(content)) == training
    elif rest[0] == "evaluations":
      config = _config(content["config"])
      assert identity.old_training_name(config) == training
      assert rest[1] == f"{identity.old_digest(config)}.json"
      found += 1
  assert found > 400


def test_there_are_numbers():
  assert {path.parent.name for path in NUMBERS} >= {
    "clients", "compute_dtype", "dirichlet", "dp_fed_avg", "eps_units", "examples", "figure2",
    "figure3", "sigma", "split", "steps", "table1", "table2",
  }  # fmt: skip


def test_the_readme_tells_what_table1_has():
  with (RESULTS / "table1" / "all_cells.csv").open(newline="") as file:
    cells = {(row["task"], row["method"], row["eps"]): row for row in csv.DictReader(file)}
  readme = (RESULTS.parents[1] / "README.md").read_text().splitlines()
  tasks = ("| glioma |", "| meningioma |", "| pathology |")
  told = [line for line in readme if line.startswith(tasks)]
  for line in told:
    task, eps, *numbers, accuracies, left = (p.strip() for p in line.strip("|").split("|"))
    rows = [cells[task, method, eps] for method in METHODS]
    assert accuracies == ", ".join(f"{float(row['clean_accuracy']):.2f}" for row in rows)
    none, server, noise, local = rows
    expected = [
      (none, "asr_self"),
      (server, "asr_self"),
      (noise, "asr_self"),
      (noise, "asr_avg"),
      (local, "asr_self"),
    ]
    for number, (row, name) in zip(numbers, expected, strict=True):
      assert number == f"{float(row[name]):.2f} ± {float(row[f'{name}_half_width']):.2f}", line
    robust = [float(row[name.replace("asr", "attack_accuracy")]) for row, name in expected]
    assert left == ", ".join(f"{value:.2f}" for value in robust)
  assert len(told) == 6
