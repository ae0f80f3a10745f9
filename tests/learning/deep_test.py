import pytest
from google.protobuf import message, struct_pb2
from google.protobuf.internal import api_implementation

from fedsafe_tff.learning import deep


def nested(depth):
  """Bytes of lists in lists: the one around so many is written by hand, as protobuf can't."""
  inner = struct_pb2.Value(number_value=1.0).SerializeToString()
  for _ in range(depth):
    for tag in (b"\x0a", b"\x32"):  # ListValue.values, Value.list_value
      inner = tag + _length(len(inner)) + inner
  return inner


def _length(number):
  digits = b""
  while number >= 128:
    digits += bytes([number % 128 + 128])
    number //= 128
  return digits + bytes([number])


def test_messages_nested_deeper_than_a_hundred_are_read():
  module = api_implementation._c_module
  module.SetAllowOversizeProtos(False)
  with pytest.raises(message.DecodeError):
    struct_pb2.Value.FromString(nested(150))
  deep.allow()
  read, depth = struct_pb2.Value.FromString(nested(150)), 0
  copy = struct_pb2.Value(list_value=struct_pb2.ListValue(values=[read]))  # writes and reads
  assert len(copy.SerializeToString()) > len(nested(150))
  while read.HasField("list_value"):
    read, depth = read.list_value.values[0], depth + 1
  assert (read.number_value, depth) == (1.0, 150)
