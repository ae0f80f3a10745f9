"""Sigma and epsilon by every reading, without training.

python -m experiments.privacy [--target_epsilon=8 | --noise_multiplier=1] [--flag=value ...]

With a target, every mechanism is solved for it over all rounds; the paper's formula takes it as its
nominal epsilon. With a noise multiplier (noise over the clipping norm; of `output` over twice it),
every mechanism is read at that. `epsilon` is what can be proved, `nominal eps` what a formula says.
"""

from collections.abc import Sequence

from absl import flags

from fedsafe_tff.commands import main
from fedsafe_tff.errors import UserError


def privacy(arguments: Sequence[str]) -> int:
  """Prints the answer; returns the exit code."""
  if any(argument in ("--help", "-h", "--helpfull") for argument in arguments):
    print(__doc__)
    print(_define().get_help())
    return 0
  values = _define()
  try:
    rest = values(["privacy", *arguments])[1:]
  except flags.Error as error:
    raise UserError(" ".join(str(error).split())) from None
  if rest:
    raise UserError(f"{rest[0]!r} is no flag: --help lists them")
  from fedsafe_tff.privacy import curve
  from fedsafe_tff.privacy.mechanisms.mechanism import PrivacySettings
  from fedsafe_tff.privacy.readings import COLUMNS, readings

  target, noise = values.target_epsilon, values.noise_multiplier
  if target is None and noise is None:
    target = 8.0
  settings = PrivacySettings(
    delta=values.delta,
    rounds=values.rounds,
    clip_norm=values.clip_norm,
    target_epsilon=target,
    noise_multiplier=noise,
    client_images=_sizes(values.client_images),
    clients_per_round=values.clients_per_round,
    batch_size=values.batch_size,
    local_steps=_steps(values),
    microbatch=values.microbatch,
    adaptive_clip=values.adaptive_clip,
    exposures=values.exposures,
    level="patient" if values.patient_images > 1 else "record",
    group=values.patient_images,
  )
  lines, mechanisms, remarks = readings(settings)
  asked = f"epsilon {target:g}" if target is not None else f"noise multiplier {noise:g}"
  print(
    f"{asked}, delta {values.delta:g}, clipping norm {values.clip_norm:g}, {values.rounds} rounds, "
    f"{len(settings.client_images)} clients with {min(settings.client_images)} images or more\n"
  )
  _print_table([list(COLUMNS), *(line.cells() for line in lines)])
  for remark in remarks:
    print(f"- {remark}")
  if values.plot:
    curve.save(
      curve.epsilon_over_rounds(mechanisms, values.rounds), values.plot, values.delta
    )
    print(f"plot: {values.plot}")
  return 0


def _define() -> flags.FlagValues:
  made = flags.FlagValues()

  def define(kind, name, default, text, **limits):
    getattr(flags, f"DEFINE_{kind}")(name, default, text, flag_values=made, **limits)

  define("float", "target_epsilon", None, "Solve for this epsilon; 8 if neither is given.")
  define("float", "noise_multiplier", None, "Read this noise.")
  define("float", "delta", 1e-5, "delta of the guarantees.")
  define("float", "clip_norm", 1.0, "Clipping norm C.")
  define("list", "client_images", ["950"] * 3, "Images of each client; the least is m.")
  define("integer", "clients_per_round", 0, "Clients in a round; 0: all.", lower_bound=0)
  define("integer", "rounds", 24, "Rounds T.", lower_bound=1)
  define("integer", "exposures", 0, "Uploads L of the paper's formula; 0: T.", lower_bound=0)
  define("integer", "batch_size", 32, "Expected batch of DP-SGD.", lower_bound=1)
  define("float", "local_epochs", 1.0, "Epochs of DP-SGD in a round, of a client of mean size.")
  define("integer", "microbatch", 1, "Examples clipped as one by DP-SGD.", lower_bound=1)
  define("bool", "adaptive_clip", False, "Whether clipping norms adapt.")
  define("integer", "patient_images", 1, "Images of a patient at most.", lower_bound=1)
  define("string", "plot", "", "Picture of epsilon over the rounds, such as privacy.png.")
  return made


def _sizes(entries: Sequence[str]) -> tuple[int, ...]:
  try:
    return tuple(int(entry) for entry in entries)
  except ValueError:
    raise UserError(
      f"--client_images={','.join(entries)} must be comma-separated numbers of images"
    ) from None


def _steps(values: flags.FlagValues) -> int:
  if not values.local_epochs > 0:
    raise UserError(f"--local_epochs={values.local_epochs} must be above 0")
  from fedsafe_tff.runs.private import batches_of_epoch  # as a run draws them

  of_epoch = batches_of_epoch(_sizes(values.client_images) or (1,), values.batch_size)
  return max(1, round(values.local_epochs * of_epoch))


def _print_table(rows: Sequence[Sequence[str]]) -> None:
  widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
  for row in rows:
    cells = (c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths)))
    print("  ".join(cells).rstrip())


if __name__ == "__main__":
  main.run(privacy)
