"""Attacks a finished run, or a model's file, again: no training.

python -m experiments.attack RUN_DIR [--suite=strong] [--clients_use=received|trained]
python -m experiments.attack RUN_DIR --attackers=averaging --attack=apgd:loss=dlr
python -m experiments.attack WEIGHTS.npz --dataset=... [--model=NAME] [FLAGS of experiments.train]
python -m experiments.attack MODEL.keras --dataset=... [FLAGS of experiments.train]

--suite        paper: FGSM and PGD as published; standard; or strong (the default): all attackers,
               the worst of them image by image
--attackers    some of the suite's attackers alone, with a number of theirs where they have one, as
               in colluding_mean:5, averaging:8 (rounds) or imitation:10; and black_box_labels,
               colluding_imitation, imitation_all_images, which no suite has
--attack       an attack for them in the place of the suite's, NAME or NAME:field=value,...; may be
               given again. NAME is fgsm, pgd, mi_fgsm, ni_fgsm, di_fgsm, vmi_fgsm, apgd, square or
               art:CLASS of the Adversarial Robustness Toolbox; a field is steps, step (in shares of
               eps), random_start, restarts, norm (linf, l2), loss (cross_entropy, margin, dlr),
               target (runner_up, least_likely), keep (last, worst), eps (sizes, joined by
               +), or an option of the attack. Without --attackers it goes through the own copy
--clients_use  received: the copies as they came; trained: after a round of local training
--attack_eps   sizes in pixels of [0, 1]; 0.012,0.03 by default
--attack_images  how many images; under strong 100 by default
--data_dir, --cache_dir, --init_from, --metadata  where what a run was made of lies now
--out          folder of the results of a file; by default below attacks/, by its name and content,
               and by the images and clients

The results of a run go into its folder, below attacks/, and into its report. Ctrl-C stops; the same
command goes on attack by attack.
"""

import pathlib
import sys
from collections.abc import Sequence

from fedsafe_tff.commands import main
from fedsafe_tff.errors import UserError

_OWN = {
  "suite": "strong", "clients_use": "received", "attack_eps": "0.012,0.03", "attack_images": "0",
  "out": "", "attackers": None,
}  # fmt: skip
# Where what a run was made of lies now.
MOVED = ("data_dir", "cache_dir", "init_from", "metadata")


def attack(arguments: Sequence[str]) -> int:
  """Attacks and prints the table; returns the exit code."""
  if any(argument in ("--help", "-h") for argument in arguments):
    print(__doc__)
    return 0
  if not arguments or arguments[0].startswith("-"):
    raise UserError("give a run folder or a model's file: python -m experiments.attack RUN_DIR")
  target = pathlib.Path(arguments[0]).expanduser()
  attacks = [a.removeprefix("--attack=") for a in arguments[1:] if a.startswith("--attack=")]
  own, rest = _split([a for a in arguments[1:] if not a.startswith("--attack=")])
  if own["suite"] not in ("paper", "standard", "strong"):
    raise UserError(f"--suite={own['suite']} is unknown: choose paper, standard or strong")
  if own["clients_use"] not in ("received", "trained"):
    raise UserError(f"--clients_use={own['clients_use']}: choose received or trained")
  settings = {
    "evaluation": own["suite"],
    "attack_eps": sizes_of(own["attack_eps"]),
    "attack_images": count_of(own["attack_images"]),
  }
  if target.is_file():
    return _file(target, own, settings, rest, attacks)
  return _run(target, own, settings, rest, attacks)


def _chosen(own: dict, attacks: Sequence[str]):
  """The suite that somebody chose; None where it is one that has a name."""
  if not attacks and own["attackers"] is None:
    return None
  if own["suite"] != "strong":
    raise UserError("--attackers and --attack choose of --suite=strong: leave --suite away")
  from fedsafe_tff.evaluation.chosen import chosen

  return chosen([] if own["attackers"] is None else own["attackers"].split(","), attacks)


def _run(
  target: pathlib.Path, own: dict, settings: dict, rest: Sequence[str], attacks: Sequence[str]
) -> int:
  moved = {}
  for argument in rest:
    name, equals, value = argument.lstrip("-").partition("=")
    if name not in MOVED or not equals:
      raise UserError(f"{argument!r} is not for a run folder, whose settings are known: see --help")
    moved[name] = value
  if own["out"]:
    raise UserError("--out is for a model's file: the results of a run go into its folder")
  from fedsafe_tff.runs.report.run_folder import RunFolder

  folder = RunFolder.read(target)
  check(settings)
  suite = _chosen(own, attacks)
  from fedsafe_tff.runs import attack as attack_lib
  from fedsafe_tff.runs.report.build import build
  from fedsafe_tff.runs.report.progress import Progress

  with Progress() as progress:
    out = attack_lib.attack_run(
      target, settings, clients_use=own["clients_use"], suite=suite, log=progress.note, **moved
    )
  _tell(f"{folder.title()}: {out.name}", out)
  print(f"report: {build(target)}")
  return 0


def _file(
  target: pathlib.Path, own: dict, settings: dict, rest: Sequence[str], attacks: Sequence[str]
) -> int:
  if own["clients_use"] == "trained":
    raise UserError("--clients_use=trained is for a run folder, whose clients have their copies")
  if any(argument.lstrip("-").split("=")[0] == "evaluation" for argument in rest):
    raise UserError("--evaluation is for training: write --suite here")
  from fedsafe_tff.runs.flags import command_line

  config = command_line.parse(rest, __doc__)
  check(settings)
  suite = _chosen(own, attacks)
  from fedsafe_tff.runs import attack as attack_lib
  from fedsafe_tff.runs.report.progress import Progress

  changed = attack_lib.changed(config, settings)
  out = pathlib.Path(own["out"]).expanduser()
  if not own["out"]:  # every run has a global.npz, and each question results of its own
    name = f"{target.stem}-{attack_lib.digest_of(target, changed)}"
    out = pathlib.Path("attacks") / name / attack_lib.folder_of(changed, suite)
    if settings.get("attack_images"):
      out = out.with_name(f"{out.name}-{settings['attack_images']}-images")
  with Progress() as progress:
    attack_lib.attack_file(target, changed, out, progress.note, suite)
  _tell(target.name, out)
  print(f"results: {out}")
  return 0


def _tell(title: str, out: pathlib.Path) -> None:
  import json

  from fedsafe_tff.runs.report.table import text_of

  evaluation = json.loads((out / "evaluation.json").read_text())
  print(text_of(title, evaluation, terminal=sys.stdout.isatty()))


def check(settings: dict) -> None:
  """Refuses sizes out of range before anything is read."""
  from fedsafe_tff.runs.config import Config

  Config(**settings)


def _split(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
  own, rest = dict(_OWN), []
  for argument in arguments:
    name, equals, value = argument.partition("=")
    if name.startswith("--") and name[2:] in own:
      if not equals:
        raise UserError(f"{argument} has no value: write {name}=VALUE")
      own[name[2:]] = value
    else:
      rest.append(argument)
  return own, rest


def sizes_of(text: str) -> tuple[float, ...]:
  """Sizes that --attack_eps names."""
  from fedsafe_tff.runs.flags.define import FloatList

  try:
    return FloatList().parse(text)
  except ValueError as error:
    raise UserError(f"--attack_eps={text}: {error}") from None


def count_of(text: str, name: str = "attack_images") -> int:
  """The number that a flag has."""
  try:
    return int(text)
  except ValueError:
    raise UserError(f"--{name}={text} is no whole number") from None


if __name__ == "__main__":
  main.run(attack)
