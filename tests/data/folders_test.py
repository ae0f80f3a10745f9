"""Folders as users have them: every file is loaded as a viewer shows it, or named with a reason."""

import os
import pathlib
import zlib

import numpy as np
import PIL.Image
import pytest

from fedsafe_tff.data import image_folder, inventory, loading, npz
from fedsafe_tff.data.formats.frame import Reading, pseudonym
from fedsafe_tff.data.image_files import Options
from fedsafe_tff.data.image_folder import Meaning
from fedsafe_tff.errors import UserError
from tests.data.formats import files

SIDE = 8


def picture(seed: int, side: int = SIDE) -> np.ndarray:
  return np.random.default_rng(seed).integers(0, 256, (side, side)).astype(np.uint8)


def save(root: pathlib.Path, *names: str) -> pathlib.Path:
  """A picture of its own at each name."""
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(picture(zlib.crc32(name.encode()))).save(path)
  return root


def load(root, *, reading=None, **meaning):
  options = Options(SIDE, False, reading or Reading())
  return image_folder.load(str(root), options=options, meaning=Meaning(**meaning))


def adds_up(data, root) -> bool:
  """Whether every file on disk is loaded or named."""
  found = [p for p in root.rglob("*") if not p.is_dir() and not inventory.is_litter(p.name)]
  facts = data.inventory
  named = facts["files_loaded"] + len(facts["left_out"])
  return facts["files_found"] == named == len(found)


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


# folders of images -> the layout guessed
GUESSES = [
  (("cat", "dog"), "class"),
  (("yes", "no"), "class"),
  (("Training/glioma", "Training/notumor", "Testing/glioma", "Testing/notumor"), "split/class"),
  (("train/0", "train/1", "val/0", "val/1", "test/0", "test/1"), "split/class"),
  (("benign/train", "benign/test", "malignant/train", "malignant/test"), "class/split"),
  (("hospitalA/normal", "hospitalA/glioma", "hospitalB/normal"), "site/class"),
  (("hospitalA/normal", "hospitalA/glioma"), "site/class"),
  (("normal/site 1", "normal/site 2", "ill/site 1"), "class/site"),
  (("normal/p1", "normal/p2", "glioma/p3"), "class/patient"),
  (("u/x1", "u/x2", "v/x3", "v/x4"), "class/patient"),
  (("patient1/normal", "patient1/tumor", "patient2/normal"), "patient/class"),
  (("8863/0", "8863/1", "8864/0", "8864/1"), "patient/class"),
  (("siteA/ill/patient1", "siteA/normal/patient2", "siteB/ill/patient1"), "site/class/patient"),
  (("train/siteA/yes", "train/siteA/no", "test/siteB/yes", "test/siteB/no"), "split/site/class"),
  (("normal/patient1/T1", "normal/patient2/T1", "ill/patient3/T1"), "class/patient/*"),
]


@pytest.mark.parametrize("folders, layout", GUESSES)
def test_layouts_are_guessed(tmp_path, folders, layout):
  root = save(tmp_path, *(f"{folder}/{i}.png" for folder in folders for i in range(2)))
  data = load(root)
  assert data.inventory["layout"] == f"{layout} (guessed)" and adds_up(data, root)
  assert len(data) == 2 * len(folders)
  roles = layout.split("/")
  for row, name in enumerate(data.names):
    told = dict(zip(roles, name.split("/")))
    assert data.class_names[data.labels[row]] == told["class"]
    assert (data.sites[row] if data.sites else None) == told.get("site")
    if "split" in roles:
      assert data.published_test[row] == (told["split"].casefold() in ("test", "testing"))


@pytest.mark.parametrize(
  "folders, readings",
  [
    (("u/x", "u/y", "v/x", "v/y"), "class/patient or as class/site"),
    (("X1/normal", "X1/glioma", "X2/normal", "X2/glioma"), "patient/class or as site/class"),
    (("u/x/1", "u/y/2", "v/x/3", "v/y/4"), " or as "),
    (("hospitalA", "hospitalB"), "look like sites"),
    (("patient1", "patient2", "patient3"), "look like patients"),
  ],
)
def test_what_has_two_readings_is_refused(tmp_path, folders, readings):
  root = save(tmp_path, *(f"{folder}/{i}.png" for folder in folders for i in range(2)))
  with pytest.raises(UserError, match=readings):
    load(root)


