"""Certified accuracy of a finished run by randomised smoothing (Cohen et al., arXiv:1902.02918).

What is certified is the smoothed classifier, which answers by a vote over the model's answers under
Gaussian noise: it withstands every change below a radius, whatever the attack. Results go into the
folder `certificates` of the run, sigma by sigma: a session that is stopped goes on.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from fedsafe_tff.attackers.holding import digest
from fedsafe_tff.data.files import locked
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.evaluation.smoothing import ABSTAIN, Certificates, Smoother, linf_radius
from fedsafe_tff.evaluation.statistics import wilson_ends
from fedsafe_tff.runs import run_dir, targets, trials
from fedsafe_tff.runs.attackers import evaluation_key
from fedsafe_tff.runs.load import LoadedRun, load_run
from fedsafe_tff.runs.report import certificate_plot, certificates_page, render

RADII = (0.0, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0)
FOLDER = certificates_page.FOLDER
Log = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Asked:
  """What is certified.

  Attributes:
    sigmas: Of the noise on the images, in pixels of [0, 1].
    images: Evaluation images; 0 for all.
    n0: Draws that choose an image's class.
    n: Draws that bound its chance.
    alpha: Chance of a wrong certificate, per image.

  Raises:
    UserError: A value out of range.
  """

  sigmas: tuple[float, ...] = (0.02, 0.05, 0.1)
  images: int = 100
  n0: int = 100
  n: int = 1000
  alpha: float = 0.001

  def __post_init__(self):
    if not self.sigmas or not all(0 < sigma < float("inf") for sigma in self.sigmas):
      raise UserError(f"--sigma must be numbers above 0, not {self.sigmas}")
    if self.images < 0 or min(self.n0, self.n) < 1 or not 0 < self.alpha < 1:
      raise UserError(
        "--images must be 0 or more, --n0 and --n at least 1 and --alpha in (0, 1), not "
        f"{self.images}, {self.n0}, {self.n} and {self.alpha}"
      )


def certify_run(
  folder: str | pathlib.Path, asked: Asked, *, client: int | None = None, log: Log, **moved: str
) -> dict[str, Any]:
  """Certifies the global model, or a client's copy, of a run.

  Args:
    folder: The run folder.
    asked: What is certified.
    client: Whose copy; None for the global model.
    log: Is told how far it is.
    **moved: Settings of where things lie now, such as `data_dir`.

  Returns:
    The entry of this model in `certificates.json`.

  Raises:
    UserError: It is no run folder, has no models or no such client, or its images have changed.
  """
  loaded = load_run(folder, **moved)
  if client is not None and not 0 <= client < len(loaded.copies):
    raise UserError(f"--client={client}: the clients are 0 to {len(loaded.copies) - 1}")
  weights = loaded.weights if client is None else loaded.copies[client]
  # Not under a suite, which has its own number of images.
  config = dataclasses.replace(loaded.config.without_attacks(), attack_images=asked.images)
  rows = targets.attacked_rows(config, loaded.prepared)
  images, labels = loaded.prepared.image_set.images[rows], loaded.prepared.image_set.labels[rows]
  out = loaded.folder.path / FOLDER
  who = "global" if client is None else f"client_{client}"
  with locked(loaded.folder.path / run_dir.LOCK, f"another process works in {folder}: wait"):
    settings = {"n0": asked.n0, "n": asked.n, "alpha": asked.alpha}
    known = trials.identity([weights], rows, settings=settings)
    name = f"{who}_{len(rows)}_images_{asked.n0}_{asked.n}_{asked.alpha!r}"
    kept = trials.Kept(out / "by_sigma" / name, known)
    found = []
    # With those of other sigmas that were asked for before.
    before = [float(file.stem) for file in kept.folder.glob("[0-9]*.json")]
    for sigma in sorted({*asked.sigmas, *before}):

      def make(sigma=sigma):
        return _certify(loaded, weights, images, sigma, asked, log)

      found.append(_certificates(kept.remember(repr(sigma), make), sigma, asked))
      log(_line(found[-1], labels))
    scorer = Scorer(loaded.model, loaded.config.evaluation_batch_size)
    clean = float((scorer.predict(weights, images) == labels).mean())
    made = {
      "name": name,
      "model": "the global model" if client is None else f"client {client}'s copy",
      "digest": digest(weights).hex(),
      "images": len(rows),
      "clean_accuracy": clean,
      "n0": asked.n0,
      "n": asked.n,
      "alpha": asked.alpha,
      "input_shape": list(loaded.model.input_shape),
      "sigmas": [_summary(one, labels, loaded) for one in found],
    }
    render.write_csv(out / f"{name}.csv", _rows(found, rows, labels), summed=True)
    certificate_plot.write(out / f"{name}.png", made)
    run_dir.write_json(out / "certificates.json", {"models": [*_others(loaded, name), made]})
  return made


def _others(loaded: LoadedRun, name: str) -> list[dict[str, Any]]:
  """What was certified before of models that the run still has, less what has that name."""
  models = {digest(model).hex() for model in (loaded.weights, *loaded.copies)}
  stored = certificates_page.stored(loaded.folder.path, damaged=[])
  return [one for one in stored if one["name"] != name and one["digest"] in models]


def _certify(
  loaded: LoadedRun, weights, images: np.ndarray, sigma: float, asked: Asked, log: Log
) -> dict[str, Any]:
  """The certificates of one sigma, as JSON has them."""
  smoother = Smoother(loaded.model, sigma)
  made = smoother.certify(
    weights,
    images,
    key=evaluation_key(loaded.config),
    n0=asked.n0,
    n=asked.n,
    alpha=asked.alpha,
    progress=lambda done, of: log(f"sigma {sigma:g}: image {done} of {of}"),
  )
  return {"predicted": made.predicted.tolist(), "radius": made.radius.tolist()}


def _certificates(stored: dict[str, Any], sigma: float, asked: Asked) -> Certificates:
  return Certificates(
    predicted=np.array(stored["predicted"], np.int32),
    radius=np.array(stored["radius"], float),
    sigma=sigma,
    alpha=asked.alpha,
    samples=asked.n0 + asked.n,
  )


def _summary(one: Certificates, labels: np.ndarray, loaded: LoadedRun) -> dict[str, Any]:
  # Several images of one patient are no independent ones.
  alone = loaded.prepared.image_set.patients is None
  radii = [radius for radius in RADII if radius <= one.radius.max()]
  accuracy = one.certified_accuracy(labels, radii)
  return {
    "sigma": one.sigma,
    "abstained": float((one.predicted == ABSTAIN).mean()),
    "radii": [
      {
        "l2": radius,
        "linf": float(linf_radius(radius, loaded.model.input_shape)),
        "certified_accuracy": float(share),
        "interval": list(wilson_ends(float(share), len(labels))) if alone else None,
      }
      for radius, share in zip(radii, accuracy)
    ],
  }


def _rows(found: list[Certificates], rows: np.ndarray, labels: np.ndarray) -> list[dict[str, Any]]:
  return [
    {
      "sigma": one.sigma,
      "image": int(image),
      "label": int(label),
      "predicted": None if predicted == ABSTAIN else int(predicted),
      "radius_l2": float(radius),
    }
    for one in found
    for image, label, predicted, radius in zip(
      rows, labels, one.predicted, one.radius, strict=True
    )
  ]


def _line(one: Certificates, labels: np.ndarray) -> str:
  right = one.certified_accuracy(labels, [0.0])[0]
  sure = one.radius[one.predicted == labels]
  radius = float(np.median(sure)) if len(sure) else 0.0
  return f"sigma {one.sigma:g}: smoothed accuracy {right:.3f}, median L2 radius {radius:.3f}"
