"""Between the values of TFF computations and the flat lists that TensorFlow graphs take."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
from tensorflow_federated.python.core.impl.types import type_conversions

from fedsafe_tff.errors import UserError


def flatten(value: Any, type_spec: tff.Type) -> list[Any]:
  """The leaves of an unplaced value, in the order of its type.

  Args:
    value: Arrays or tensors in lists, dictionaries, attrs classes and the like; data sets are
      passed as variant tensors, within this process.
    type_spec: The value's type.

  Raises:
    TypeError: The value is not of the type.
  """
  if isinstance(type_spec, tff.TensorType):
    return [_leaf(value, type_spec)]
  if isinstance(type_spec, tff.SequenceType):
    if not isinstance(value, tf.data.Dataset):
      raise UserError(
        "this runtime takes a data set only as a tf.data.Dataset: pass one, or --runtime=native"
      )
    _check_elements(value.element_spec, type_spec.element)
    return [tf.data.experimental.to_variant(value)]
  if not isinstance(type_spec, tff.StructType):
    raise UserError(f"this runtime can't pass a value of type {type_spec}: use --runtime=native")
  elements = _elements(value, type_spec)
  types = [element for _, element in tff.structure.iter_elements(type_spec)]
  return [leaf for v, t in zip(elements, types) for leaf in flatten(v, t)]


def _check_elements(spec: Any, expected: tff.Type) -> None:
  """Refuses a data set whose elements the graph would not take, before anything is computed."""
  found = tff.types.tensorflow_to_type(spec)
  mine, theirs = _leaf_types(found), _leaf_types(expected)
  if len(mine) != len(theirs) or not all(map(_alike, mine, theirs)):
    raise TypeError(f"expected a data set of {expected}, found one of {found}")


def _leaf_types(type_spec: tff.Type) -> list[tff.Type]:
  if not isinstance(type_spec, tff.StructType):
    return [type_spec]
  elements = tff.structure.iter_elements(type_spec)
  return [leaf for _, element in elements for leaf in _leaf_types(element)]


def _alike(found: tff.Type, expected: tff.Type) -> bool:
  if not (isinstance(found, tff.TensorType) and isinstance(expected, tff.TensorType)):
    return found == expected
  shape = tf.TensorShape(found.shape)
  return found.dtype == expected.dtype and shape.is_compatible_with(expected.shape)


def _elements(value: Any, type_spec: tff.StructType) -> list[Any]:
  try:
    found = list(tff.structure.iter_elements(tff.structure.from_container(value)))
  except TypeError:
    raise TypeError(f"expected a structure of type {type_spec}, found {value!r}") from None
  names = [name for name, _ in tff.structure.iter_elements(type_spec)]
  by_name = {name: element for name, element in found if name is not None}
  if None not in names and set(by_name) == set(names):
    return [by_name[name] for name in names]
  if len(found) != len(names) or any(n not in (None, m) for (n, _), m in zip(found, names)):
    raise TypeError(
      f"expected a structure of type {type_spec}, found the elements {[n for n, _ in found]}"
    )
  return [element for _, element in found]


def _leaf(value: Any, type_spec: tff.TensorType) -> Any:
  if isinstance(value, tf.Variable):
    value = value.read_value()
  if not isinstance(value, tf.Tensor):
    value = _array(value, np.dtype(type_spec.dtype))
  dtype = tf.as_dtype(value.dtype)
  shape = tf.TensorShape(type_spec.shape)
  if dtype != tf.as_dtype(type_spec.dtype) or not shape.is_compatible_with(value.shape):
    raise TypeError(f"expected {type_spec}, found {dtype.name} of shape {tuple(value.shape)}")
  return value


def _array(value: Any, dtype: np.dtype) -> np.ndarray:
  array = np.asarray(value)
  if array.dtype.kind in "SU" and dtype.kind in "SUO":
    return array.astype(object)
  # A Python number takes the type asked for; an array must have it already.
  loose = not isinstance(value, (np.ndarray, np.generic)) and array.dtype.kind in "biuf"
  if loose and (array.dtype.kind == dtype.kind or (array.dtype.kind, dtype.kind) in _WIDENING):
    return array.astype(dtype)
  return array


# Python ints may stand for floats and unsigned numbers.
_WIDENING = {("i", "f"), ("i", "u")}


def unflatten(leaves: Iterator[Any], type_spec: tff.Type) -> Any:
  """The value of a type from its leaves, in Python's containers and NumPy's arrays.

  Args:
    leaves: Tensors or arrays; as many are taken as the type has.
    type_spec: An unplaced type, one placed at the server, or a structure of such.
  """
  return type_conversions.type_to_py_container(_struct(leaves, type_spec), type_spec)


def gather(rows: Sequence[Sequence[Any]], type_spec: tff.Type) -> Any:
  """A result at the clients from the leaves that each of them has.

  Args:
    rows: Per client, its leaves; one row is enough where all clients have the same.
    type_spec: A type placed at the clients, or a structure of such.
  """
  columns = [iter(row) for row in rows]

  def build(t):
    if isinstance(t, tff.StructType):
      return tff.structure.Struct([(n, build(e)) for n, e in tff.structure.iter_elements(t)])
    members = [_struct(column, t.member) for column in columns]
    return members[0] if t.all_equal else members

  return type_conversions.type_to_py_container(build(type_spec), type_spec)


def _struct(leaves: Iterator[Any], type_spec: tff.Type) -> Any:
  if isinstance(type_spec, tff.FederatedType):
    return _struct(leaves, type_spec.member)
  if isinstance(type_spec, tff.StructType):
    return tff.structure.Struct(
      [(name, _struct(leaves, t)) for name, t in tff.structure.iter_elements(type_spec)]
    )
  if isinstance(type_spec, tff.TensorType):
    return to_numpy(next(leaves))
  raise UserError(f"this runtime can't return a value of type {type_spec}: use --runtime=native")


def to_numpy(leaf: Any) -> Any:
  """A leaf as NumPy has it."""
  return leaf.numpy() if isinstance(leaf, tf.Tensor) else leaf


def count_leaves(type_spec: tff.Type) -> int:
  """How many leaves a value of this type has."""
  if isinstance(type_spec, tff.FederatedType):
    return count_leaves(type_spec.member)
  if isinstance(type_spec, tff.StructType):
    return sum(count_leaves(t) for _, t in tff.structure.iter_elements(type_spec))
  return 1


def position_of(name: str, types: Sequence[tff.Type]) -> int | None:
  """Position among all leaves of the first scalar integer called `name`; None if there is none."""
  position = 0
  for path, leaf in (entry for t in types for entry in _named_leaves(None, t)):
    if path == name and is_scalar_integer(leaf):
      return position
    position += 1
  return None


def _named_leaves(name: str | None, type_spec: tff.Type) -> Iterator[tuple[str | None, tff.Type]]:
  if isinstance(type_spec, tff.FederatedType):
    yield from _named_leaves(name, type_spec.member)
  elif isinstance(type_spec, tff.StructType):
    for inner, element in tff.structure.iter_elements(type_spec):
      yield from _named_leaves(inner, element)
  else:
    yield name, type_spec


def is_scalar_integer(type_spec: tff.Type) -> bool:
  """Whether it is the type of one whole number."""
  if not isinstance(type_spec, tff.TensorType):
    return False
  return np.issubdtype(type_spec.dtype, np.integer) and tf.TensorShape(type_spec.shape).rank == 0
