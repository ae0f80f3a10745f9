"""Attacks on what a finished run gives away: membership, inversion, and a bound of its epsilon.

Results go into the folder `audit` of the run: `audit.json`, `audit.md` and the picture of what
inversion recovered.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fedsafe_tff import keys
from fedsafe_tff.data.seeds import generator
from fedsafe_tff.evaluation.accuracy import Scorer
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.privacy.audit import canaries, inversion, membership, one_run
from fedsafe_tff.privacy.dp_sgd.gradient import DpSgd
from fedsafe_tff.runs import private, run_dir
from fedsafe_tff.runs.load import LoadedRun, load_run
from fedsafe_tff.runs.noise import Noise
from fedsafe_tff.runs.report import privacy_section, render

FOLDER = "audit"
_BATCH = 4  # images of the batch that is inverted, beside the single one
_PRESUMED_CLIP = 1.0  # of an attacker on a training that clips nothing
Log = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Effort:
  """How much an audit does.

  Attributes:
    canaries: Of the one-run audit; more of them can show more.
    steps: At most so many of a client's steps are watched; what they show holds for all.
    inversion_steps: Of gradient inversion.
    restarts: Of gradient inversion.
  """

  canaries: int = 200
  steps: int = 400
  inversion_steps: int = 400
  restarts: int = 2


def audit_run(
  path: str | pathlib.Path, effort: Effort = Effort(), log: Log = print, **moved: Any
) -> dict[str, Any]:
  """Audits a run and writes what came out; returns it.

  Args:
    path: The run folder.
    effort: How much to do.
    log: Is told what is done.
    **moved: Settings of where things lie now, such as `data_dir`.

  Raises:
    UserError: As `load_run`, or there are too few images.
  """
  run = load_run(path, **moved)
  if not run.folder.privacy:
    log(privacy_section.OLD)
  log("membership inference")
  found: dict[str, Any] = {"membership": _membership(run)}
  log("gradient inversion")
  found["inversion"], pictures = _inversion(run, effort)
  log(f"one-run audit with {effort.canaries} canaries")
  found["one_run"] = _one_run(run, effort)
  out = run.folder.path / FOLDER
  _draw(pictures, out / "inversion.png")
  run_dir.write_json(out / "audit.json", run_dir.without_nan(found))
  render.write_text(out / "audit.md", text_of(found))
  return found


def _membership(run: LoadedRun) -> list[dict[str, Any]]:
  """Who tells the clients' images from those that nobody trained on, by model."""
  scorer = Scorer(run.model, 64)
  rows = np.concatenate(run.prepared.clients)
  members = run.prepared.image_set.images[rows], run.prepared.image_set.labels[rows]
  others = tuple(np.concatenate(p) for p in zip(*map(run.images, ("evaluation", "validation"))))
  models = {"global model": run.weights}
  if any((a != b).any() for a, b in zip(run.copies[0], run.weights)):
    models["a client's copy"] = run.copies[0]
  found = []
  for name, weights in models.items():
    sides = [(scorer.logits(weights, x), np.asarray(y)) for x, y in (members, others)]
    made = membership.membership_inference(*sides, seed=run.config.seed)
    found += [{"model": name, **dataclasses.asdict(each)} for each in made]
  return found


def _mechanism(run: LoadedRun):
  """The run's DP-SGD; None where it has none."""
  config, prepared = run.config, run.prepared
  if config.privacy != "dp_sgd":
    return None
  sizes = [len(rows) for rows in prepared.clients]
  seed = run.folder.manifest.get("seeds", {}).get("noise_seed")
  return private.mechanism(config, sizes, prepared.largest_patient, seed)


def _gradient(run: LoadedRun) -> tuple[DpSgd, float, float]:
  """The run's local gradient, its sampling rate, and the norm that an attacker presumes."""
  mechanism = _mechanism(run)
  if mechanism is not None:
    # A norm that adapts begins at this one: what the watched steps show is shown of it as well.
    gradient = dataclasses.replace(mechanism.gradient, adaptive=None)
    return gradient, mechanism.sampling_rate, run.config.clip_norm
  config = run.config
  robust = config.trains_robustly
  plain = DpSgd(
    clip_norm=float("inf"),
    noise_multiplier=0.0,
    batch_size=config.batch_size,
    attack_eps=config.local_attack_eps if robust else 0.0,
    attack_steps=config.local_attack_steps if robust else 0,
  )
  least = min(len(rows) for rows in run.prepared.clients)
  return plain, min(1.0, config.batch_size / least), _PRESUMED_CLIP


def _inversion(run: LoadedRun, effort: Effort) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
  """What the server makes of a client's first step: one image, and a small batch."""
  gradient, _, _ = _gradient(run)
  key = keys.root(run.config.seed)
  weights = run.model.init(keys.fold(key, keys.INIT))
  images, labels = run.client_images(0)
  controls, _ = run.images("evaluation")
  rng = generator(run.config.seed, "inversion")
  noise = Noise.from_config(
    run.config, run.prepared.min_images,
    client_images=[len(rows) for rows in run.prepared.clients],
    largest_patient=run.prepared.largest_patient,
  )  # fmt: skip
  sigma = 0.0 if run.config.privacy == "dp_sgd" else noise.uplink_sigma
  found, pictures = [], []
  for count in (1, _BATCH):
    if len(images) < count or len(controls) < count:
      continue
    rows = rng.choice(len(images), count, replace=False)
    other = rng.choice(len(controls), count, replace=False)
    truth, control = images[rows] / np.float32(255), controls[other] / np.float32(255)
    own = keys.fold(key, keys.ATTACK, count)
    observed = gradient(
      run.model, weights, tf.constant(truth), tf.constant(labels[rows], tf.int32), key=own, step=0
    )[2]
    if sigma:  # on the upload w - rate g, so on g it is sigma / rate
      observed = [
        g + tf.constant(rng.normal(0.0, sigma / run.config.learning_rate, g.shape), g.dtype)
        for g in observed
      ]
    made = inversion.invert(
      run.model, weights, observed, labels[rows].tolist(),
      steps=effort.inversion_steps, restarts=effort.restarts, key=own,
    )  # fmt: skip
    near = inversion.similarity(made.images, truth, control)
    found.append({"images": count, "mismatch": made.mismatch, **dataclasses.asdict(near)})
    pictures += [truth, made.images]
  return found, pictures


