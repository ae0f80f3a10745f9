"""A user's own defence: the one of docs/robustness.md, trained, attacked, compared, in a table."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from fedsafe_tff import keys
from fedsafe_tff.commands import attack, compare, table1, train
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation import suites
from fedsafe_tff.evaluation.chosen import chosen
from fedsafe_tff.evaluation.suites import Trial
from fedsafe_tff.runs import attackers, defenses, run_dir
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.load import load_run
from fedsafe_tff.training import own
from tests.commands import tables
from tests.runs import tiny
from tests.source_tree import ROOT

_PAGE = (ROOT / "docs" / "robustness.md").read_text(encoding="utf-8")
[_SOURCE] = re.findall(r"File `thinned.py`:\n\n```python\n(.*?)```", _PAGE, re.DOTALL)
# Copies alone, which an attacker would imitate in another way.
_SHIFTED = """
from __future__ import annotations

import dataclasses

from fedsafe_tff.training import Defense, Noise


@dataclasses.dataclass(frozen=True)
class Shifted:
  by: float = 0.5

  def __call__(self, weights, key):
    return tuple(w + self.by for w in Noise(0.1)(weights, key))


def imitation(model, client_data):
  images, labels = client_data(1)
  assert images.shape[1:] == model.input_shape and len(images) == len(labels) > 0
  return lambda client, weights, key: tuple(w + float(client) for w in weights)


def shifted():
  return Defense(copies=Shifted, imitation=imitation)


def wrong():
  return Shifted()
"""
_ATTACKED = {"attack_eps": 0.1, "attack_images": 6}
_MI = {"name": "mi_fgsm", "steps": 2}
_IMITATED = suites.Suite(
  "strong", (Trial("mi2", _MI, step=1 / 8), Trial("mi2", _MI, "imitation", 1 / 8))
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """The folder with the two files, and with a run of the page's defence."""
  folder = tmp_path_factory.mktemp("own")
  (folder / "thinned.py").write_text(_SOURCE)
  (folder / "shifted.py").write_text(_SHIFTED)
  assert train.train(words(folder)) == 0
  return folder


def words(folder, **changes):
  defense = f"{folder / 'thinned.py'}:thinned"
  changes = {"noise_seed": 3, "attacks": "fgsm", "defense": defense} | _ATTACKED | changes
  idle = ("--adaptation_epochs", "--attack_steps")
  return [w for w in tiny.arguments(folder, **changes) if not w.startswith(idle)]


@pytest.fixture
def imitated(monkeypatch):
  monkeypatch.setitem(suites.SUITES, "strong", _IMITATED)
  monkeypatch.setattr(attackers.Attackers, "masking", lambda *args: {"passed": None})


def test_the_pages_defence_trains_and_every_client_gets_its_own_copy(made):
  assert len(_SOURCE.splitlines()) <= 30
  models = tiny.models(made / "run")
  kernels = [models[f"client_{c:05d}/02"] for c in range(3)]
  whole = models["global/02"]
  for kernel in kernels:
    assert 0 < (kernel == 0).mean() < 0.3
    np.testing.assert_array_equal(kernel[kernel != 0], whole[kernel != 0])
  assert not np.array_equal(kernels[0], kernels[1])
  manifest = tiny.read_json(made / "run" / "manifest.json")
  assert manifest["defense_hash"] == own.fingerprint(f"{made / 'thinned.py'}:thinned")
  assert manifest["noise"]["downlink_sigma"] == 0 and "noised" not in str(manifest["privacy"])


def test_an_attacker_imitates_its_copies_from_his_own(made, imitated):
  assert attack.attack([str(made / "run"), "--attack_eps=0.1"]) == 0
  found = tiny.read_json(made / "run" / "attacks" / "strong" / "evaluation.json")
  assert [row["attacker"] for row in found["results"]] == ["own_copy", "imitation", "worst"]
  assert found["left_out"] == {}


def test_he_may_have_the_images_of_all_and_make_more_copies(made, imitated, tmp_path):
  words = [str(made / "run"), "--attack_eps=0.1", "--attack_images=6", "--attack=mi_fgsm:steps=2"]
  names = ("imitation:2", "imitation_all_images:1", "colluding_imitation:2")
  assert attack.attack([*words, f"--attackers={','.join(names)}"]) == 0
  (file,) = (made / "run" / "attacks").glob("chosen-*/evaluation.json")
  rows = tiny.read_json(file)["results"]
  assert [row["attacker"] for row in rows] == [*names, "worst"]
  loaded = load_run(made / "run")
  who = attackers.Attackers(loaded.config, loaded.prepared, loaded.weights, loaded.copies)
  held = {}
  for attempt in who.attempts(chosen([*names, "imitation"], []), (0.1,))[0]:
    (holding,) = attempt.who.holdings(0, loaded.copies, keys.root(0))
    held[attempt.attacker] = (len(holding.models), attempt.models)
  # His own copy or those of two, and what is made of them; and as many for the time left.
  assert held == {
    "imitation": (5, 5), "imitation:2": (3, 3), "imitation_all_images:1": (2, 2),
    "colluding_imitation:2": (6, 6),
  }  # fmt: skip
  source = _SHIFTED.replace("w + float(client)", "w * 0 + len(client_data(client)[1])")
  (tmp_path / "counted.py").write_text(source)
  config = dataclasses.replace(loaded.config, defense=f"{tmp_path / 'counted.py'}:shifted")
  counts = [len(loaded.client_images(client)[1]) for client in range(config.num_clients)]
  for everybodys, expected in ((False, counts), (True, [sum(counts)] * len(counts))):
    make = defenses.imitation(config, loaded.prepared, 0.0, everybodys=everybodys)
    made_of = [float(make(client, (1.0,), None)[0]) for client in range(len(counts))]
    assert made_of == expected
  everybody = attackers.Attackers(config, loaded.prepared, loaded.weights, loaded.copies)
  for name, expected in (("imitation:1", counts[0]), ("imitation_all_images:1", sum(counts))):
    (attempt,), _ = everybody.attempts(chosen([name], []), (0.1,))
    (holding,) = attempt.who.holdings(0, [(1.0,), (2.0,), (3.0,)], keys.root(0))
    assert float(holding.models[1][0]) == expected


