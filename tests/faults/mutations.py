"""Damaged and hostile files, drawn from a seed."""

import io
import json
import pathlib
import pickle
import struct
import zipfile
from typing import Any

import numpy as np

_ODD = (
  None, True, -1, 0, 1e308, 2**70, float("nan"), float("inf"), "", "x", "=1+1", "<b>&$\\foo$|`",
  "\udcff", "a\x00b", [], {}, [[]], [None], {"": None}, ["x"] * 3, -0.5,
)  # fmt: skip


def bytes_of(rng: np.random.Generator, data: bytes) -> bytes:
  """The same bytes with bits turned, a part cut off, doubled, filled with zeros or with noise."""
  kind = rng.integers(8)
  raw = bytearray(data)
  if kind == 0 or not raw:
    return rng.bytes(int(rng.integers(0, 200)))
  start, end = sorted(rng.integers(0, len(raw) + 1, 2).tolist())
  if kind in (1, 2):
    for position in rng.integers(0, len(raw), int(rng.integers(1, 20))):
      raw[position] ^= 1 << int(rng.integers(8))
  elif kind == 3:
    del raw[start:]
  elif kind == 4:
    del raw[start:end]
  elif kind == 5:
    raw[start:start] = raw[start:end]
  elif kind == 6:
    raw[start:end] = bytes(end - start)
  else:
    raw[start:start] = rng.bytes(int(rng.integers(1, 64)))
  return bytes(raw)


def json_of(rng: np.random.Generator, text: str) -> str:
  """JSON of which one to three values anywhere are others, or gone."""
  value = json.loads(text)
  for _ in range(int(rng.integers(1, 4))):
    value = _changed(rng, value)
  return json.dumps(value)


def _changed(rng: np.random.Generator, value: Any) -> Any:
  if isinstance(value, dict | list) and value and rng.random() < 0.85:
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = keys[int(rng.integers(len(keys)))]
    made = value.copy()
    if rng.random() < 0.1:
      del made[key]
    else:
      made[key] = _changed(rng, value[key])
    return made
  return _ODD[int(rng.integers(len(_ODD)))]


def csv_of(rng: np.random.Generator, text: str) -> bytes:
  """A table of which cells, columns or rows are others."""
  rows = [line.split(",") for line in text.splitlines()]
  for _ in range(int(rng.integers(1, 4))):
    row = rows[int(rng.integers(len(rows)))]
    at = int(rng.integers(len(row))) if row else 0
    kind = rng.integers(6)
    if kind == 0 and row:
      row[at] = str(_ODD[int(rng.integers(len(_ODD)))])
    elif kind == 1 and row:
      row[at] = ("9" * 400, "-1", "1e300", "0x10", '"', "'", ";", "\x00", "nan")[rng.integers(9)]
    elif kind == 2:
      row.append("7")
    elif kind == 3 and row:
      del row[at]
    elif kind == 4:
      rows[int(rng.integers(len(rows)))] = []
    else:
      rows[0] = rows[0][::-1]
  made = "\n".join(map(",".join, rows)).encode("utf-8", "surrogateescape")
  return bytes_of(rng, made) if rng.random() < 0.2 else made


class _Bomb:
  def __reduce__(self):
    return exec, ("raise SystemExit('a pickle ran')",)


