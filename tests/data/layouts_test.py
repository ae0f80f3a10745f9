"""What folders above an image mean, guessed, given or told by a table."""

import pytest

from fedsafe_tff.data.formats.frame import pseudonym
from fedsafe_tff.errors import UserError
from tests.data.pictures import adds_up, load, save, table

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
