"""The demo: three defences, one page; what is refused; it goes on where it was stopped."""

import re

import pytest

from fedsafe_tff.commands import compare, demo
from fedsafe_tff.errors import UserError
from tests.runs import tiny

pytestmark = pytest.mark.usefixtures("built_once")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("demo")
  words = tiny.arguments(path, attack_eps="0.05", rounds=1, runtime="device", noise_seed=1)
  assert demo.demo(words) == 0
  return path / "run"


@pytest.mark.slow
def test_three_runs_and_a_page(folder):
  found = [tiny.read_json(folder / name / "config.json")["defense"] for name, *_ in demo.RUNS]
  assert found == ["none", "distributed_noise", "combined"]
  page = (folder / "demo.html").read_text()
  for name, title, *_ in demo.RUNS:
    assert title in page and f'href="{name}/report.html"' in page
  rows = re.findall(r"<tr>((?:(?!</tr>).)*<td>(?:(?!</tr>).)*)</tr>", page, re.DOTALL)
  cells = [re.findall(r"<td>(.*?)</td>", row) for row in rows]
  assert [row[0] for row in cells[3:]] == [*demo.ATTACKERS, "all of them"]
  for row in cells[3:]:  # of an undefended run nobody draws or pools copies
    assert (row[1] == "-") == (row[0] not in ("own_copy", "all of them")) and "-" not in row[2:]


@pytest.mark.slow
def test_it_goes_on_and_trains_nothing_twice(folder, capsys):
  words = tiny.arguments(folder.parent, attack_eps="0.05", rounds=1, runtime="device", noise_seed=1)
  assert demo.demo(words) == 0
  assert capsys.readouterr().out.count("this run is complete") == 3


@pytest.mark.slow
def test_a_page_of_any_runs(folder, tmp_path, capsys):
  runs = [str(folder / name) for name in ("undefended", "combined")]
  compare.compare([*runs, f"--html={tmp_path / 'page.html'}"])
  assert "| run |" in capsys.readouterr().out
  assert "phantom, combined" in (tmp_path / "page.html").read_text()


def test_what_is_refused():
  with pytest.raises(UserError, match="compares three"):
    demo.demo(["--defense=none"])
  with pytest.raises(UserError, match="--rounds"):
    demo.demo(["--rounds=0"])
