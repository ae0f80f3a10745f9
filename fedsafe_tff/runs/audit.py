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

from fedsafe_tff import keys, versions
from fedsafe_tff.attackers.holding import digest
from fedsafe_tff.data.files import locked
from fedsafe_tff.data.seeds import generator
from fedsafe_tff.models.functional import FunctionalModel
from fedsafe_tff.privacy.audit import canaries, inversion, lira, one_run
from fedsafe_tff.privacy.dp_sgd.gradient import DpSgd
from fedsafe_tff.runs import defenses, membership, private, run_dir, schedule
from fedsafe_tff.runs.load import LoadedRun, load_run
from fedsafe_tff.runs.noise import Noise
from fedsafe_tff.runs.report import audit_page, privacy_section, render
from fedsafe_tff.training.gradients import follow, memory_of
from fedsafe_tff.training.steps import clip_by_norm

FOLDER = "audit"
_BATCH = 4  # images of the batch that is inverted, beside the single one
_PRESUMED_CLIP = 1.0  # of an attacker on a training that clips nothing
_VERSION = 3  # of what an audit does
Log = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Effort:
  """How much an audit does.

  Attributes:
    canaries: Of the one-run audit; more of them can show more.
    steps: At most so many of a client's steps are watched; what they show holds for all.
    inversion_steps: Of gradient inversion.
    restarts: Of gradient inversion.
    shadows: Shadow models of LiRA, an even number, each a whole training; 0 goes without.
  """

  canaries: int = 200
  steps: int = 400
  inversion_steps: int = 400
  restarts: int = 2
  shadows: int = 0


def audit_run(
  path: str | pathlib.Path,
  effort: Effort = Effort(),
  log: Log = print,
  *,
  reuse: bool = False,
  **moved: Any,
) -> dict[str, Any]:
  """Audits a run and writes what came out; returns it.

  Args:
    path: The run folder.
    effort: How much to do.
    log: Is told what is done.
    reuse: Whether an audit of the same run and effort that lies in the folder is taken for it.
    **moved: Settings of where things lie now, such as `data_dir`.

  Raises:
    UserError: As `load_run`, there are too few images, or shadow models can't be trained.
    Stopped: Somebody asked the program to stop while it trained a shadow model.
  """
  if effort.shadows:
    lira.check_count(effort.shadows)
  run = load_run(path, **moved)
  if not run.folder.privacy:
    log(privacy_section.OLD)
  out, made_for = run.folder.path / FOLDER, _made_for(run, effort)
  before = run.folder.audit
  if reuse and before.get("made_for") == made_for and membership.Scores.load(out) is not None:
    log(f"{run.folder.path} was audited with this effort: taken from {out}")
    return before
  taken = f"another process works in {run.folder.path}: wait for its end"
  with locked(run.folder.path / run_dir.LOCK, taken):
    log("membership inference")
    found, scores = membership.infer(run, effort.shadows, out, log)
    log("gradient inversion")
    found["inversion"], pictures = _inversion(run, effort)
    log(f"one-run audit with {effort.canaries} canaries")
    found["one_run"] = _one_run(run, effort)
    found["made_for"] = made_for
    _draw(pictures, out / "inversion.png")
    scores.save(out)
    run_dir.write_json(out / "audit.json", run_dir.without_nan(found))
    render.write_text(out / "audit.md", audit_page.text_of(found))
  return found


def _made_for(run: LoadedRun, effort: Effort) -> dict[str, Any]:
  """What an audit depends on, as JSON has it."""
  models = [digest(weights).hex() for weights in (run.weights, *run.copies[:1])]
  return {
    "version": _VERSION,
    "effort": dataclasses.asdict(effort),
    "models": models,
    "identity": run.prepared.inputs.identity,
    "drawn_by": versions.drawn_by({"result_versions": versions.current()}),
    "settings": run.config.without_attacks().identity(),
    "rounds": run.rounds,
  }


def _mechanism(run: LoadedRun):
  """The run's DP-SGD; None where it has none."""
  config, prepared = run.config, run.prepared
  if config.privacy != "dp_sgd":
    return None
  sizes = [len(rows) for rows in prepared.clients]
  seed = run.folder.manifest.get("seeds", {}).get("noise_seed")
  return private.mechanism(config, sizes, prepared.largest_patient, seed)


def _gradient(run: LoadedRun) -> tuple[DpSgd, float, float]:
  """What the one-run audit follows, its sampling rate, and the norm that an attacker presumes.

  Without DP-SGD it is cross-entropy on images or their PGD examples, whatever the run's loss is.
  """
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


def _first_step(run: LoadedRun) -> Callable[..., Sequence[tf.Tensor]]:
  """(weights, images, labels, key) to the gradient of a run's first step, as its clients take it.

  Its loss, perturbation size and clipping are those of the first round. Weight decay is left out:
  the server knows the weights and takes it off.
  """
  config = run.config
  gradient = _gradient(run)[0] if config.privacy == "dp_sgd" else defenses.gradient(config)
  eps = getattr(gradient, "attack_eps", 0.0)  # a user's own gradient follows no schedule
  if config.trains_robustly:
    eps = schedule.local_attack_eps(config, 0)

  def step(weights, x, y, key):
    how = {"key": key, "step": tf.constant(0), "attack_eps": tf.constant(eps, tf.float32)}
    made = follow(gradient, run.model, weights, x, y, memory_of(gradient), **how)[0][2]
    return clip_by_norm(made, config.gradient_clip)[0]

  return step


def _inversion(run: LoadedRun, effort: Effort) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
  """What the server makes of a client's first step: one image, and a small batch."""
  step = _first_step(run)
  key = keys.root(run.config.seed)
  weights = run.model.init(keys.fold(key, keys.INIT))
  images, labels = run.client_images(0)
  controls, _ = run.images("evaluation")
  rng = generator(run.config.seed, "inversion")
  noise = Noise.of_data(run.config, run.prepared)
  sigma = 0.0 if run.config.privacy == "dp_sgd" else noise.uplink_sigma
  found, pictures = [], []
  for count in (1, _BATCH):
    if len(images) < count or len(controls) < count:
      continue
    rows = rng.choice(len(images), count, replace=False)
    other = rng.choice(len(controls), count, replace=False)
    truth, control = images[rows] / np.float32(255), controls[other] / np.float32(255)
    own = keys.fold(key, keys.ATTACK, count)
    observed = step(weights, tf.constant(truth), tf.constant(labels[rows], tf.int32), own)
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
  """A client's training, with canaries, watched step by step; by the run's gradient if private.

  A guarantee holds for any model. In the run's own, convolutions share their weights among pixels,
  which hides canaries from the attacker, not from the guarantee: so a linear one is trained.
  """
  mechanism = _mechanism(run)
  gradient, rate, clip_norm = _gradient(run)
  config = run.config
  images, labels = run.client_images(0)
  shape = tuple(run.model.input_shape)
  count = min(effort.canaries, int(np.prod(shape)))
  # Private clients take as many steps each, those of a client of mean size.
  sizes = list(map(len, run.prepared.clients)) if config.steps_privately else [len(images)]
  steps = run.rounds * private.poisson_steps(config, sizes)
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
  stated = None if mechanism is None else mechanism.statement(run.rounds).epsilon
  return {
    **dataclasses.asdict(bound),
    "stated_epsilon": stated,
    "refuted": None if stated is None else bound.refutes(stated),
    "sentence": bound.sentence(stated),
    "watched_steps": watched,
    "steps": steps,
    "adaptive_clip": mechanism is not None and config.dp_clip == "adaptive",
  }


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
