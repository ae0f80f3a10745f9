"""What is done otherwise for very many files gives what few files give."""

import json

import numpy as np
import PIL.Image
import pytest

from fedsafe_tff.data import (
  chunk,
  decoding,
  hash_links,
  image_files,
  image_folder,
  loading,
  mapped,
  remembered,
)
from fedsafe_tff.data.feature_shift import shift
from fedsafe_tff.data.formats.frame import Reading
from fedsafe_tff.data.image_set import ImageSet
from fedsafe_tff.data.mapped import sparing
from fedsafe_tff.data.near_duplicates import hash_image, near_groups
from fedsafe_tff.data.shard_writer import build_from_rows
from fedsafe_tff.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Pictures of 8 and of 12 bits, some of them near-duplicates, one of them no picture."""
  root = tmp_path_factory.mktemp("images")
  rng = np.random.default_rng(0)
  for name in ("a", "b"):
    (root / name).mkdir()
    for index in range(20):
      pixels = PIL.Image.fromarray(rng.integers(0, 255, (8, 8)).astype(np.uint8)).resize((40, 40))
      if index % 7 == 3:
        pixels = PIL.Image.fromarray(np.asarray(pixels).astype(np.uint16) * 16)
      pixels.save(root / name / f"{index:02d}.png")
  with PIL.Image.open(root / "a" / "00.png") as image:
    image.point(lambda v: min(255, v + 1)).save(root / "b" / "near.png")
  (root / "b" / "text.png").write_text("text")
  return root


def names_of(folder):
  return [(str(p), str(p.relative_to(folder))) for p in sorted(folder.rglob("*.png"))]


def decode(folder, scratch=None, **changes):
  settings = {"image_size": 12, "channels": None, "reading": Reading()} | changes
  return decoding.decode_files(names_of(folder), scratch=scratch, **settings)


def same(mine, theirs):
  np.testing.assert_array_equal(mine.pixels, theirs.pixels)
  for name, values in mine.rows.items():
    np.testing.assert_array_equal(values, theirs.rows[name])
  assert mine.left_out == theirs.left_out and mine.windows == theirs.windows


def test_chunks_on_disk_processes_and_memory_agree(folder, tmp_path, monkeypatch):
  few = decode(folder)
  assert len(few.pixels) == 41 and [n for n, *_ in few.left_out] == [41]
  assert few.rows["number"].tolist() == list(range(41))
  monkeypatch.setattr(decoding, "_SCRATCH_FROM", 1)
  monkeypatch.setattr(decoding, "_CHUNK", 4)
  many = decode(folder, tmp_path / "scratch")
  assert isinstance(many.pixels, np.memmap)
  same(many, few)
  monkeypatch.setattr(decoding, "_PROCESSES_FROM", 1)
  same(decode(folder, tmp_path / "other"), few)


def test_who_was_stopped_goes_on(folder, tmp_path, monkeypatch):
  monkeypatch.setattr(decoding, "_SCRATCH_FROM", 1)
  monkeypatch.setattr(decoding, "_CHUNK", 4)
  whole = decode(folder, tmp_path / "whole")
  seen = []
  real = chunk.decode

  def stop_after(files, **settings):
    seen.append(len(files))
    if len(seen) > 5:
      raise KeyboardInterrupt
    return real(files, **settings)

  monkeypatch.setattr(chunk, "decode", stop_after)
  with pytest.raises(KeyboardInterrupt):
    decode(folder, tmp_path / "scratch")
  done = len(list((tmp_path / "scratch").glob("*.npz")))
  assert 0 < done <= 5
  again = []
  monkeypatch.setattr(chunk, "decode", lambda files, **s: again.append(files) or real(files, **s))
  said = []
  same(decode(folder, tmp_path / "scratch", progress=said.append), whole)
  first_pass = [files for files in again if len(files) == 4 or files[0][0] == 40]
  assert len(first_pass) == 11 - done and f"{4 * done} of 42 files were read before" in said


def test_the_cache_takes_over_what_was_mapped(folder, tmp_path, monkeypatch):
  monkeypatch.setattr(decoding, "_SCRATCH_FROM", 1)
  spec = loading.DataSpec(
    "image_folder", data_dir=str(folder), image_size=12, skip_bad_images=True
  )
  first = loading.load(spec, cache_dir=str(tmp_path))
  again = loading.load(spec, cache_dir=str(tmp_path))
  assert isinstance(first.images, np.memmap) and isinstance(again.images, np.memmap)
  np.testing.assert_array_equal(first.images, again.images)
  assert first.content_hash() == again.content_hash()
  assert sorted(p.suffix for p in (tmp_path / "images").glob("[!.]*")) == [".npy", ".npz"]


def test_links_of_many_are_those_of_few(folder, monkeypatch):
  rng = np.random.default_rng(0)
  bits = rng.integers(0, 2, (300, 2, 256)).astype(bool)
  for i in range(0, 300, 3):  # from none to 14 bits off, in one hash or both
    other = (i + 1 + i % 7) % 300
    bits[other] = bits[i]
    bits[other, :, : i % 15] ^= True
  monkeypatch.setattr(hash_links, "_ROWS", 64)
  monkeypatch.setattr(hash_links, "_COLUMNS", 100)
  found = hash_links.linked_groups(bits)
  differ = (bits[:, None] != bits[None]).sum(-1)
  near = (differ <= 10).all(-1)
  for _ in range(9):
    near = near @ near
  np.testing.assert_array_equal(found[:, None] == found[None], near)
  images = [PIL.Image.open(path) for path, name in names_of(folder) if "text" not in name]
  prints = [hash_image(image.convert("L")) for image in images]
  hashes = np.stack([np.stack(p[:2]) for p in prints])
  np.testing.assert_array_equal(hash_links.linked_groups(hashes), near_groups(prints))


def test_many_images_are_grouped_by_links(folder, monkeypatch):
  options = image_files.Options(12, True)
  few = image_folder.load(str(folder), options=options)
  monkeypatch.setattr(hash_links, "MANY", 5)
  many = image_folder.load(str(folder), options=options)
  np.testing.assert_array_equal(few.groups, many.groups)
  assert few.groups[few.names.index("a/00.png")] == few.groups[few.names.index("b/near.png")]


def test_results_are_remembered_under_their_key(tmp_path):
  asked = []
  for key in ("a", "b", "a"):
    value = remembered.remember(
      str(tmp_path), "x", key, lambda key=key: asked.append(key) or {"key": key}
    )
    assert value == {"key": key}
  assert asked == ["a", "b"]
  for file in (tmp_path / "remembered").iterdir():
    file.write_text("{damaged")
  remembered.remember(str(tmp_path), "x", "a", lambda: asked.append("again"))
  assert asked == ["a", "b", "again"]


def test_shards_from_rows(folder, tmp_path):
  data = image_folder.load(str(folder), options=image_files.Options(12, True))
  parts = {"client_00000": np.array([3, 1, 2]), "client_00001": np.array([7, 9])}
  store = build_from_rows(str(tmp_path), "hash", data, parts)
  root = tmp_path / "shards" / store.directory.rsplit("/", 1)[-1]
  for name, rows in parts.items():
    assert (root / f"{name}.images").read_bytes() == data.images[rows].tobytes()
    assert (root / f"{name}.labels").read_bytes() == data.labels[rows].astype(np.uint8).tobytes()
  assert json.loads((root / "index.json").read_text())["sizes"] == {
    "client_00000": 3, "client_00001": 2,
  }  # fmt: skip
  stamp = (root / "client_00000.images").stat().st_mtime_ns
  assert build_from_rows(str(tmp_path), "hash", data, parts) == store
  assert (root / "client_00000.images").stat().st_mtime_ns == stamp

  def bright(images):
    return shift(images, "brightness", 0, 1, 0)

  shifted = build_from_rows(
    str(tmp_path), "hash", data, parts, changes={"client_00001": bright}, change_key="bright"
  )
  assert shifted.directory != store.directory
  raw = (tmp_path / "shards" / shifted.directory.rsplit("/", 1)[-1] / "client_00001.images")
  assert raw.read_bytes() == bright(data.images[parts["client_00001"]]).tobytes()
  assert build_from_rows(str(tmp_path), "other", data, parts).directory != store.directory
  data.labels[0] = 256
  with pytest.raises(UserError, match="0 to 255"):
    build_from_rows(str(tmp_path), "hash", data, parts)


def test_mapped_images_don_t_stay_in_memory(tmp_path):
  import psutil

  images = np.random.default_rng(0).integers(0, 256, (600, 200, 200, 1)).astype(np.uint8)
  np.save(tmp_path / "x.npy", images)
  on_disk = np.load(tmp_path / "x.npy", mmap_mode="r")

  def held() -> int:
    return sum(m.rss for m in psutil.Process().memory_maps() if m.path == str(tmp_path / "x.npy"))

  with sparing(on_disk):
    assert (on_disk == images).all()
  assert held() < 2**20
  assert (on_disk == images).all() and held() > 20 * 2**20
  with sparing(images):  # in memory: nothing is given back
    assert images.any()


def test_shards_of_mapped_images_are_written_without_holding_them(tmp_path, monkeypatch):
  import psutil

  monkeypatch.setattr(mapped, "_SECONDS", 1e3)  # a disk faster than the clock
  path, count = tmp_path / "images.npy", 40_000
  np.lib.format.open_memmap(path, "w+", np.uint8, (count, 48, 48, 3)).flush()  # zeros, a hole
  on_disk = np.load(path, mmap_mode="r")
  ids = np.arange(count)
  images = ImageSet(on_disk, ids % 2, ("a", "b"), ("x",) * count, ids, ids, None, ids)
  held = []

  def watch(piece: np.ndarray) -> np.ndarray:
    held.append(sum(m.rss for m in psutil.Process().memory_maps() if m.path == str(path)))
    return piece

  rows = np.random.default_rng(0).permutation(count)[:12_000]
  build_from_rows(str(tmp_path), "hash", images, {"c": rows}, changes={"c": watch}, change_key=1)
  assert len(held) > 4 and 0 < max(held) < 0.7 * on_disk.nbytes, (held, on_disk.nbytes)
