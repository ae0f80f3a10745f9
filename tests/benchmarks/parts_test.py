"""The parts of which benchmarks are made: counts, pages, memory, programs, flags."""

import os
import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import flops, keras_cnn, memory, options, program
from benchmarks.page import Page
from fedsafe_tff import keys
from fedsafe_tff.errors import UserError
from fedsafe_tff.models.cnn import build_cnn

SHAPE, CONV, DENSE = (24, 16, 1), (2, 3, 4, 5, 6, 7), (8, 7, 6, 5)


def test_flops_are_those_of_the_graph():
  model = build_cnn(input_shape=SHAPE, num_classes=3, conv_widths=CONV, dense_widths=DENSE)
  weights = model.weight_specs()
  graph = tf.function(model.apply).get_concrete_function(
    weights, tf.TensorSpec([1, *SHAPE], tf.float32)
  ).graph
  found = []
  for op in graph.get_operations():
    if op.type in ("Conv2D", "MatMul"):
      kernel = op.inputs[1].shape
      found.append(2 * np.prod(op.outputs[0].shape) * np.prod(kernel[:-1]))
  assert len(found) == 11
  counted = flops.of_cnn(SHAPE, CONV, DENSE, 3)
  assert counted.forward == sum(found) and counted.first == found[0]


def test_the_keras_twin_is_the_same_network():
  mean, stddev = (0.4,), (0.2,)
  model = build_cnn(
    input_shape=SHAPE, num_classes=3, conv_widths=CONV, dense_widths=DENSE, mean=mean, stddev=stddev
  )
  weights = model.init(keys.root(1))
  twin = keras_cnn.build(SHAPE, 3, CONV, DENSE, mean, stddev)
  twin.set_weights([w.numpy() for w in weights])
  x = tf.random.stateless_uniform([4, *SHAPE], [3, 4])
  np.testing.assert_allclose(twin(x), model.apply(weights, x), rtol=1e-4, atol=1e-6)


def test_a_page_names_no_folders():
  page = Page("pgd", "What.", ["--data_dir=/secret", "--out", "/secret", "--repeats=3"])
  page.machine(rate=3)
  page.table(["a", "b"], [["x", 1]])
  text = page.text()
  assert "secret" not in text and "--data_dir=... --out ... --repeats=3" in text
  assert "| a | b |\n| --- | ---: |\n| x | 1 |" in text and "- rate: 3" in text
  assert "machine: " in text and "commit: " in text


def test_slope_of_a_line_and_its_error():
  rise, error = memory.slope([5 + 2.0 * i for i in range(40)])
  assert rise == pytest.approx(2.0) and error == pytest.approx(0.0, abs=1e-9)
  assert np.isnan(memory.slope([1.0, 2.0, 3.0])[1])


def test_peak_sees_what_is_freed_again():
  pids = [os.getpid()]
  before = memory.resident(pids)
  with memory.Peak(pids) as peak:
    block = np.ones(2**24)  # 128 MiB
    del block
  assert peak.mib > before + 64


@pytest.mark.parametrize("arguments", [[], ["--synthetic", "--repeats=0"], ["--synthetic", "--x"]])
def test_wrong_flags_are_the_users_error(arguments):
  with pytest.raises(UserError, match="--help"):
    options.parser("pgd", "").parse_args(arguments)


# Answers every round with the initial weights times two.
PROGRAM = """
import sys
from benchmarks.peers.serve import Server, Task
task = Task.read(sys.argv[-1])
if "--fail" in sys.argv:
  sys.exit("no such thing")
server = Server(task)
print("noise, on standard error")
for _ in server.requests():
  server.answer(0.5, [2 * w for w in task.start()])
"""


def write_program(folder: pathlib.Path) -> list[str]:
  """A command that needs no TensorFlow."""
  file = folder / "program.py"
  file.write_text(PROGRAM)
  return [sys.executable, str(file)]


def _task(folder: pathlib.Path) -> pathlib.Path:
  folder.mkdir()
  (folder / "task.json").write_text("{}")
  np.savez(folder / "start.npz", weight_000=np.ones(3))
  return folder


def test_a_program_runs_rounds(tmp_path):
  with program.Program(write_program(tmp_path), _task(tmp_path / "task")) as running:
    assert [running(), running()] == [0.5, 0.5]
    np.testing.assert_array_equal(running.weights[0], [2, 2, 2])


def test_a_program_that_fails_says_why(tmp_path):
  command = [*write_program(tmp_path), "--fail"]
  with pytest.raises(UserError, match="exit code 1: no such thing"):
    program.Program(command, _task(tmp_path / "task")).__enter__()
