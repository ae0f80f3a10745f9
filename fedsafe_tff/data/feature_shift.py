"""Makes the clients' images differ as scanners and stains do; a simulation.

Each client has one change, the same for all of its training images; the server's, validation and
evaluation images stay as they are. With N clients, client k has position t_k from -1 to 1 in equal
steps, in an order drawn from the seed.

  brightness  x + 0.15 t
  contrast    mean + (x - mean) 1.5^t, mean of the image
  stain       optical density -log(x) of each colour times 1.3^u, with u in [-1, 1] drawn per client
              and colour
"""

import numpy as np

from fedsafe_tff.data import seeds
from fedsafe_tff.errors import UserError

KINDS = ("none", "brightness", "contrast", "stain")
_BRIGHTNESS, _CONTRAST, _STAIN = 0.15, 1.5, 1.3
_ROWS = 1024


def shift(images: np.ndarray, kind: str, client: int, num_clients: int, seed: int) -> np.ndarray:
  """The images of a client, changed.

  Args:
    images: uint8 [n, h, w, c].
    kind: One of `KINDS`.
    client: k, from 0.
    num_clients: N.
    seed: Of the draw.

  Returns:
    uint8 [n, h, w, c]; `images` itself under "none".

  Raises:
    UserError: "stain" on gray images, or an unknown kind.
  """
  if kind == "none":
    return images
  if kind not in KINDS:
    raise UserError(f"--feature_shift={kind} is unknown: choose one of {', '.join(KINDS)}")
  channels = images.shape[-1]
  if kind == "stain" and channels != 3:
    raise UserError("--feature_shift=stain needs colour images, and these are gray")
  rng = seeds.generator(seed, f"feature_shift/{kind}")
  places = np.linspace(-1, 1, num_clients) if num_clients > 1 else np.ones(1)
  place = rng.permutation(places)[client]
  gains = _STAIN ** rng.uniform(-1, 1, (num_clients, channels))[client]
  made = np.empty_like(images)
  for start in range(0, len(images), _ROWS):
    x = images[start : start + _ROWS].astype(np.float64) / 255.0
    if kind == "brightness":
      x = x + _BRIGHTNESS * place
    elif kind == "contrast":
      mean = x.mean((1, 2, 3), keepdims=True)
      x = mean + (x - mean) * _CONTRAST**place
    else:
      x = np.maximum(x, 1 / 255.0) ** gains
    made[start : start + _ROWS] = np.floor(np.clip(x, 0, 1) * 255.0 + 0.5)
  return made
