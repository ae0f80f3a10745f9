"""Folders as users have them: every file is loaded as a viewer shows it, or named with a reason."""

import os
import pathlib

import numpy as np
import PIL.Image
import pytest

from fedsafe_tff.data import image_folder, inventory, loading
from fedsafe_tff.data.formats.frame import Reading, pseudonym
from fedsafe_tff.data.image_files import Options
from fedsafe_tff.data.image_folder import Meaning
from fedsafe_tff.errors import UserError
from tests.data.formats import files
from tests.data.pictures import SIDE, adds_up, load, picture, save, table


def test_images_deeper_than_their_class(tmp_path):
  root = save(tmp_path, *(f"healthy/{i}.png" for i in range(3)), "tumour/a.png")
  save(root, *(f"healthy/patient7/{i}.png" for i in range(5)))
  data = load(root)
  assert len(data) == 9 and adds_up(data, root)
  inside = [i for i, name in enumerate(data.names) if "patient7" in name]
  assert len({int(g) for g in data.groups[inside]}) == 1 and len(set(data.groups)) == 5
  assert {data.patients[i] for i in inside} == {pseudonym("patient7")}


def test_pages_are_images_of_one_group(tmp_path):
  root = save(tmp_path, "a/0.png", "b/0.png")
  pages = [PIL.Image.fromarray(picture(i)) for i in range(4)]
  pages[0].save(root / "a" / "stack.tif", save_all=True, append_images=pages[1:])
  data = load(root)
  rows = [data.names.index(f"a/stack.tif page {i}") for i in range(1, 5)]
  for seed, row in enumerate(rows):
    np.testing.assert_array_equal(data.images[row, ..., 0], picture(seed))
  assert len({int(g) for g in data.groups[rows]}) == 1 and adds_up(data, root)


def test_one_window_for_all_single_deep_images(tmp_path):
  root = save(tmp_path, "a/0.png", "b/0.png")
  for name, top in (("a/dark.png", 400), ("b/light.png", 4000)):
    values = np.linspace(0, top, SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint16)
    PIL.Image.fromarray(values).save(root / name)
  data = load(root)
  light = data.images[data.names.index("b/light.png")]
  dark = data.images[data.names.index("a/dark.png")]
  assert light.max() == 255 and dark.max() == 26  # a tenth as bright, as it was scanned
  assert data.inventory["windows"] == {"single images of more than 8 bits": [0.0, 4000.0]}
  assert "0 is black, 4000 white" in " ".join(inventory.sentences(data.inventory))
  # In the order of the names, though windowed ones are decoded in a second pass.
  assert data.names == ("a/0.png", "a/dark.png", "b/0.png", "b/light.png")


def test_litter_is_counted_and_other_files_are_named(tmp_path):
  root = save(tmp_path, "a/0.png", "b/0.png")
  (root / "a" / "._0.png").write_bytes(b"\0\5\26\7")
  for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
    (root / "a" / name).write_bytes(b"x")
  save(root, "__MACOSX/a/0.png")
  (root / "README.md").write_text("read me")
  (root / "a" / "notes.txt").write_text("a note")
  save(root, "stray.png")
  data = load(root)
  assert len(data) == 2 and data.inventory["litter"] == 5
  assert dict(data.inventory["left_out"]) == {
    "README.md": "it is not an image",
    "a/notes.txt": "it is not an image",
    "stray.png": "no folder or table says its class",
  }
  assert data.skipped == ("README.md", "a/notes.txt", "stray.png")


def test_a_named_pipe_neither_hangs_nor_passes_unnamed(tmp_path):
  root = save(tmp_path, "a/0.png", "b/0.png")
  os.mkfifo(root / "a" / "x.png")
  with pytest.raises(UserError, match="x.png.*not a regular file"):
    load(root)
  data = image_folder.load(str(root), options=Options(SIDE, True))
  assert data.skipped == ("a/x.png",) and adds_up(data, root)
  assert loading.load(
    loading.DataSpec("image_folder", data_dir=str(root), image_size=8, skip_bad_images=True),
    cache_dir=str(tmp_path / "cache"),
  ).skipped == ("a/x.png",)


