"""Figure 3: ASR against the share of the adaptation samples that the server uses."""

import pathlib

from fedsafe_tff.paper import adaptation_claims, paper, plots
from fedsafe_tff.paper.adaptation_claims import share_name, share_of
from fedsafe_tff.paper.cells import ADVERSARIAL_TRAINING, DISTRIBUTED_NOISE, Cell, make_cell
from fedsafe_tff.paper.claim import DEFENDED, Claim
from fedsafe_tff.paper.report import Report, Section, overview, picture, readings
from fedsafe_tff.paper.request import Request
from fedsafe_tff.paper.results import Results

TITLE = "Figure 3: ASR against the share of adaptation samples"
# The paper does not say at which size; this one is that of the adaptation itself.
SIZES = (0.03,)
# What a share of 0 comes to: the method without its adaptation.
_WITHOUT_ADAPTATION = {"none": ADVERSARIAL_TRAINING, "noise_only": DISTRIBUTED_NOISE}


def cells(request: Request) -> list[Cell]:
  """Both methods at six shares and without adaptation, all from one training."""
  return [
    make_cell(
      request,
      task,
      method,
      seed,
      eps=SIZES,
      variant=share_name(share),
      changes={"adaptation_share": share},
    )
    for task in request.tasks
    for seed in request.seeds
    for share in paper.SHARES
    for method in DEFENDED
  ] + [
    make_cell(request, task, method, seed, eps=SIZES, variant=share_name(0.0))
    for task in request.tasks
    for seed in request.seeds
    for method in _WITHOUT_ADAPTATION
  ]


def report(request: Request, results: Results, folder: pathlib.Path) -> Report:
  """A plot per size, the numbers behind it and the claims on it."""
  shown = ""
  for eps in results.distinct("eps"):
    path = plots.curves(
      Results(
        [
          {**row, "method": _WITHOUT_ADAPTATION.get(row["method"], row["method"])}
          for row in results.select(eps=eps)
        ]
      ),
      folder / f"figure3_eps{eps:g}.png",
      methods=DEFENDED,
      x=lambda row: 100 * share_of(row),
      x_label="share of the adaptation samples (%)",
      paper_points={
        task: (100 * paper.SHARE, value) for task, value in paper.AVG_ASR_AT_SHARE.items()
      },
    )
    shown += picture(folder, path, f"{TITLE}, eps {eps:g}")
  text = shown + (
    f"\n{request.attack_text}; left the benign clients, right the adversary; bands are 95 % "
    "intervals over seeds. A larger share contains the smaller one; at 0 % nothing is adapted: "
    "undefended, and noise alone. The star is the value that the paper's text gives, without an "
    "eps: 0.03 is the size of our adaptation's examples.\n"
  )
  sections = (
    Section("Plot", text),
    readings(claims, results),
    overview(results, folder, "figure3"),
  )
  return Report(sections, claims(results))


def claims(results: Results) -> tuple[Claim, ...]:
  """The paper's claims about the number of samples."""
  return (
    adaptation_claims.few_samples(results),
    adaptation_claims.more_samples_help(results),
    adaptation_claims.all_samples_defend(results),
    adaptation_claims.fewer_samples_than_training(results),
  )