def test_a_layout_that_is_given(tmp_path):
  root = save(tmp_path, "u/x/1.png", "u/y/2.png", "v/x/3.png", "v/y/4.png")
  data = load(root, layout="site/class")
  assert data.class_names == ("x", "y") and data.sites == ("u", "v", "u", "v")
  assert load(root, layout="class/*").patients is None
  data = load(root, layout="class/patient")
  assert data.groups[data.names.index("u/x/1.png")] == data.groups[data.names.index("v/x/3.png")]
  for wrong in ("class/class", "patient", "class/ward", ""):
    with pytest.raises(UserError, match="--layout|at least 2"):
      load(root, layout=wrong)


def test_patients_are_numbered_anew_in_every_hospital(tmp_path):
  names = [f"site{s}/{c}/patient{p}/0.png" for s in "AB" for c in ("ill", "normal") for p in "12"]
  data = load(save(tmp_path, *names))
  assert len(set(data.patients)) == 4


def test_a_pattern_names_patients(tmp_path):
  root = save(tmp_path, *(f"{c}/P{p}_s{s}.png" for p, c in ((1, "a"), (2, "b")) for s in range(3)))
  data = load(root, patient_pattern=r"(P\d+)_")
  assert len(set(data.patients)) == 2 == len(set(data.groups))
  with pytest.raises(UserError, match="regular expression"):
    load(root, patient_pattern="(")


def table(path: pathlib.Path, *lines: str) -> str:
  path.write_text("\n".join(lines) + "\n")
  return str(path)


def test_a_table_tells_all(tmp_path):
  root = save(tmp_path / "images", "1.png", "2.png", "deep/3.png", "4.png", "5.png")
  csv = table(
    tmp_path / "t.csv", "file,label,patient,site,split", "1.png,ill,anna,North,train",
    "2,well,bert,North,train", "deep/3.png,ill,anna,South,val", '4.png,well,"c, d",South,test',
  )  # fmt: skip
  data = load(root, metadata=csv)
  assert data.names == ("1.png", "2.png", "deep/3.png", "4.png")
  assert data.class_names == ("ill", "well") and data.labels.tolist() == [0, 1, 0, 1]
  assert data.sites == ("North", "North", "South", "South")
  assert data.patients[0] == data.patients[2] == pseudonym("anna")
  assert data.published_test.tolist() == [False, False, False, True]
  assert data.published_validation.tolist() == [False, False, True, False]
  assert data.inventory["left_out"] == [["5.png", "it has no row in the metadata"]]


def test_a_table_with_other_columns_and_separators(tmp_path):
  root = save(tmp_path / "images", "1.png", "2.png")
  csv = table(tmp_path / "t.csv", "\ufeffscan;dx code;who", "1;A;x", "2;B;y")
  with pytest.raises(UserError, match="no column of file names.*--columns=file=NAME"):
    load(root, metadata=csv)
  data = load(root, metadata=csv, columns="file=scan,label=dx code,patient=who")
  assert data.class_names == ("A", "B") and len(set(data.patients)) == 2
  for columns, match in (("file=none", "no column none"), ("file", "ROLE=NAME"), ("x=y", "ROLE")):
    with pytest.raises(UserError, match=match):
      load(root, metadata=csv, columns=columns)


def test_kaggles_histopathology(tmp_path):
  root = save(tmp_path, *(f"train/{name}.tif" for name in ("f38a", "c18f", "755d", "bc3f")))
  table(root / "train_labels.csv", "id,label", "f38a,0", "c18f,1", "755d,0", "bc3f,0")
  data = load(root)
  assert data.labels.tolist() == [0 if "c18f" not in name else 1 for name in data.names]
  assert data.inventory["left_out"] == [["train_labels.csv", "it is the metadata"]]