def test_class_folders_that_are_links_and_links_in_a_ring(tmp_path):
  real = save(tmp_path / "real", "a/0.png", "a/1.png", "b/0.png")
  root = tmp_path / "linked"
  root.mkdir()
  (root / "a").symlink_to(real / "a")
  (root / "b").symlink_to(real / "b")
  (real / "a" / "again").symlink_to(real / "a")
  data = load(root)
  assert data.names == ("a/0.png", "a/1.png", "b/0.png")
  assert data.inventory["left_out"] == [["a/again", "the link leads back to a folder above it"]]
  (root / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
  with pytest.raises(UserError, match="gone.png.*can't be opened"):
    load(root)


def test_dicom_beside_png(tmp_path):
  root = save(tmp_path, "a/0.png", "b/0.png")
  (root / "b" / "IM0001").write_bytes(files.dicom(picture(1)))
  (root / "b" / "other.dcm").write_bytes(files.dicom(picture(2)))
  data = load(root)
  assert len(data) == 4 and adds_up(data, root)
  rows = [data.names.index(f"b/{name}") for name in ("IM0001", "other.dcm")]
  np.testing.assert_array_equal(data.images[rows[0], ..., 0], picture(1))
  assert len({int(g) for g in data.groups[rows]}) == 1
  assert data.patients[rows[0]] == pseudonym("ID-4711") and data.sites[rows[0]] == "St. Elsewhere"
  assert data.sites[0] == ""


def test_nothing_of_a_patients_identity_is_stored(tmp_path):
  root = tmp_path / "data"
  for name in ("a/1.dcm", "b/2.dcm"):
    (root / name).parent.mkdir(parents=True)
    (root / name).write_bytes(files.dicom(files.DEEP))
  spec = loading.DataSpec("image_folder", data_dir=str(root), image_size=8)
  told = []
  loading.load(spec, cache_dir=str(tmp_path / "cache"), progress=told.append)
  stored = b"".join(p.read_bytes() for p in (tmp_path / "cache").rglob("*") if p.is_file())
  stored += " ".join(told).encode()
  for secret in ("Doe", "Jane", "4711", "19590301"):
    assert secret.encode() not in stored
    assert secret.encode("utf-32-le") not in stored  # as NumPy stores text
    assert secret.encode("utf-16-le") not in stored


def test_volumes_are_patients(tmp_path):
  root = tmp_path
  for name, seed in (("a/one.nii.gz", 1), ("a/two.nii.gz", 2), ("b/three.nii", 3)):
    (root / name).parent.mkdir(exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 999, (SIDE, SIDE, 4)).astype(np.int16)
    values[..., 0] = 0
    (root / name).write_bytes(files.nifti(values, packed=name.endswith("gz")))
  data = load(root)
  assert len(data) == 9 and len(set(data.groups)) == 3 == len(set(data.patients))
  assert data.inventory["empty_slices"] == 3 and len(data.inventory["windows"]) == 3
  assert adds_up(data, root)


def test_volumes_of_one_file_name_are_patients_each(tmp_path):
  """As t1.nii.gz in the folder of every case; BIDS names the patient, of two volumes too."""
  names = ["a/001.nii.gz", "b/001.nii.gz", "a/sub-7/x.nii.gz", "b/sub-7/y.nii.gz"]
  for seed, name in enumerate(names):
    (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
    values = np.random.default_rng(seed).integers(0, 999, (SIDE, SIDE, 2)).astype(np.int16)
    (tmp_path / name).write_bytes(files.nifti(values))
  data = load(tmp_path)
  assert len(data) == 8 and len(set(data.patients)) == 3 == len(set(data.groups))


def test_names_are_data(tmp_path):
  root = save(tmp_path, "a/0.png", "b/0.png")
  odd = ["a/<b>bold.png", "a/new\nline.png", "a/-rf.png", "a/--flag=1.png", "b/$(id).png",
         "b/ä ö.png", "b/" + "n" * 200 + ".png"]  # fmt: skip
  save(root, *odd)
  with open(os.path.join(os.fsencode(root), b"a", b"latin\xe4.png"), "wb") as file:
    file.write((root / "a" / "0.png").read_bytes())
  data = load(root)
  assert len(data) == 10 and adds_up(data, root)
  assert all(name.isprintable() for name in data.names)
  assert "a/new\\nline.png" in data.names and "a/latin\\xe4.png" in data.names


def test_a_bomb_and_what_is_no_image_by_content(tmp_path):
  root = save(tmp_path, "a/0.png", "b/0.png")
  (root / "a" / "bomb.png").write_bytes(files.png_header(13000, 13000))
  with pytest.raises(UserError, match="bomb.png.*--max_pixels"):
    load(root)
  (root / "a" / "bomb.png").write_text("text")
  with pytest.raises(UserError, match="bomb.png.*not that of an image"):
    load(root)


def test_the_cache_notices_what_changes(tmp_path):
  root = save(tmp_path / "images", "a/0.png", "b/0.png")
  csv = table(tmp_path / "t.csv", "file,patient", "a/0.png,x")
  cache = str(tmp_path / "cache")

  def told(**changes):
    said = []
    settings = {"data_dir": str(root), "image_size": 8, "meaning": Meaning(metadata=csv)} | changes
    spec = loading.DataSpec("image_folder", **settings)
    loading.load(spec, cache_dir=cache, progress=said.append)
    return len(said)

  assert told() == 1 and told() == 0
  save(root, "a/1.png")
  assert told() == 1 and told() == 0
  table(tmp_path / "t.csv", "file,patient", "a/1.png,x")
  assert told() == 1 and told() == 0
  assert told(reading=Reading(transparency="white")) == 1
  (root / "b" / "0.png").write_bytes((root / "a" / "0.png").read_bytes())
  assert told() == 1 and told() == 0
  for file in (tmp_path / "cache" / "images").glob("*.np?"):
    file.write_bytes(b"damaged")
  assert told() == 1 and told() == 0


def test_patch_camelyon_as_its_authors_serve_it(tmp_path):
  import h5py

  rng = np.random.default_rng(0)
  patches = {}
  for part, count in (("train", 12), ("valid", 4), ("test", 6)):
    stem = tmp_path / f"camelyonpatch_level_2_split_{part}"
    patches[part] = rng.integers(0, 256, (count, 96, 96, 3)).astype(np.uint8)
    with h5py.File(f"{stem}_x.h5", "w") as file:
      file["x"] = patches[part]
    with h5py.File(f"{stem}_y.h5", "w") as file:
      file["y"] = (np.arange(count) % 2).reshape(-1, 1, 1, 1)
    slides = [f"camelyon16_{part}_{i // 3}" for i in range(count)]
    table(pathlib.Path(f"{stem}_meta.csv"), "tumor_patch,wsi", *(f"True,{s}" for s in slides))
  spec = loading.DataSpec("pathology", data_dir=str(tmp_path))
  data = loading.load(spec, cache_dir=str(tmp_path / "cache"))
  np.testing.assert_array_equal(
    data.images, np.concatenate([patches[p] for p in ("train", "valid", "test")])
  )
  assert data.labels[:4].tolist() == [0, 1, 0, 1] and data.published_test.sum() == 6
  assert data.published_validation.sum() == 4 and len(set(data.groups)) == 4 + 2 + 2
  spec = loading.DataSpec("pathology", data_dir=str(tmp_path), num_images=11)
  some = loading.load(spec, cache_dir=str(tmp_path / "cache"))
  assert len(some) == 11 and some.published_test.sum() == 3
