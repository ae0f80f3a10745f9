"""The paper's claims about differential privacy (Table 2) and adaptation samples (Figure 3)."""

from typing import Any

from fedsafe_tff.paper import paper
from fedsafe_tff.paper.cells import ADVERSARIAL_TRAINING, DISTRIBUTED_NOISE, method_name
from fedsafe_tff.paper.claim import (
  ALPHA,
  DEFENDED,
  FAILS,
  HOLDS,
  PARTLY,
  TOLERANCE,
  UNKNOWN,
  Claim,
  at_most,
  monotone,
  together,
  usable,
)
from fedsafe_tff.paper.results import Results, p_text
from fedsafe_tff.paper.statistics import holm

WITH_DP, WITHOUT_DP = "DP", "no DP"
PERFECT = 0.05  # an attack success rate that counts as "almost perfect defense"


def dp_lowers(results: Results) -> Claim:
  """Differential privacy lowers the average ASR, in both methods."""
  results, left_out = usable(results)
  text = "Differential privacy lowers the average ASR in both methods"
  cases, evidence = [], []
  for method in DEFENDED:
    for task in results.distinct("task"):
      found = results.compare(
        "asr_avg", {"variant": WITHOUT_DP}, {"variant": WITH_DP}, task=task, method=method
      )
      if found is None:
        continue
      cases.append(found)
      clean = results.compare(
        "clean_accuracy", {"variant": WITHOUT_DP}, {"variant": WITH_DP}, task=task, method=method
      )
      evidence.append(
        f"{task}, {method_name(method)}: {found.difference.text()}, p {p_text(found.p)}; clean "
        f"accuracy {clean.difference.mean:+.3f}."
      )
  if not cases:
    return Claim(text, UNKNOWN, tuple(left_out))
  adjusted = holm([c.p for c in cases])
  verdicts = [
    FAILS if c.difference.mean >= 0 else HOLDS if p is not None and p < ALPHA else PARTLY
    for c, p in zip(cases, adjusted)
  ]
  # A direction that may be chance everywhere is no evidence.
  if HOLDS not in verdicts and not all(v == PARTLY for v in verdicts):
    verdict = FAILS
  else:
    verdict = together(verdicts)
  return Claim(text, verdict, (*evidence, *left_out))


def perfect_with_dp(results: Results) -> Claim:
  """Glioma is perfectly defended, and MRI almost, with DP."""
  results, left_out = usable(results)
  text = "With DP the defence is perfect for glioma (ASR 0.0) and almost so for MRI (0.32 %)"
  verdicts, evidence = [], []
  for task in ("glioma", "meningioma"):
    for method in DEFENDED:
      found = results.estimate("asr_avg", task=task, method=method, variant=WITH_DP)
      if found is not None:
        verdicts.append(at_most(found, paper.TABLE2_AVERAGE[task][1]))
        evidence.append(f"{task}, {method_name(method)}: average ASR {found.text()}.")
  return Claim(text, together(verdicts), (*evidence, *left_out))


def few_samples(results: Results) -> Claim:
  """A fifth of the samples brings the benign clients' ASR to the paper's values."""
  results, left_out = usable(results)
  values = paper.AVG_ASR_AT_SHARE
  told = ", ".join(f"{value:.1%} ({task})" for task, value in values.items())
  text = f"With 20 % of the samples distributed noise brings the benign clients' ASR to {told}"
  verdicts, evidence = [], []
  for task, value in values.items():
    at_share = {"task": task, "method": DISTRIBUTED_NOISE, "variant": share_name(paper.SHARE)}
    found = results.estimate("asr_avg", **at_share)
    if found is not None:
      verdicts.append(at_most(found, value))
      clean = results.estimate("clean_accuracy", **at_share)
      evidence.append(f"{task}: {found.text()}, clean accuracy {clean.text()}.")
  return Claim(text, together(verdicts), (*evidence, *left_out))


def more_samples_help(results: Results) -> Claim:
  """More adaptation samples mean a lower rate."""
  results, left_out = usable(adapted(results))
  text = "More adaptation samples lead to a lower attack success rate in all scenarios"
  rows = [{**row, "share": share_of(row), "variant": ""} for row in results.rows]
  verdicts, evidence = monotone(Results(rows), "share", rising=False)
  return Claim(text, together(verdicts), (*evidence, *left_out))


def all_samples_defend(results: Results) -> Claim:
  """All samples give an almost perfect defence."""
  results, left_out = usable(adapted(results))
  text = f"All samples give an almost perfect defence ({PERFECT:.0%} or less) in all scenarios"
  verdicts, evidence = [], []
  for task in results.distinct("task"):
    for method in DEFENDED:
      for metric in ("asr_self", "asr_avg"):
        found = results.estimate(metric, task=task, method=method, variant=share_name(1.0))
        if found is not None:
          verdicts.append(at_most(found, PERFECT))
          evidence.append(f"{task}, {method_name(method)}, {metric}: {found.text()}.")
  return Claim(text, together(verdicts), (*evidence, *left_out))


def fewer_samples_than_training(results: Results) -> Claim:
  """Distributed noise reaches with fewer samples what adversarial training reaches with all."""
  results, left_out = usable(adapted(results))
  text = "Distributed noise needs fewer samples than adversarial training"
  verdicts, evidence = [], []
  for task in results.distinct("task"):
    for metric in ("asr_avg", "asr_self"):
      target = {"method": ADVERSARIAL_TRAINING, "variant": share_name(1.0)}
      goal = results.estimate(metric, task=task, **target)
      found = {}
      for variant in results.distinct("variant", task=task, method=DISTRIBUTED_NOISE):
        other = {"method": DISTRIBUTED_NOISE, "variant": variant}
        compared = results.compare(metric, target, other, task=task)
        if compared is not None:
          found[share_of({"variant": variant})] = at_most(compared.difference, 0.0)
      if goal is None or not found:
        continue
      sure = [share for share, verdict in found.items() if verdict == HOLDS and share < 1]
      likely = [share for share, verdict in found.items() if verdict != FAILS and share < 1]
      verdicts.append(HOLDS if sure else PARTLY if likely else FAILS)
      reached = f"from a share of {min(likely):.0%}" if likely else "at no smaller share"
      evidence.append(
        f"{task}, {metric}: adversarial training with all samples has {goal.text()}; distributed "
        f"noise is no more than {TOLERANCE:g} above it {reached}"
        + (f", surely from {min(sure):.0%}." if sure else ".")
      )
  if evidence:
    evidence.append(
      "With adversarial training all clients hold one model, and avg equals self: noise that "
      "hinders transfer is ahead in avg by that alone, whatever the share. A share of 0 % in the "
      "table is noise without any adaptation."
    )
  return Claim(text, together(verdicts), (*evidence, *left_out))


def adapted(results: Results) -> Results:
  """The rows of models that were adapted at all."""
  return Results([row for row in results.rows if row["method"] in DEFENDED])


def share_name(share: float) -> str:
  """Variant of a cell that adapts on a share of the samples."""
  return f"{share:.0%}".replace("%", " %")


def share_of(row: dict[str, Any]) -> float:
  """The share, in [0, 1], that a variant names."""
  return float(row["variant"].split()[0]) / 100