def npz_of(rng: np.random.Generator, arrays: dict[str, np.ndarray]) -> bytes:
  """An archive of which an array, a header or the packing is odd."""
  made = dict(arrays)
  name = list(made)[int(rng.integers(len(made)))]
  array, kind = made[name], int(rng.integers(14))
  headers, extra, packed = {}, {}, zipfile.ZIP_STORED
  if kind == 0:
    del made[name]
  elif kind == 1 and array.dtype.kind != "U":
    made[name] = array.astype(("f2", "f8", "c8", "M8[s]", "S4", "?", "u8", "i8")[rng.integers(8)])
  elif kind == 2:
    made[name] = array.ravel()
  elif kind == 3:
    made[name] = array[:-1] if array.ndim else np.zeros([3])
  elif kind == 4:
    made[name] = np.zeros([0] * int(rng.integers(0, 6)), array.dtype)
  elif kind == 5:
    made[name] = np.array(7)
  elif kind == 6:
    made[name] = np.array([("a", 1)], [("x", "U3"), ("y", "i4", (2,))])
  elif kind == 7:
    headers[name] = (
      "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 3)}",
      "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999, 99999999)}",
      "{'descr': '|u1', 'fortran_order': False, 'shape': (True,)}",
      "{'descr': '|O', 'fortran_order': False, 'shape': (3,)}",
      "{'descr': '<U0', 'fortran_order': False, 'shape': (3,)}",
      "{'descr': '|V0', 'fortran_order': False, 'shape': (3,)}",
      "{'descr': ('|u1', (1 << 40,)), 'fortran_order': False, 'shape': ()}",
      "{'descr': __import__('os').system('false'), 'fortran_order': False, 'shape': ()}",
      "{'descr': '|u1', 'shape': (3,)", "(" * 500, "{'descr': '|u1'}", "", "\x00" * 40, "((((1L",
    )[rng.integers(14)]  # fmt: skip
  elif kind == 8:
    extra["pickled.npy"] = b"\x93NUMPY\x01\x00v\x00" + pickle.dumps(_Bomb())
    made[name] = np.array([_Bomb()], object)
  elif kind == 9:
    extra["../../../outside.npy"] = b"x"
    extra["/etc/outside.npy"] = b"x"
  elif kind == 10:
    packed, made[name] = zipfile.ZIP_DEFLATED, np.zeros([2**24], np.uint8)
  elif kind == 11:
    packed = (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED)[rng.integers(3)]
  elif kind == 12 and array.dtype.kind == "f":
    made[name] = np.full_like(array, np.nan)
  stream = io.BytesIO()
  with zipfile.ZipFile(stream, "w", packed) as archive:
    for member, value in made.items():
      archive.writestr(f"{member}.npy", _npy(value, headers.get(member)))
    for member, raw in extra.items():
      archive.writestr(member, raw)
  raw = stream.getvalue()
  if kind == 13:
    return encrypted(raw) if rng.random() < 0.5 else bytes_of(rng, raw)
  return raw


def encrypted(archive: bytes) -> bytes:
  """The archive with the flags that say that its members are."""
  raw = bytearray(archive)
  for sign, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
    at = raw.find(sign)
    while at >= 0:
      raw[at + offset] |= 1
      at = raw.find(sign, at + 4)
  return bytes(raw)


def _npy(array: np.ndarray, header: str | None) -> bytes:
  stream = io.BytesIO()
  np.lib.format.write_array(stream, array, allow_pickle=True)
  raw = stream.getvalue()
  if header is None:
    return raw
  line = header.encode() + b"\n"
  return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line + b"123"


def flags_of(rng: np.random.Generator, names: list[str]) -> bytes:
  """A flag file with odd names and values."""
  values = (
    "", "0", "-1", "1e999", "nan", "99999999999999999999999", "os:system", "a,b,,", "\x00", "../..",
    "true", "=", "--rounds=1", "\udcff", "é" * 50, "x" * 5000, "[", "{}", "sys:exit", ":", ".py:f",
  )  # fmt: skip
  lines = []
  for _ in range(int(rng.integers(1, 4))):
    name = names[int(rng.integers(len(names)))] if rng.random() < 0.9 else "no\x00such"
    lines.append(f"--{name}={values[int(rng.integers(len(values)))]}")
  made = "\n".join(lines).encode("utf-8", "surrogateescape")
  return bytes_of(rng, made) if rng.random() < 0.2 else made


def write(path: pathlib.Path, data: str | bytes) -> None:
  """Writes bytes, or text in which lone surrogates stand for bytes that are no UTF-8."""
  path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape"))
