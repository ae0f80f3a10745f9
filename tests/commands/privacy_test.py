"""The answer without training."""

import pytest

from fedsafe_tff.commands.privacy import privacy
from fedsafe_tff.errors import UserError


def answer(capsys, *flags):
  assert privacy(list(flags)) == 0
  out = capsys.readouterr().out
  table = {}
  for line in out.splitlines():
    cells = [cell.strip() for cell in line.split("  ") if cell.strip()]
    if len(cells) == 7:
      table[cells[0]] = cells[1:]
  return out, table


def test_the_numbers_that_must_come_out(capsys):
  # 13 batches an epoch, as a run takes them: 250 steps.
  small = ("--client_images=400", "--rounds=1", "--local_epochs=19.23")
  _, table = answer(capsys, "--target_epsilon=1", *small)
  assert table["one Gaussian at sensitivity 1, classical"][0] == "4.845"
  assert table["one Gaussian at sensitivity 1, analytic"][0] == "3.731"
  _, table = answer(capsys, "--target_epsilon=50", *small)
  sigma, _, nominal, _, epsilon, by = table["one Gaussian at sensitivity 1, classical"]
  assert (sigma, nominal, epsilon, by) == ("0.0969", "50", "96.43", "exact")
  _, table = answer(capsys, "--noise_multiplier=1", *small)
  row = table["dp_sgd: 250 steps at rate 0.08, record"]
  assert row[3:] == ["9.719", "8.789", "PLD"]


@pytest.mark.slow
def test_every_reading_stands_beside_the_others(capsys, tmp_path):
  plot = tmp_path / "new" / "privacy.png"
  out, table = answer(
    capsys, "--target_epsilon=4", "--client_images=300,200", "--rounds=3", "--batch_size=50",
    f"--plot={plot}",
  )
  assert plot.read_bytes().startswith(b"\x89PNG")
  assert float(table["paper: uploads, 3 rounds"][4]) > 1000
  assert table["paper: uploads, 3 rounds"][2] == "4"
  for name in ("output: uploads, 3 rounds", "central: 3 rounds", "tree: 3 rounds"):
    assert float(table[name][4]) <= 4.0
  names = " ".join(table)
  for reading in ("shuffled: 4 epochs", "replace-one", "a patient with 2 images"):
    assert reading in names
  assert table["distributed: 3 rounds"][4] == "unbounded" and "not cryptography" in out


def test_what_cannot_be_had_is_told_and_the_rest_is_answered(capsys):
  out, table = answer(
    capsys, "--noise_multiplier=1", f"--client_images={','.join(['20'] * 15)}", "--batch_size=50",
    "--delta=0.1", "--rounds=2",
  )
  assert "dp_sgd can't be had" in out and "batches of 50 from a client with 20" in out
  assert "larger than 1/n" in out and "output: uploads, 2 rounds" in table


@pytest.mark.parametrize(
  "flag,words",
  [
    ("--target_epsilon=0", "target epsilon"),
    ("--delta=2", "delta"),
    ("--client_images=a", "comma-separated"),
    ("--local_epochs=0", "above 0"),
    ("--epsilon=3", "epsilon"),
    ("rounds", "is no flag"),
  ],
)
def test_one_clear_line(flag, words):
  with pytest.raises(UserError, match=words):
    privacy([flag])


def test_target_and_noise_together_are_refused():
  with pytest.raises(UserError, match="either"):
    privacy(["--target_epsilon=1", "--noise_multiplier=1"])


def test_help_lists_the_flags(capsys):
  assert privacy(["--help"]) == 0
  assert "--[no]adaptive_clip" in capsys.readouterr().out


def test_dp_sgd_takes_the_steps_that_a_run_takes(capsys):
  from fedsafe_tff.runs.config import Config
  from fedsafe_tff.runs.private import poisson_steps

  sizes, config = (141, 264, 387), Config(batch_size=32, local_epochs=2)
  steps = 24 * poisson_steps(config, sizes)
  _, table = answer(
    capsys, "--noise_multiplier=2", "--client_images=141,264,387", "--rounds=24",
    "--batch_size=32", "--local_epochs=2",
  )  # fmt: skip
  assert steps == 432 and any(name.startswith(f"dp_sgd: {steps} steps") for name in table)
