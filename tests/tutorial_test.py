"""The tutorial: its cells run in order; its stored outputs fit its text, and the file is small."""

import re

import numpy as np
import pytest

import fedsafe_tff
from tests import notebook
from tests.source_tree import ROOT

_PATH = ROOT / "docs" / "tutorial.ipynb"
_SMALL = {"ROUNDS": 2, "ROBUST_ROUNDS": 1, "SIZES": (0.03,)}


@pytest.mark.slow
def test_its_cells_run_in_order(runtime):
  del runtime  # TFF's default again afterwards
  first, *cells = ["".join(cell["source"]) for cell in notebook.code_cells(_PATH)]
  given = {"__name__": "__main__"}
  try:
    notebook.run_cell(first, given)
    assert _SMALL.keys() <= given.keys()
    given |= _SMALL
    pictures = [output for cell in cells for output in notebook.run_cell(cell, given)]
  finally:
    fedsafe_tff.runtime.stop()
  # FedAvg to the last bit, as long as nothing is asked of Fed-Safe.
  assert given["difference"] == 0.0
  assert sum("image/png" in output.get("data", {}) for output in pictures) == 2
  assert abs(given["spread"] / given["SIGMA"] - 1) < 0.2
  assert len(given["results"]) == 6
  for result in given["results"].values():
    told = result.summary()
    assert result.flip.shape == (3, 3) and np.isfinite(result.flip).all()
    assert 0.3 < told["clean_accuracy"] <= 1 and 0 <= told["random_noise_flip_rate"] < 0.5
  for title in ("FedAvg", "adapted", "robust"):  # one model for all
    assert np.ptp(given["results"][title, 0.03].flip) == 0


def test_its_stored_outputs_are_whole_and_name_no_machine():
  cells = notebook.code_cells(_PATH)
  assert _PATH.stat().st_size < 300_000
  assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
  text = "".join(line for cell in cells for out in cell["outputs"] for line in out.get("text", ()))
  assert not re.search(r"/\w+/\w+/|Traceback|Error", text)
  assert "largest difference to FedAvg's weights: 0.0\n" in text
  rates = {
    (name, eps): [float(number) for number in numbers]
    for name, eps, *numbers in re.findall(
      r"^(.+?) +eps ([\d.]+): clean accuracy ([\d.]+), self ([\d.]+), avg ([\d.]+)", text, re.M
    )
  }
  assert len(rates) == 12 and min(clean for clean, _, _ in rates.values()) > 0.7
  # What the text says of them.
  assert rates["adapted", "0.01"][1] < rates["FedAvg", "0.01"][1]
  assert rates["adapted, noised copies", "0.01"][2] <= rates["adapted", "0.01"][2]
  for eps in ("0.01", "0.03"):
    assert rates["robust, noised copies, knowing", eps][1] < 0.6 * rates["FedAvg", eps][1]
  assert sum("image/png" in out.get("data", {}) for cell in cells for out in cell["outputs"]) == 2