def _linear(shape: tuple[int, int, int], classes: int, scale: float) -> FunctionalModel:
  """The easiest model for an attacker: every pixel has weights of its own.

  Args:
    shape: Of an image.
    classes: Number of logits.
    scale: Of the pixels, so large that a canary's gradient is clipped.
  """
  pixels = int(np.prod(shape))

  def apply(weights, images, key, training):
    del key, training
    return scale * tf.reshape(images, [-1, pixels]) @ weights[0]

  return FunctionalModel(
    "linear", shape, classes, lambda key: (tf.zeros([pixels, classes]),), apply, ("kernel",)
  )


def _one_run(run: LoadedRun, effort: Effort) -> dict[str, Any]:
  """A client's training by the run's gradient, with canaries, watched step by step.

  A guarantee holds for any model. In the run's own, convolutions share their weights among pixels,
  which hides canaries from the attacker, not from the guarantee: so a linear one is trained.
  """
  mechanism = _mechanism(run)
  gradient, rate, clip_norm = _gradient(run)
  config = run.config
  images, labels = run.client_images(0)
  shape = tuple(run.model.input_shape)
  count = min(effort.canaries, int(np.prod(shape)))
  steps = config.rounds * private.poisson_steps(config, [len(images)])
  watched = min(effort.steps, steps)
  included = one_run.coins(count, config.seed)
  model = _linear(shape, run.model.num_classes, 4.0 * clip_norm)
  key = keys.root(config.seed)
  scores = canaries.watched_training(
    model,
    model.init(key),
    tf.cast(images, tf.float32) / 255.0,
    labels,
    canaries.pixel_canaries(shape, count, run.model.num_classes, config.seed),
    included,
    gradient,
    rate=rate,
    steps=watched,
    learning_rate=config.learning_rate / (4.0 * clip_norm) ** 2,
    clip_norm=clip_norm,
    key=key,
  )
  bound = one_run.audit(scores, included, config.uplink_delta)
  stated = None if mechanism is None else mechanism.statement(config.rounds).epsilon
  return {
    **dataclasses.asdict(bound),
    "stated_epsilon": stated,
    "refuted": None if stated is None else bound.refutes(stated),
    "sentence": bound.sentence(stated),
    "watched_steps": watched,
    "steps": steps,
  }


def text_of(found: dict[str, Any]) -> str:
  """An audit as Markdown."""
  names = ["model", "attack", "AUC (95 %)", "advantage", "found at 1 % false"]
  rows = [
    [
      each["model"], each["attack"], f"{each['auc']:.3f} ({each['low']:.3f} to {each['high']:.3f})",
      f"{each['advantage']:.3f}", f"{each['true_positives']:.3f}",
    ]
    for each in found["membership"]
  ]  # fmt: skip
  inverted = [
    [
      str(each["images"]), f"{each['ssim']:.2f}", f"{each['control']:.2f}", f"{each['psnr']:.1f}",
      f"{each['correlation']:.2f}",
    ]
    for each in found["inversion"]
  ]  # fmt: skip
  bound = found["one_run"]
  parts = [
    "# Privacy audit",
    "## Who tells the clients' images from others\n\nAn AUC of 0.5 is chance. The first row of a "
    "model is its best attack, chosen on the images that it is judged on.\n\n"
    + render.markdown(names, rows),
    "## What the server makes of a client's first step\n\nSimilarity (SSIM) to the true images: "
    "1 is the same; *another* is what a picture that nobody recovered gets. The rows of "
    "inversion.png are the true images and, below each, the recovered.\n\n"
    + render.markdown(["images", "SSIM", "another", "PSNR (dB)", "correlation"], inverted),
    "## A lower bound of epsilon from canaries\n\n"
    + bound["sentence"]
    + f"\n\nOf a linear model, trained by the run's gradient and sampling: the easiest for the "
    f"attacker, who sees every released gradient of {bound['watched_steps']} of a client's "
    f"{bound['steps']} steps."
    + ("" if bound["stated_epsilon"] is not None else " The run states no epsilon of local steps."),
  ]
  return "\n\n".join(parts) + "\n"


def _draw(pictures: Sequence[np.ndarray], path: pathlib.Path) -> None:
  from fedsafe_tff.runs.report import style

  if not pictures:
    return
  columns = max(map(len, pictures))
  figure = style.new_figure(1.6 * columns, 1.6 * len(pictures))
  axes = style.subplots(figure, len(pictures), columns)
  for row, batch in zip(axes, pictures):
    for place, cell in enumerate(row):
      cell.axis("off")
      if place < len(batch):
        image = batch[place]
        cell.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, "gray", vmin=0, vmax=1)
  style.save(figure, path)
