"""Results of attacks image by image on disk, so that nothing is attacked twice."""

import io
import pathlib
import warnings
import zipfile

import numpy as np

from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.data import sums
from fedsafe_tff.data.files import write_arrays
from fedsafe_tff.errors import Notice
from fedsafe_tff.evaluation.result import AttackResult

_BITS = ("flipped", "right", "clean_right", "outside")
_LABELS = ("queries", "predicted", "clean_predicted")
_NUMBERS = ("random_noise_flip", "zero_gradient")


def save(path: pathlib.Path, result: AttackResult) -> None:
  """Writes a result to an `.npz`: bits and labels per adversary, victim and image."""
  arrays = {name: getattr(result, name) for name in _NUMBERS}
  for name in _BITS:
    bits = getattr(result, name)
    arrays |= {name: np.packbits(bits), f"{name}_shape": np.array(bits.shape)}
  for name in _LABELS:
    if getattr(result, name) is not None:
      arrays[name] = getattr(result, name).astype(np.int32)
  if result.clients is not None:
    arrays |= {"clients": np.array(result.clients), "of_clients": np.array(result.of_clients)}
  words = {"attack": repr(result.spec), "attacker": result.attacker, "label": result.label}
  arrays |= {name: np.array(text) for name, text in words.items()}
  write_arrays(path, arrays, compressed=True)


def load(path: pathlib.Path, spec: AttackSpec) -> AttackResult | None:
  """What `save` wrote of an attack; None where there is nothing, or something else.

  Args:
    path: The file.
    spec: The attack that it must be of.
  """
  try:
    with np.load(io.BytesIO(sums.read(path)), allow_pickle=False) as archive:
      if str(archive["attack"]) != repr(spec):
        return None
      bits = {}
      for name in _BITS:
        shape = tuple(archive[f"{name}_shape"])
        flat = np.unpackbits(archive[name], count=int(np.prod(shape)))
        bits[name] = flat.reshape(shape).astype(bool)
      sampled = {}
      if "clients" in archive:
        of = int(archive["of_clients"])
        sampled = {"clients": tuple(archive["clients"].tolist()), "of_clients": of}
      return AttackResult(
        **sampled,
        spec=spec,
        **bits,
        **{name: archive[name] for name in _NUMBERS},
        attacker=str(archive["attacker"]),
        label=str(archive["label"]),
        **{name: archive[name] for name in _LABELS if name in archive},
      )
  except FileNotFoundError:
    return None
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, sums.Damaged):
    warnings.warn(f"{path} is damaged: its attack is made again", Notice, stacklevel=2)
    return None
