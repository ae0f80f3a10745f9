"""The paper's claims about distributed noise against adversarial training (Table 1, Figure 2)."""

import statistics
from typing import Any

from fedsafe_tff.sweep import paper
from fedsafe_tff.sweep.cells import DISTRIBUTED_NOISE, METHODS
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
  cells_of,
  monotone,
  usable,
)
from fedsafe_tff.sweep.results import Results, p_text
from fedsafe_tff.sweep.statistics import holm

# Below it a ratio of two rates is noise.
_RATIO_FLOOR = 0.01


def reduction(results: Results, metric: str, claimed: float) -> Claim:
  """Distributed noise lowers a rate by up to `claimed` against adversarial training."""
  results, left_out = usable(results)
  name = {"asr_self": "self-ASR", "asr_avg": "avg-ASR"}[metric]
  text = f"Distributed noise lowers the {name} by up to {claimed:.0%} against adversarial training"
  first, second = ({"method": method} for method in DEFENDED)
  found = [
    (cell, results.compare(metric, first, second, **cell))
    for cell in cells_of(results, method=DISTRIBUTED_NOISE)
  ]
  found = [(cell, comparison) for cell, comparison in found if comparison is not None]
  if not found:
    return Claim(text, UNKNOWN, tuple(left_out))
  adjusted = holm([comparison.p for _, comparison in found])
  drops = [-comparison.difference.mean for _, comparison in found]
  sure = [p is not None and p < ALPHA for p in adjusted]
  best = max(range(len(found)), key=lambda i: drops[i])
  if any(drop >= claimed and certain for drop, certain in zip(drops, sure)):
    verdict = HOLDS
  elif drops[best] >= claimed or any(d > 0 and certain for d, certain in zip(drops, sure)):
    verdict = PARTLY
  else:
    verdict = FAILS
  cell, comparison = found[best]
  # Both readings of "27 %": the paper does not say whether points or a share are meant.
  before = results.estimate(metric, **cell, **first)
  relative = drops[best] / before.mean if before.mean > 0 else 0.0
  significant = sum(certain and drop > 0 for drop, certain in zip(drops, sure))
  against = sum(certain and drop < 0 for drop, certain in zip(drops, sure))
  evidence = [
    f"Largest reduction: {drops[best]:.3f} ({relative:.0%} of {before.mean:.3f}), "
    f"{_name(cell)}, p {p_text(comparison.p)}, Holm {p_text(adjusted[best])}.",
    f"Lower in {sum(d > 0 for d in drops)}, higher in {sum(d < 0 for d in drops)} of {len(drops)} "
    f"cells; certainly lower in {significant}, certainly higher in {against}.",
  ]
  theirs = [
    one.of(metric) - other.of(metric)
    for task in paper.TABLE1.values()
    for one, other in task.values()
  ]
  evidence.append(f"The paper's own Table 1 shows {max(theirs):.2f} at most.")
  return Claim(text, verdict, (*evidence, *left_out))


def comparable(results: Results) -> Claim:
  """Distributed noise is about as safe as adversarial training, or safer."""
  results, left_out = usable(results)
  text = "Distributed noise reaches security comparable to adversarial training"
  passed, evidence = [], []
  for task in results.distinct("task"):
    for metric in ("asr_self", "asr_avg"):
      first, second = ({"method": method} for method in DEFENDED)
      found = results.compare(metric, first, second, task=task)
      if found is not None:
        passed.append(found.difference.mean <= TOLERANCE)
        evidence.append(
          f"{task}, {metric}: {found.difference.text()} over all sizes, p {p_text(found.p)}."
        )
  return Claim(text, all_or_some(passed), (*evidence, *left_out))


def self_over_avg(results: Results) -> Claim:
  """Self-ASR is two to four times avg-ASR in both defences."""
  results, left_out = usable(results)
  low, high = paper.SELF_OVER_AVG
  text = f"In both defences the self-ASR is {low:g} to {high:g} times the avg-ASR"
  within, above, evidence = [], [], []
  for method in DEFENDED:
    ratios = []
    for cell in cells_of(results, method=method):
      own = results.estimate("asr_self", method=method, **cell)
      other = results.estimate("asr_avg", method=method, **cell)
      if own and other and other.mean >= _RATIO_FLOOR:
        ratios.append(own.mean / other.mean)
    if ratios:
      middle = statistics.median(ratios)
      within.append(low <= middle <= high)
      above.append(middle > 1.05)
      evidence.append(
        f"{METHODS[method][0]}: median {middle:.2f}, from {min(ratios):.2f} to {max(ratios):.2f} "
        f"in {len(ratios)} cells."
      )
  verdict = all_or_some(within)
  if verdict == FAILS and any(above):
    verdict = PARTLY
  if evidence:
    evidence.append(
      "With adversarial training at the server all clients hold the same model, so that self and "
      "avg are equal by construction; only noised copies differ."
    )
  return Claim(text, verdict, (*evidence, *left_out))


def undefended_transfers(results: Results) -> Claim:
  """On undefended models an attack works as well on the other clients as on the adversary."""
  results, left_out = usable(results)
  text = "Without a defence attacks transfer fully: self-ASR and avg-ASR are similar"
  gaps = []
  for cell in cells_of(results, method="none"):
    own = results.estimate("asr_self", method="none", **cell)
    other = results.estimate("asr_avg", method="none", **cell)
    if own and other:
      gaps.append(abs(own.mean - other.mean))
  if not gaps:
    return Claim(text, UNKNOWN, tuple(left_out))
  evidence = (
    f"Largest gap {max(gaps):.3f} in {len(gaps)} cells.",
    "All clients hold the same model, so that this is so by construction.",
  )
  verdict = all_or_some([gap <= TOLERANCE for gap in gaps])
  return Claim(text, verdict, (*evidence, *left_out))


def grows_with_eps(results: Results) -> Claim:
  """A larger perturbation never succeeds less."""
  results, left_out = usable(results)
  text = "A larger perturbation leads to a higher attack success rate in all scenarios"
  passed, evidence = monotone(results, "eps", rising=True)
  return Claim(text, all_or_some(passed), (*evidence, *left_out))


def keeps_accuracy(results: Results) -> Claim:
  """Distributed noise costs hardly any clean accuracy."""
  text = "Distributed noise keeps an accuracy comparable to conventional training"
  passed, evidence = [], []
  for task in results.distinct("task"):
    found = results.compare(
      "clean_accuracy", {"method": "none"}, {"method": DISTRIBUTED_NOISE}, task=task
    )
    # A model that learnt nothing has nothing to lose; one that lost everything counts.
    if found is not None and not results.is_collapsed(task=task, method="none"):
      passed.append(found.difference.mean >= -TOLERANCE)
      before = results.estimate("clean_accuracy", method="none", task=task)
      evidence.append(
        f"{task}: {before.text()} undefended; distributed noise changes it by "
        f"{found.difference.text()}, p {p_text(found.p)}."
      )
  return Claim(text, all_or_some(passed), tuple(evidence))


def _name(cell: dict[str, Any]) -> str:
  parts = [cell["task"], cell["variant"], f"eps {cell['eps']:g}"]
  return ", ".join(part for part in parts if part)