def test_tables_that_are_wrong(tmp_path):
  root = save(tmp_path / "images", "1.png", "2.png", "u/9.png", "v/9.png")
  for lines, match in (
    (("file,label", "1.png,a", "none.png,b"), "name no file.*none.png"),
    (("file,label", "1.png,a", "9.png,b"), "occurs twice"),
    (("file,label", "1.png,a", "1.png,b"), "two things of 1.png"),
    (("file,label,split", "1.png,a,holdout", "2.png,b,train"), "expected train, validation"),
    (("file,label", "1.png,a", "2.png,a"), "at least 2"),
  ):
    with pytest.raises(UserError, match=match):
      load(root, metadata=table(tmp_path / "t.csv", *lines))
  for content in (b"\xff\xfe\0bad", b""):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError, match="can't be read"):
      load(root, metadata=str(tmp_path / "t.csv"))
  with pytest.raises(UserError, match="can't be read"):
    load(root, metadata=str(tmp_path))


def test_a_table_of_patients_leaves_classes_to_the_folders(tmp_path):
  root = save(tmp_path / "images", "a/1.png", "a/2.png", "b/3.png")
  data = load(root, metadata=table(tmp_path / "t.csv", "file,patient", "a/1.png,x", "b/3.png,x"))
  assert data.class_names == ("a", "b") and data.groups[0] == data.groups[2] != data.groups[1]


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


def medmnist(path, shape, kept=None, labels=2, **more):
  rng = np.random.default_rng(0)
  arrays = {}
  for part, count in (("train", 6), ("val", 3), ("test", 4)):
    arrays[f"{part}_images"] = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
    arrays[f"{part}_labels"] = (np.arange(count) % labels)[:, None]
  np.savez(path, **(arrays | more))
  return arrays


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3), (64, 64)])
def test_medmnist(tmp_path, shape):
  arrays = medmnist(tmp_path / "m.npz", shape)
  data = npz.load(str(tmp_path / "m.npz"), image_size=0)
  assert len(data) == 13
  assert data.published_validation.sum() == 3 and data.published_test.sum() == 4
  expected = np.concatenate([arrays[f"{p}_images"] for p in ("train", "val", "test")])
  np.testing.assert_array_equal(np.squeeze(data.images), expected)


def test_medmnist_in_three_dimensions_and_with_many_labels(tmp_path):
  arrays = medmnist(tmp_path / "m.npz", (5, 9, 9))
  volume = arrays["train_images"].copy()
  volume[0, 2] = 3
  np.savez(tmp_path / "m.npz", **(arrays | {"train_images": volume}))
  data = npz.load(str(tmp_path / "m.npz"), image_size=0)
  assert len(data) == 13 * 5 - 1 and len(set(data.groups)) == 13 == len(set(data.patients))
  assert data.inventory["empty_slices"] == 1
  many = {f"{p}_labels": np.zeros((n, 14), int) for p, n in (("train", 6), ("val", 3), ("test", 4))}
  medmnist(tmp_path / "m.npz", (9, 9), **many)
  with pytest.raises(UserError, match="14 labels per image"):
    npz.load(str(tmp_path / "m.npz"), image_size=0)


def test_labels_of_an_npz_are_ids(tmp_path):
  images = np.stack([picture(i) for i in range(6)])
  labels = np.array([7, 10**9, 7, 7, 10**9, 10**9])
  np.savez(tmp_path / "x.npz", images=images, labels=labels, patients=list("aabbcc"), sites=[1] * 6)
  data = npz.load(str(tmp_path / "x.npz"), image_size=0)
  assert data.class_names == ("class 7", "class 1000000000")
  assert data.labels.tolist() == [0, 1, 0, 0, 1, 1] and len(set(data.groups)) == 3
  assert data.sites == ("1",) * 6


def test_an_npz_that_unpacks_to_too_much_or_holds_objects(tmp_path):
  path = tmp_path / "x.npz"
  np.savez_compressed(path, images=np.zeros((300, 300, 300), np.uint8), labels=np.zeros(300, int))
  with pytest.raises(UserError, match="--max_bytes=1000000"):
    npz.load(str(path), image_size=0, reading=Reading(max_bytes=1_000_000))
  np.savez(path, images=np.array([{}], object), labels=[0])
  with pytest.raises(UserError, match="never read"):
    npz.load(str(path), image_size=0)


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
