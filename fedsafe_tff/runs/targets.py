"""What is attacked, and by what: images, the attacks of flags or a suite, examples to show."""

import pathlib
from collections.abc import Sequence

import numpy as np

from fedsafe_tff.attacks.registry import ATTACKS
from fedsafe_tff.attacks.spec import AttackSpec
from fedsafe_tff.data import seeds
from fedsafe_tff.data.files import write_arrays
from fedsafe_tff.errors import UserError
from fedsafe_tff.evaluation.examples import triptych
from fedsafe_tff.evaluation.suites import SUITES, Suite
from fedsafe_tff.runs import parts
from fedsafe_tff.runs.attackers import evaluation_key
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.prepare import Prepared

FIGURE1 = AttackSpec("fgsm", 0.03, steps=1)  # of the paper
_EXAMPLE_CANDIDATES = 64

_ATTACK_SETTINGS = {
  "steps": "attack_steps",
  "step_size": "attack_step_size",
  "random_start": "attack_random_start",
  "restarts": "attack_restarts",
}


def attack_specs(config: Config) -> list[AttackSpec]:
  """Every attack of the paper's evaluation at every size, in the order of the flags.

  Raises:
    UserError: A setting that none of the attacks takes, or an attack that can't be had so.
  """
  names = config.attacks.split(",")
  fields = {name: ATTACKS[name].fields for name in names}
  for field, flag in _ATTACK_SETTINGS.items():
    if flag in parts.changed(config) and not any(field in fields[name] for name in names):
      raise UserError(f"--{flag} has no effect: none of --attacks={config.attacks} takes it")
  specs = []
  for name in names:
    given = {f: getattr(config, flag) for f, flag in _ATTACK_SETTINGS.items() if f in fields[name]}
    if name == "fgsm":
      given = {"steps": 1}  # under which its results are stored
    for eps in config.attack_eps:
      specs.append(AttackSpec(name, eps, labels=config.attack_labels, **given))
  return specs


def attacked_rows(config: Config, prepared: Prepared) -> np.ndarray:
  """Indices of the evaluation images that are attacked."""
  rows = prepared.parts.evaluation
  suite = suite_of(config)
  most = config.attack_images or (suite.images if suite else 0)
  if 0 < most < len(rows):
    rng = seeds.generator(config.seed, "evaluation/attacked")
    rows = rows[np.sort(rng.permutation(len(rows))[:most])]
  return rows


def attacked_images(config: Config, prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
  """The evaluation images that are attacked, with their labels."""
  rows = attacked_rows(config, prepared)
  return prepared.image_set.images[rows], prepared.image_set.labels[rows]


def suite_of(config: Config) -> Suite | None:
  """The suite that is asked for; None for the paper's attacks, which flags describe."""
  return SUITES.get(config.evaluation)


def example_spec(config: Config, num_classes: int) -> AttackSpec:
  """The attack whose images the report shows: one that was asked for, and made."""
  if config.evaluation == "paper" and "fgsm" in config.attacks.split(","):
    return FIGURE1
  eps = min(config.attack_eps, key=lambda size: abs(size - FIGURE1.eps))
  if config.evaluation == "paper":
    return next(spec for spec in attack_specs(config) if spec.eps == eps)
  return SUITES["standard"].of_classes(num_classes).trials[0].spec(eps, config.attack_labels)


def write_examples(
  path: pathlib.Path,
  config: Config,
  prepared: Prepared,
  copy: Sequence[np.ndarray],
  spec: AttackSpec = FIGURE1,
) -> None:
  """Writes examples of an attack, by default Figure 1's FGSM, on one client's copy: an `.npz`."""
  images, labels = attacked_images(config, prepared)
  some = slice(0, _EXAMPLE_CANDIDATES)
  if len(labels) > _EXAMPLE_CANDIDATES:
    # Files come class by class: take from all over, and the classes in turn.
    some = np.linspace(0, len(labels) - 1, _EXAMPLE_CANDIDATES).astype(int)
    some = some.reshape(4, -1).T.ravel()
  examples = triptych(
    prepared.model, copy, images[some], labels[some], spec, evaluation_key(config)
  )
  facts = {
    "eps": np.float32(spec.eps),
    "attack": np.array(spec.name),
    "class_names": np.array(prepared.image_set.class_names),
  }
  write_arrays(path, examples | facts)
