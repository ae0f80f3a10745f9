"""The paper's claims about differential privacy (Table 2) and adaptation samples (Figure 3)."""

from typing import Any

from fedsafe_tff.sweep import paper
from fedsafe_tff.sweep.cells import ADVERSARIAL_TRAINING, DISTRIBUTED_NOISE, METHODS
from fedsafe_tff.sweep.claim import (
  ALPHA,
  DEFENDED,
  FAILS,
  HOLDS,
  PARTLY,
  TOLERANCE,
  UNKNOWN,
  Claim,
  all_or_some,
  monotone,
  usable,
)
from fedsafe_tff.sweep.results import Results, p_text
from fedsafe_tff.sweep.statistics import holm

WITH_DP, WITHOUT_DP = "DP", "no DP"


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
        f"{task}, {METHODS[method][0]}: {found.difference.text()}, p {p_text(found.p)}; clean "
        f"accuracy {clean.difference.mean:+.3f}."
      )
  if not cases:
    return Claim(text, UNKNOWN, tuple(left_out))
  adjusted = holm([c.p for c in cases])
  lower = [c.difference.mean < 0 for c in cases]
  sure = [p is not None and p < ALPHA for p in adjusted]
  if all(lower) and all(sure):
    verdict = HOLDS
  elif any(one and certain for one, certain in zip(lower, sure)) or all(lower):
    verdict = PARTLY
  else:
    verdict = FAILS
  return Claim(text, verdict, (*evidence, *left_out))


def perfect_with_dp(results: Results) -> Claim:
  """Glioma is perfectly defended, and MRI almost, with DP."""
  results, left_out = usable(results)
  text = "With DP the defence is perfect for glioma (ASR 0.0) and almost so for MRI (0.32 %)"
  passed, evidence = [], []
  for task in ("glioma", "meningioma"):
    for method in DEFENDED:
      found = results.estimate("asr_avg", task=task, method=method, variant=WITH_DP)
      if found is not None:
        passed.append(found.mean <= paper.TABLE2_AVERAGE[task][1] + TOLERANCE)
        evidence.append(f"{task}, {METHODS[method][0]}: average ASR {found.text()}.")
  return Claim(text, all_or_some(passed), (*evidence, *left_out))


def few_samples(results: Results) -> Claim:
  """A fifth of the samples brings the benign clients' ASR to the paper's values."""
  results, left_out = usable(results)
  values = paper.AVG_ASR_AT_SHARE
  told = ", ".join(f"{value:.1%} ({task})" for task, value in values.items())
  text = f"With 20 % of the samples distributed noise brings the benign clients' ASR to {told}"
  passed, evidence = [], []
  for task, value in values.items():
    at_share = {"task": task, "method": DISTRIBUTED_NOISE, "variant": share_name(paper.SHARE)}
    found = results.estimate("asr_avg", **at_share)
    if found is not None:
      passed.append(found.mean <= value + TOLERANCE)
      clean = results.estimate("clean_accuracy", **at_share)
      evidence.append(f"{task}: {found.text()}, clean accuracy {clean.text()}.")
  return Claim(text, all_or_some(passed), (*evidence, *left_out))


def more_samples_help(results: Results) -> Claim:
  """More adaptation samples mean a lower rate."""
  results, left_out = usable(results)
  text = "More adaptation samples lead to a lower attack success rate in all scenarios"
  rows = [{**row, "share": share_of(row)} for row in results.rows]
  passed, evidence = monotone(Results(rows), "share", rising=False)
  return Claim(text, all_or_some(passed), (*evidence, *left_out))


def all_samples_defend(results: Results) -> Claim:
  """All samples give an almost perfect defence."""
  results, left_out = usable(results)
  text = "All samples give an almost perfect defence (5 % or less) of the benign clients"
  passed, evidence = [], []
  for task in results.distinct("task"):
    for method in DEFENDED:
      found = results.estimate("asr_avg", task=task, method=method, variant=share_name(1.0))
      if found is not None:
        passed.append(found.mean <= 0.05)
        evidence.append(f"{task}, {METHODS[method][0]}: {found.text()}.")
  return Claim(text, all_or_some(passed), (*evidence, *left_out))


def fewer_samples_than_training(results: Results) -> Claim:
  """At every share distributed noise does better than adversarial training."""
  results, left_out = usable(results)
  text = "Distributed noise needs fewer samples than adversarial training (benign clients' ASR)"
  cases, evidence = [], []
  for task in results.distinct("task"):
    here = []
    for variant in results.distinct("variant", task=task):
      found = results.compare(
        "asr_avg",
        {"method": ADVERSARIAL_TRAINING},
        {"method": DISTRIBUTED_NOISE},
        task=task,
        variant=variant,
      )
      if found is not None:
        here.append(found)
    if here:
      lower = sum(c.difference.mean < 0 for c in here)
      mean = sum(c.difference.mean for c in here) / len(here)
      evidence.append(f"{task}: lower at {lower} of {len(here)} shares, {mean:+.3f} on average.")
      cases += here
  if not cases:
    return Claim(text, UNKNOWN, tuple(left_out))
  adjusted = holm([c.p for c in cases])
  lower = [c.difference.mean < 0 for c in cases]
  sure = [p is not None and p < ALPHA and one for p, one in zip(adjusted, lower)]
  evidence.append(f"Certainly lower in {sum(sure)} of {len(cases)} cells.")
  if all(lower) and any(sure):
    verdict = HOLDS
  elif any(sure) or sum(lower) > len(cases) / 2:
    verdict = PARTLY
  else:
    verdict = FAILS
  return Claim(text, verdict, (*evidence, *left_out))


def share_name(share: float) -> str:
  """Variant of a cell that adapts on a share of the samples."""
  return f"{share:.0%}".replace("%", " %")


def share_of(row: dict[str, Any]) -> float:
  """The share, in [0, 1], that a variant names."""
  return float(row["variant"].split()[0]) / 100
