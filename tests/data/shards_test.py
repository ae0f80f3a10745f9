import pathlib

import numpy as np
import pytest
import tensorflow as tf

from fedsafe_tff.data import shards
from fedsafe_tff.data.shard_reader import read_client, read_named
from fedsafe_tff.errors import UserError

RNG = np.random.default_rng(0)
PARTS = {
  name: (RNG.integers(0, 256, (n, 5, 4, 3)).astype(np.uint8), RNG.integers(0, 4, n))
  for name, n in ((shards.client_name(0), 7), (shards.client_name(12), 3), (shards.SERVER, 5))
}


def test_what_is_written_is_read_inside_a_graph(tmp_path):
  store = shards.build(str(tmp_path), "hash", PARTS)
  assert store.sizes == {"client_00000": 7, "client_00012": 3, "adaptation": 5}
  read = tf.function(lambda client: read_client(store.directory, client, store.image_shape))
  for client in (0, 12):
    images, labels = read(tf.constant(client))
    np.testing.assert_array_equal(images, PARTS[shards.client_name(client)][0])
    np.testing.assert_array_equal(labels, PARTS[shards.client_name(client)][1])
  images, _ = read_named(store.directory, shards.SERVER, store.image_shape)
  np.testing.assert_array_equal(images, PARTS[shards.SERVER][0])


def test_complete_shards_are_kept_and_damaged_ones_written_again(tmp_path):
  store = shards.build(str(tmp_path), "hash", PARTS)
  file = pathlib.Path(store.directory, "client_00000.images")
  before = file.stat().st_mtime_ns
  assert shards.build(str(tmp_path), "hash", PARTS) == store
  assert file.stat().st_mtime_ns == before
  file.write_bytes(file.read_bytes()[:-1])
  shards.build(str(tmp_path), "hash", PARTS)
  assert file.stat().st_size == 7 * 60


def test_a_shard_with_a_byte_changed_is_written_again(tmp_path):
  store = shards.build(str(tmp_path), "hash", PARTS)
  for name in ("client_00000.images", "adaptation.labels"):
    file = pathlib.Path(store.directory, name)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    shards.build(str(tmp_path), "hash", PARTS)
    assert file.read_bytes() == whole


def test_other_content_has_another_folder(tmp_path):
  other = PARTS | {shards.SERVER: (PARTS[shards.SERVER][0] ^ 1, PARTS[shards.SERVER][1])}
  first, second = (shards.build(str(tmp_path), "hash", p) for p in (PARTS, other))
  assert first.directory != second.directory


def test_a_folder_that_cannot_be_written_is_a_user_error(tmp_path):
  blocked = tmp_path / "file"
  blocked.write_text("")
  with pytest.raises(UserError, match="can't write"):
    shards.build(str(blocked), "hash", PARTS)
