"""A run in which one hospital's upload is not finite, by a trap that users' models fall into."""

import numpy as np
import pytest

from fedsafe_tff.commands import train
from fedsafe_tff.errors import UserError
from tests.runs import tiny

pytestmark = pytest.mark.usefixtures("without_pictures")

# The gradient of a standard deviation is 0 / 0 where a map is constant, as that of a black image.
_MODEL = """
import tensorflow as tf

class Spread(tf.keras.layers.Layer):
  def call(self, maps):
    return tf.math.reduce_std(maps, axis=[1, 2])

def net(input_shape, num_classes):
  return tf.keras.Sequential([
    tf.keras.layers.Conv2D(4, 3, use_bias=False, input_shape=input_shape), Spread(),
    tf.keras.layers.Dense(num_classes),
  ])
"""


@pytest.fixture(scope="module")
def words(tmp_path_factory):
  """A command line without --run_dir and --not_finite; site "west", client 2, has black images."""
  folder = tmp_path_factory.mktemp("data")
  rng = np.random.default_rng(0)
  count = 48
  images = rng.integers(0, 255, (count, 16, 16, 1)).astype(np.uint8)
  sites = np.array(["north", "south", "west"])[np.arange(count) % 3]
  images[[2, 5, 8]] = 0  # not all of them go to the server
  np.savez(
    folder / "data.npz", images=images, labels=np.arange(count) // 3 % 2, sites=sites,
    published_test=np.arange(count) >= 36, published_validation=np.arange(count) // 6 == 5,
    groups=np.arange(count),
  )  # fmt: skip
  (folder / "model.py").write_text(_MODEL)
  given = tiny.arguments(
    folder, dataset="npz", data_dir=folder / "data.npz", split="published", partition="site",
    model=f"{folder / 'model.py'}:net", defense="none", min_client_images=2, attacks="fgsm",
    attack_eps=0.05,
  )  # fmt: skip
  unused = ("--num_images", "--attack_steps", "--adaptation_epochs", "--run_dir")
  return [word for word in given if not word.startswith(unused)]


def test_it_is_left_out_named_and_counted(words, tmp_path, capsys):
  run = tmp_path / "run"
  assert train.train([*words, f"--run_dir={run}", "--not_finite=leave_out"]) == 0
  said = capsys.readouterr()
  note = "left out, their upload is not finite: client 2"
  assert (said.out + said.err).count(note) == 2
  assert [row["left_out"] for row in tiny.rows(run / "metrics.csv")] == ["1", "1"]
  clients = tiny.rows(run / "clients.csv")
  for row in tiny.rows(run / "metrics.csv"):  # of those that are left
    there = [c for c in clients if c["round"] == row["round"] and c["client"] != "2"]
    share = np.array([float(c["num_examples"]) for c in there])
    for name in ("loss", "accuracy"):
      values = np.array([float(c[name]) for c in there])
      mean = (share * values).sum() / share.sum()
      assert float(row[f"train_{name}"]) == pytest.approx(mean, abs=1e-6)
  lost = [row["client"] for row in clients if not row["norm"]]
  assert lost == ["2", "2"]
  page = (run / "report.html").read_text()
  assert "left out: in 2 of 2 rounds the mean lacks clients whose upload was not finite" in page
  assert "by number of rounds: client 2 (2)" in page


def test_it_stops_the_run_otherwise_and_no_checkpoint_is_promised(words, tmp_path):
  with pytest.raises(UserError, match="round 1: the (loss|norm) of client 2 is nan") as stopped:
    train.train([*words, f"--run_dir={tmp_path / 'run'}"])
  assert "checkpoint" not in str(stopped.value)