def test_its_line_in_a_comparison_needs_no_file(made, tmp_path, capsys):
  shutil.copytree(made / "run", tmp_path / "one")
  config = tiny.read_json(tmp_path / "one" / "config.json")
  assert config["defense"].endswith("thinned.py:thinned")
  gone = config | {"defense": config["defense"].replace(str(made), "/gone")}
  run_dir.write_json(tmp_path / "one" / "config.json", gone)
  compare.compare([str(tmp_path / "one"), str(made / "run")])
  out = capsys.readouterr().out
  assert all(f"thinned.py:thinned ({name}) |" in out for name in ("one", "run"))


def test_a_changed_file_is_another_defence(made, tmp_path):
  shutil.copytree(made, tmp_path / "copy")
  folder = tmp_path / "copy"
  for file in (folder / "run" / "config.json", folder / "run" / "manifest.json"):
    run_dir.write_json(file, json.loads(file.read_text().replace(str(made), str(folder))))
  assert train.train(words(folder)) == 0  # as it was: complete
  file = folder / "thinned.py"
  file.write_text(_SOURCE.replace("rate: float = 0.1", "rate: float = 0.2"))
  with pytest.raises(UserError, match="made of another source of --defense"):
    train.train(words(folder))


@pytest.mark.slow
def test_tables_have_its_row_from_a_shared_training(made, tmp_path, imitated):
  name = f"{made / 'shifted.py'}:shifted"
  changes = {"methods": f"none,{name}", "evaluation": "strong"} | _ATTACKED
  assert table1.table1(tables.words(tmp_path, "table", **changes)) == 0
  assert len(tables.trainings(tmp_path)) == 1  # its part comes after the rounds
  numbers = tables.rows(tmp_path / "table" / "numbers.csv")
  assert [(row["method"], row["attacker"]) for row in numbers] == [
    ("none", "own_copy"),
    *(("shifted.py:shifted", name) for name in ("own_copy", "imitation", "worst")),
  ]
  page = (tmp_path / "table" / "README.md").read_text()
  assert str(made) not in page and "left out: imitation (all clients hold one model)" in page
  evaluation = tiny.read_json(tmp_path / "sweep" / numbers[-1]["evaluation"])
  training = tiny.read_json(tmp_path / "sweep" / numbers[-1]["training"] / "manifest.json")
  assert evaluation["defense_hash"] == own.fingerprint(name) and not training["defense_hash"]
  assert evaluation["identity"] != training["identity"]


def test_parts_of_it_alone_and_joined(made):
  thinned, shifted = f"{made / 'thinned.py'}:thinned", f"{made / 'shifted.py'}:shifted"
  config = Config(defense=f"adaptation+{thinned}")
  assert config.adapts and config.trains_robustly and config.noisy_downlink
  assert own.slots_of(config.defense) == {
    "gradient": f"{thinned}@gradient", "copies": f"{thinned}@copies"
  }
  only = Config(defense=f"{thinned}@gradient")
  assert only.trains_robustly and not only.noisy_downlink
  assert Config(defense=f"local+{shifted}").parts.imitation is not None
  with pytest.raises(UserError, match="two parts of the defence.*for copies: give one"):
    Config(defense=f"noise+{shifted}")
  with pytest.raises(UserError, match="two parts of the defence.*for local training"):
    Config(defense=f"local+{thinned}")


@pytest.mark.parametrize(
  "name, message",
  [
    ("none.py:thinned", "none.py:thinned can't be loaded.*PATH/file.py:function.*takes nothing"),
    ("FOLDER/thinned.py:other", "can't be loaded.*'other'"),
    ("FOLDER/shifted.py:imitation", "can't be loaded.*missing a required argument"),
    ("FOLDER/shifted.py:wrong", "returns Shifted: return a fedsafe_tff.training"),
    ("FOLDER/shifted.py:shifted@noise", "a defence has gradient, adaptation, copies, and no"),
  ],
)
def test_what_is_no_defence_is_one_clear_line(made, name, message):
  with pytest.raises(UserError, match=message) as caught:
    Config(defense=name.replace("FOLDER", str(made)))
  assert "\n" not in str(caught.value)
