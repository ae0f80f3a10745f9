"""Figure 2: ASR of the benign clients and of the adversary against the size of a PGD attack."""

import pathlib

from fedsafe_tff.paper import plots, robustness_claims
from fedsafe_tff.paper.cells import Cell, make_cell, methods_of
from fedsafe_tff.paper.claim import DEFENDED, Claim
from fedsafe_tff.paper.report import Report, Section, overview, picture, readings
from fedsafe_tff.paper.request import Request
from fedsafe_tff.paper.results import Results

TITLE = "Figure 2: ASR against the size of the perturbation"
METHODS = ("none", *DEFENDED)
# Those of the tables among them: they are attacked once for all.
SIZES = (0.005, 0.01, 0.012, 0.017, 0.03, 0.05, 0.07)


def cells(request: Request) -> list[Cell]:
  """Undefended, adversarial training and distributed noise at many sizes."""
  return [
    make_cell(request, task, method, seed, eps=SIZES)
    for task in request.tasks
    for seed in request.seeds
    for method in methods_of(request, METHODS)
  ]


def report(request: Request, results: Results, folder: pathlib.Path) -> Report:
  """The plot, the numbers behind it and the claims on it."""
  path = plots.curves(
    results,
    folder / "figure2.png",
    methods=methods_of(request, METHODS),
    x=lambda row: row["eps"],
    x_label="eps (pixels of [0, 1])",
  )
  text = picture(folder, path, TITLE) + (
    f"\n{request.attack_text}; left the benign clients, right the adversary; bands are 95 % "
    "intervals over seeds. The paper prints no values for this figure.\n"
  )
  sections = (
    Section("Plot", text),
    readings(claims, results),
    overview(results, folder, "figure2"),
  )
  return Report(sections, claims(results))


def claims(results: Results) -> tuple[Claim, ...]:
  """The claims that the paper's text makes on this figure; at more sizes than in Table 1."""
  return (
    *robustness_claims.against(results),
    robustness_claims.self_over_avg(results),
    robustness_claims.undefended_transfers(results),
    robustness_claims.grows_with_eps(results),
  )
