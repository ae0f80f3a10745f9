"""Every benchmark at its smallest: it runs, its sides agree, its table has its columns."""

import sys

import pytest

from benchmarks import measure
from benchmarks.attacks import attacks
from benchmarks.dp_sgd import dp_sgd
from benchmarks.fedavg_round import fedavg_round
from benchmarks.gpu import gpu
from benchmarks.local_training import local_training
from benchmarks.peers import compare
from benchmarks.pgd import pgd
from benchmarks.scale import scale
from benchmarks.stock_tff import stock_tff
from benchmarks.transfer import transfer

# Answers every round with the initial weights, moved.
PROGRAM = """
import sys
from benchmarks.peers.serve import Server, Task
task = Task.read(sys.argv[-1])
server = Server(task)
for _ in server.requests():
  server.answer(0.5, [w + 1 for w in task.start()])
"""


@pytest.fixture
def page(tmp_path, monkeypatch):
  """Runs a benchmark on a tiny network; returns its page."""
  monkeypatch.setattr(measure, "matrix_rate", lambda *arguments, **keywords: 1e11)

  def run(benchmark, *flags: str) -> str:
    out = tmp_path / "docs" / "page.md"
    arguments = [
      *("--synthetic", "--repeats=1", "--image_size=8", "--batch_size=4"),
      *("--conv_widths=2,2,2,2,2,2", "--dense_widths=4,4,4,4"),
      *(f"--cache_dir={tmp_path}", f"--out={out}", *flags),
    ]
    assert benchmark(arguments) == 0
    text = out.read_text()
    assert "- commit: " in text and str(tmp_path) not in text
    return text

  return run


def _table(text: str, first: str) -> dict[str, list[str]]:
  """The rows of the table whose first heading is `first`, by their first cell, and its headings."""
  lines = text.splitlines()
  begin = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |"))
  rows = {}
  for line in lines[begin:]:
    if not line.startswith("|"):
      break
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    rows[cells[0]] = cells[1:]
  return rows


@pytest.mark.slow
def test_fedavg_round(page):
  rows = _table(
    page(
      fedavg_round,
      *("--clients=2", "--images_per_client=6", "--cpu_devices=1", "--dtypes=float32"),
      "--ways",
    ),
    "contender",
  )
  assert rows["contender"] == [
    "seconds a round", "over bare loop, float32",
    "over bare loop with its gradient apart, float32", "share of matrix rate", "apart",
  ]  # fmt: skip
  assert {"bare loop, float32", "bare loop in XLA, float32", "native, float32"} < rows.keys()
  assert any(name.startswith("device, ") for name in rows)
  assert any("devices of 1 thread" in name for name in rows)


@pytest.mark.slow
def test_stock_tff(page):
  text = page(
    stock_tff,
    *("--clients=2", "--images_per_client=6", "--runtimes=native", "--dtypes=bfloat16"),
  )
  rows = _table(text, "contender")
  assert rows["contender"][1] == "over stock TFF, float32"
  assert rows.keys() > {"stock TFF, float32", "ours, native, bfloat16"}


def test_peers(page, tmp_path, monkeypatch):
  file = tmp_path / "program.py"
  file.write_text(PROGRAM)
  names = ("ours, native, float32", "pfl-research, float32")
  commands = {name: [sys.executable, str(file)] for name in names}
  monkeypatch.setattr(compare, "_commands", lambda values: (commands, ["flower is missing"]))
  flags = ("--clients=2", "--images_per_client=6", "--runtimes=native", "--dtypes=float32")
  text = page(compare.peers, *flags)
  rows = _table(text, "contender")
  assert rows["contender"][1] == "over ours, native, float32" and rows.keys() > set(names)
  assert "flower is missing" in text


def test_peers_that_are_not_installed_are_named(tmp_path):
  class Values:
    environments, peers, flower_cpus = str(tmp_path), ("flower", "pfl"), (1,)
    dtypes, runtimes, cpu_devices = ("float32",), ("native",), 1

  commands, notes = compare._commands(Values)
  assert list(commands) == ["ours, native, float32"]
  assert len(notes) == 2 and "make_environments.sh" in notes[0]
  for peer in Values.peers:
    python = tmp_path / peer / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("")
  commands, notes = compare._commands(Values)
  assert len(commands) == 4 and not notes


def test_pgd(page):
  rows = _table(page(pgd, "--images=4", "--attack_batches=4"), "contender")
  assert rows["contender"][:3] == ["batch", "images/s", "time over the floor of its dtype"]
  assert len(rows) == 1 + 1 + 7  # headings, the line below, floors, ours and three libraries


def test_transfer(page):
  rows = _table(page(transfer, "--images=4", "--copies=2", "--pairs=3"), "contender")
  assert rows["contender"][:3] == ["seconds", "over the floor", "over ours"]
  assert {"ours, N = 2", "pair by pair, N = 2", "floor, N = 2"} < rows.keys()


@pytest.mark.slow
def test_scale(page):
  text = page(
    scale,
    *("--clients=2", "--images_per_client=4", "--slope_rounds=6", "--slope_clients=2"),
  )
  rows = _table(text, "clients")
  assert rows["clients"][-2:] == ["MiB before", "MiB peak"]
  assert float(rows["2"][-1]) >= float(rows["2"][-2]) > 0
  assert "| KiB a round | standard error |" in text


@pytest.mark.slow
def test_gpu_on_cpu_devices(page):
  text = page(
    gpu,
    *("--clients=2", "--images_per_client=6", "--dtypes=float32", "--without_gpu"),
  )
  assert "over bare loop, float32" in text and "**No GPU**" in text


@pytest.mark.slow
def test_local_training(page):
  rows = _table(page(local_training, "--batch_size=4"), "gradient")
  assert rows.pop("gradient") == ["ms", "ratio", "of least"]
  rows.pop("---")
  assert list(rows) == [
    "plain", "PGD-1", "PGD-2", "PGD-7", "TRADES, PGD-2", "TRADES, PGD-2, AWP",
  ]
  assert rows["plain"][1] == "1.00 (1.00-1.00)" and float(rows["PGD-7"][2]) > 2


@pytest.mark.slow
def test_dp_sgd(page):
  rows = _table(page(dp_sgd, "--attack_steps=1", "--others=vectorized_map"), "gradient")
  assert rows.pop("gradient") == ["ms", "ratio", "of least"]
  rows.pop("---")
  assert list(rows) == [
    "plain", "private", "adversarial, 1 steps", "private, adversarial, 1 steps", "vectorized_map",
  ]
  assert rows["plain"][1] == "1.00 (1.00-1.00)" == rows["adversarial, 1 steps"][1]


@pytest.mark.slow
def test_attacks(page):
  rows = _table(page(attacks, "--images=4", "--steps=2"), "attack")
  assert len(rows) == 1 + 1 + 8  # headings, their line
  drawn = rows["mi_fgsm, 10 draws a step"]
  assert drawn[0] == "20" and drawn[-1] != "-" and rows["pgd"][-1] == "-"
  assert float(drawn[2].split()[0]) > 0
