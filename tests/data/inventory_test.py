import os
import shutil

from fedsafe_tff.data import inventory


def write(path, text):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)


def test_a_stamp_follows_links_to_folders(tmp_path):
  write(tmp_path / "real" / "x.txt", "x")
  write(tmp_path / "data" / "y.txt", "yy")
  (tmp_path / "data" / "link").symlink_to("../real")
  (tmp_path / "data" / "broken").symlink_to("nowhere")
  found = inventory.stamp(tmp_path / "data")
  assert [entry[:2] for entry in found] == [("broken", -1), ("link/x.txt", 1), ("y.txt", 2)]
  write(tmp_path / "real" / "z.txt", "")
  assert len(inventory.stamp(tmp_path / "data")) == 4


def test_a_link_to_a_folder_above_ends(tmp_path):
  write(tmp_path / "a" / "x.txt", "x")
  (tmp_path / "a" / "up").symlink_to(tmp_path)
  assert [entry[0] for entry in inventory.stamp(tmp_path)] == ["a/x.txt"]


def test_two_links_to_one_folder_are_both_stamped(tmp_path):
  write(tmp_path / "real" / "x.txt", "x")
  for name in ("a", "b"):
    (tmp_path / name).symlink_to("real")
  names = [entry[0] for entry in inventory.stamp(tmp_path)]
  assert names == ["a/x.txt", "b/x.txt", "real/x.txt"]


def test_another_file_in_place_is_noticed_though_its_size_and_time_are_those_of_the_first(tmp_path):
  file = tmp_path / "a" / "x.txt"
  write(file, "one")
  before = inventory.stamp(tmp_path)
  status = file.stat()
  while file.stat().st_ctime_ns == status.st_ctime_ns:  # the clock of the file system is coarse
    write(file, "two")
  os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
  after = inventory.stamp(tmp_path)
  assert after != before and [e[:3] for e in after] == [e[:3] for e in before]
  copy = tmp_path / "copy"
  shutil.copytree(tmp_path / "a", copy)
  shutil.rmtree(tmp_path / "a")
  copy.rename(tmp_path / "a")
  assert inventory.stamp(tmp_path) != after
