import os

import pytest

from fedsafe_tff.data import sums
from fedsafe_tff.data.files import atomic_path


def write(path, data: bytes):
  with atomic_path(path, summed=True) as temporary:
    temporary.write_bytes(data)


@pytest.fixture
def file(tmp_path):
  write(tmp_path / "a file, ü\n%.json", b"0123456789" * 50)
  return tmp_path / "a file, ü\n%.json"


def test_every_flipped_bit_and_every_truncation_is_noticed(file):
  whole = sums.read(file)
  for bit in range(8 * len(whole)):
    changed = bytearray(whole)
    changed[bit // 8] ^= 1 << bit % 8
    file.write_bytes(changed)
    with pytest.raises(sums.Damaged, match="is damaged"):
      sums.read(file)
  for size in range(len(whole)):
    file.write_bytes(whole[:size])
    with pytest.raises(sums.Damaged):
      sums.check(file)
    assert sums.damaged(file.parent) == [file.name]
  file.unlink()
  assert sums.damaged(file.parent) == [file.name]
  file.write_bytes(whole)
  assert sums.read(file) == whole and sums.damaged(file.parent) == []


def test_a_file_without_a_checksum_is_taken_as_it_is(tmp_path):
  (tmp_path / "old.json").write_bytes(b"{}")
  write(tmp_path / "new.json", b"[]")
  assert sums.read(tmp_path / "old.json") == b"{}" and not sums.known(tmp_path / "old.json")
  assert sums.damaged(tmp_path) == []


def test_who_is_killed_between_line_and_file_leaves_the_file_of_before(file):
  for number in range(5):  # kills in a row
    sums.record(file, sums.Sum().then(b"never written %d" % number))
  assert sums.read(file) == b"0123456789" * 50
  write(file, b"later")
  assert sums.read(file) == b"later"


def test_a_damaged_or_torn_line_is_as_none(file):
  lines = file.parent / sums.NAME
  data = bytearray(lines.read_bytes())
  data[12] ^= 1
  lines.write_bytes(data[:-3])
  assert not sums.known(file) and sums.read(file) == b"0123456789" * 50
  write(file.with_name("b"), b"b")  # behind the torn line
  assert sums.known(file.with_name("b"))


def test_lines_stay_few(tmp_path, monkeypatch):
  monkeypatch.setattr(sums, "_MANY", 1000)
  write(tmp_path / "kept", b"kept")
  table, running = tmp_path / "table.csv", sums.Sum()
  for number in range(300):
    running = running.then(b"%d\n" % number)
    sums.record(table, running)
    with table.open("ab") as opened:
      opened.write(b"%d\n" % number)
  assert (tmp_path / sums.NAME).stat().st_size < 3000
  assert sorted(os.listdir(tmp_path)) == [sums.NAME, "kept", "table.csv"]
  assert sums.read(tmp_path / "kept") == b"kept"
  assert sums.read_table(table) == (table.read_bytes(), True)


def test_a_table_is_whole_up_to_the_row_that_was_cut_off(tmp_path):
  table = tmp_path / "t.csv"
  write(table, b"round\n")
  running = sums.of_file(table)
  for row in (b"1,first\n", b"2,second\n"):
    running = running.then(row)
    sums.record(table, running)
    table.write_bytes(table.read_bytes() + row)
  whole = table.read_bytes()
  sums.record(table, running.then(b"3,third\n"))
  assert sums.read_table(table) == (whole, True)
  table.write_bytes(whole + b"3,th")
  assert sums.read_table(table) == (whole, True)
  table.write_bytes(whole.replace(b"second", b"secomd"))
  assert sums.read_table(table) == (b"round\n1,first\n", False)
  table.write_bytes(whole.replace(b"first", b"forst"))
  assert sums.read_table(table) == (b"round\n", False)


def test_a_tree(tmp_path):
  folder = tmp_path / "state"
  (folder / "variables").mkdir(parents=True)
  (folder / "variables" / "data").write_bytes(b"weights")
  (folder / "graph.pb").write_bytes(b"graph")
  sums.record_tree(folder)
  sums.check_tree(folder)
  moved = folder.rename(tmp_path / "moved")
  sums.check_tree(moved)
  (moved / "variables" / "data").write_bytes(b"weighty")
  with pytest.raises(sums.Damaged, match="variables/data is damaged"):
    sums.check_tree(moved)
