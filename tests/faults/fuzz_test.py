"""Two hundred damaged and hostile files: each ends in one clear line, or is right.

`FUZZ_SEED` chooses others than those of seed 0.
"""

import asyncio
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from fedsafe_tff.commands import compare, report
from fedsafe_tff.data import loading
from fedsafe_tff.data.spec import DataSpec, Meaning
from fedsafe_tff.runs import rebuild, saved_models
from fedsafe_tff.runs.flags import command_line, define
from fedsafe_tff.runs.report.run_folder import RunFolder
from tests.faults import mutations
from tests.faults.calling import call
from tests.runs.report import synthetic

pytestmark = pytest.mark.faults
SEED = int(os.environ.get("FUZZ_SEED", "0"))
_OPEN = ["config.json", "manifest.json", "partition.json", "evaluation.json", "survey/survey.json"]
_TABLES = ["metrics.csv", "clients.csv", "transfer_matrix.csv"]


def rng_of(case: int, kind: int) -> np.random.Generator:
  return np.random.default_rng([SEED, kind, case])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A run folder with everything in it."""
  from fedsafe_tff.runs.report import survey_page

  path = synthetic.finished(tmp_path_factory.mktemp("fuzz") / "run")
  facts = {
    "images": 9, "shape": [16, 16, 1], "groups": 9, "patients": None, "inventory": None,
    "classes": [{"name": "a", "images": 9, "groups": 9, "patients": None, "by_class": [9]}],
    "sites": [], "kinds": [], "sizes": [{"name": "16x16", "images": 9}], "belonging": [],
    "shortcuts": [],
  }  # fmt: skip
  survey_page.store(path, facts, [("a", np.zeros([4, 4, 1], np.uint8))])
  return path


@pytest.fixture
def no_drawing(monkeypatch):
  """Pictures take most of the time of a report; every tenth case draws them."""
  from fedsafe_tff.runs.report import build

  def without(case):
    if case % 10:
      monkeypatch.setattr(build, "_PLOTS", ())

  return without


@pytest.mark.parametrize("case", range(70))
def test_a_run_folder(whole, tmp_path, no_drawing, case):
  rng, run = rng_of(case, 0), tmp_path / "run"
  shutil.copytree(whole, run)
  no_drawing(case)
  if case % 2:  # whoever makes a hostile folder makes its checksums too
    without_sums(run)
  for _ in range(int(rng.integers(1, 3))):
    name = (_OPEN + _TABLES + ["examples.npz"])[int(rng.integers(9))]
    file = run / name
    if name.endswith(".npz"):
      with np.load(whole / name) as archive:
        mutations.write(file, mutations.npz_of(rng, dict(archive)))
    elif rng.random() < 0.25:
      mutations.write(file, mutations.bytes_of(rng, file.read_bytes()))
    elif name.endswith(".csv"):
      mutations.write(file, mutations.csv_of(rng, (whole / name).read_text()))
    else:
      mutations.write(file, mutations.json_of(rng, (whole / name).read_text()))
  told = call(report.report, run).check()
  assert told.code in (0, 2) or "damaged, and left out of the report" in told.err, told
  call(compare.compare, run, whole).check()


def without_sums(run: pathlib.Path) -> None:
  for file in run.rglob(".sums"):
    file.unlink()


def image_folder(path: pathlib.Path) -> None:
  rng = np.random.default_rng(0)
  for name in ("ill", "well"):
    (path / name).mkdir(parents=True)
    for number, kind in enumerate(("png", "jpg", "tif", "gif", "bmp")):
      pixels = rng.integers(0, 255, (20, 20)).astype(np.uint8)
      PIL.Image.fromarray(pixels).save(path / name / f"{number}.{kind}")


def load(spec: DataSpec, cache: pathlib.Path):
  return lambda arguments: (loading.load(spec, cache_dir=str(cache)), 0)[1]


@pytest.mark.parametrize("case", range(40))
def test_an_image(tmp_path, case):
  rng, folder = rng_of(case, 1), tmp_path / "images"
  image_folder(folder)
  files = sorted(folder.glob("*/*"))
  for number in rng.integers(0, len(files), 2):
    files[number].write_bytes(mutations.bytes_of(rng, files[number].read_bytes()))
  if case % 5 == 0:
    os.rename(os.fsencode(files[0]), os.fsencode(folder / "ill") + b"/\xff\xfe=1+1.png")
  if case % 7 == 0:
    os.rename(os.fsencode(folder / "well"), os.fsencode(folder) + b"/=cmd|' calc'!\xff")
  skip = bool(rng.integers(2))
  spec = DataSpec("image_folder", data_dir=str(folder), image_size=16, skip_bad_images=skip)
  call(load(spec, tmp_path / "cache")).check()


@pytest.mark.parametrize("case", range(40))
def test_an_archive_of_images(tmp_path, case):
  rng, file = rng_of(case, 2), tmp_path / "a.npz"
  draw = np.random.default_rng(1)
  images = draw.integers(0, 255, (12, 8, 8)).astype(np.uint8)
  labels = np.arange(12) % 3
  arrays = {"images": images, "labels": labels, "class_names": np.array(["a", "b", "c"])}
  if case % 2:
    parts = (("train", slice(0, 8)), ("test", slice(8, 12)))
    arrays = {f"{part}_images": images[rows] for part, rows in parts}
    arrays |= {f"{part}_labels": labels[rows, None] for part, rows in parts}
  if case % 3 == 0:
    arrays["patients"] = np.array([f"p{i // 2}" for i in range(12)])
  mutations.write(file, mutations.npz_of(rng, arrays))
  spec = DataSpec("npz", data_dir=str(file), image_size=8)
  call(load(spec, tmp_path / "cache")).check()
  assert not (tmp_path / "outside.npy").exists()


@pytest.mark.parametrize("case", range(20))
def test_a_table_of_metadata(tmp_path, case):
  rng, folder = rng_of(case, 3), tmp_path / "images"
  image_folder(folder)
  rows = [f"{f.parent.name}/{f.name},{f.parent.name},p{i % 4},train"
          for i, f in enumerate(sorted(folder.glob("*/*")))]  # fmt: skip
  mutations.write(
    tmp_path / "m.csv", mutations.csv_of(rng, "\n".join(["file,label,patient,split", *rows]))
  )
  spec = DataSpec(
    "image_folder", data_dir=str(folder), image_size=16,
    meaning=Meaning(metadata=str(tmp_path / "m.csv")),
  )
  call(load(spec, tmp_path / "cache")).check()


def parse(arguments):
  command_line.parse(arguments)


@pytest.mark.parametrize("case", range(40))
def test_a_flag_file(tmp_path, case):
  from absl import flags

  known = flags.FlagValues()
  define.define_all(known)
  mutations.write(tmp_path / "f.flags", mutations.flags_of(rng_of(case, 4), sorted(known)))
  call(parse, f"--flagfile={tmp_path / 'f.flags'}").check()


@pytest.mark.parametrize("case", range(20))
def test_weights(whole, tmp_path, case):
  rng, run = rng_of(case, 5), tmp_path / "run"
  shutil.copytree(whole, run)
  arrays = {"00": np.ones([3, 2], np.float32), "01": np.zeros([2], np.float32),
            "names": np.array(["a", "b"]), "frozen_names": np.array([], str)}  # fmt: skip
  (run / "models").mkdir()
  file = run / "models" / "global.npz"
  mutations.write(file, mutations.npz_of(rng, arrays))

  def work(arguments):
    stored = saved_models.read(file)
    assert all(np.isfinite(weight).all() for weight in stored.weights)
    rebuild.config_of(RunFolder.read(run))

  call(work).check()


@pytest.mark.parametrize("case", range(10))
def test_a_checkpoint(tmp_path, case):
  import tensorflow_federated as tff

  from fedsafe_tff.runs.loop import Checkpoints

  state = {"weights": np.arange(6, dtype=np.float32), "round": np.int32(0)}
  manager = tff.program.FileProgramStateManager(str(tmp_path / "c"), keep_total=3, keep_first=False)
  for number in (1, 2):
    asyncio.run(manager.save(state | {"round": np.int32(number)}, number))
  files = [p for p in sorted((tmp_path / "c" / "program_state_2").rglob("*")) if p.is_file()]
  rng = rng_of(case, 6)
  file = files[int(rng.integers(len(files)))]
  file.write_bytes(mutations.bytes_of(rng, file.read_bytes()))

  def work(arguments):
    found, number = Checkpoints(tmp_path / "c", 3).newest(state)
    assert number in (1, 2) and found["weights"].shape == (6,)

  call(work).check()


def test_a_handful_through_their_binaries(whole, tmp_path):
  """As users call them, with streams that are closed or full."""
  run = tmp_path / "run"
  shutil.copytree(whole, run)
  without_sums(run)
  (run / "evaluation.json").write_text("{")
  command = [sys.executable, "-m", "fedsafe_tff.commands.report", str(run)]
  done = subprocess.run(command, capture_output=True, text=True)
  assert done.returncode == 1 and done.stderr.count("\n") == 1
  assert "evaluation.json: damaged, and left out of the report" in done.stderr
  for close in (">&-", "2>&-", "<&- >&- 2>&-"):
    shell = f"{sys.executable} -m fedsafe_tff.commands.report {whole} {close}"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), close
  limit = f"ulimit -v 2000000; exec {sys.executable} -m fedsafe_tff.commands.train"
  done = subprocess.run(["sh", "-c", limit], capture_output=True, text=True)
  assert done.returncode == 2 and "out of memory" in done.stderr and done.stderr.count("\n") == 1


