"""The paper's claims about distributed noise against adversarial training (Table 1, Figure 2)."""

import statistics
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
  TRIVIAL,
  UNKNOWN,
  Claim,
  at_least,
  at_most,
  cells_of,
  monotone,
  together,
  usable,
)
from fedsafe_tff.paper.results import Results, p_text
from fedsafe_tff.paper.statistics import holm

# Below it a ratio of two rates is noise.
_RATIO_FLOOR = 0.01


def against(results: Results, baseline: str = ADVERSARIAL_TRAINING) -> tuple[Claim, ...]:
  """The claims that compare distributed noise with one kind of adversarial training."""
  return (
    reduction(results, "asr_self", paper.SELF_REDUCTION, baseline),
    reduction(results, "asr_avg", paper.AVG_REDUCTION, baseline),
    comparable(results, baseline),
  )


def reduction(
  results: Results, metric: str, claimed: float, baseline: str = ADVERSARIAL_TRAINING
) -> Claim:
  """Distributed noise lowers a rate by up to `claimed`, in points, against `baseline`."""
  results, left_out = usable(results)
  name = {"asr_self": "self-ASR", "asr_avg": "avg-ASR"}[metric]
  text = f"Distributed noise lowers the {name} by up to {claimed:.0%} against {_kind(baseline)}"
  first, second = {"method": baseline}, {"method": DISTRIBUTED_NOISE}
  cells = [
    (cell, results.compare(metric, first, second, **cell))
    for cell in cells_of(results, method=DISTRIBUTED_NOISE)
  ]
  found = [(cell, comparison) for cell, comparison in cells if comparison is not None]
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
  lower = sum(certain and drop > 0 for drop, certain in zip(drops, sure))
  higher = sum(certain and drop < 0 for drop, certain in zip(drops, sure))
  if drops[best] > 0:
    most = f"Largest reduction: {drops[best]:.3f} of {comparison.first.mean:.3f}"
  else:
    most = f"No reduction: it adds at least {-drops[best]:.3f} to {comparison.first.mean:.3f}"
  evidence = [
    f"{most}, {_name(cell)}, p {p_text(comparison.p)}, Holm {p_text(adjusted[best])}.",
    *_as_share(found),
    f"Lower in {sum(d > 0 for d in drops)}, higher in {sum(d < 0 for d in drops)} of {len(drops)} "
    f"cells; significantly lower in {lower}, significantly higher in {higher}.",
    *_pooled(results, metric, first, second),
    f"The paper's own Table 1 shows {_papers_best(metric):.2f} at most.",
  ]
  return Claim(text, verdict, (*evidence, *left_out))


def comparable(results: Results, baseline: str = ADVERSARIAL_TRAINING) -> Claim:
  """Distributed noise is about as safe as adversarial training, or safer."""
  results, left_out = usable(results)
  text = f"Distributed noise reaches security comparable to {_kind(baseline)}"
  verdicts, evidence = [], []
  for task in results.distinct("task"):
    for metric in ("asr_self", "asr_avg"):
      found = results.compare(
        metric, {"method": baseline}, {"method": DISTRIBUTED_NOISE}, task=task
      )
      if found is not None:
        verdicts.append(at_most(found.difference, 0.0))
        evidence.append(
          f"{task}, {metric}: {found.difference.text()} over all sizes, p {p_text(found.p)}."
        )
  return Claim(text, together(verdicts), (*evidence, *left_out))


def self_over_avg(results: Results) -> Claim:
  """Self-ASR is two to four times avg-ASR in both defences."""
  results, left_out = usable(results)
  low, high = paper.SELF_OVER_AVG
  text = f"In both defences the self-ASR is {low:g} to {high:g} times the avg-ASR"
  verdicts, evidence = [], []
  for method in DEFENDED:
    ratios, dropped = [], 0
    for cell in cells_of(results, method=method):
      own = results.estimate("asr_self", method=method, **cell)
      other = results.estimate("asr_avg", method=method, **cell)
      if own and other and other.mean >= _RATIO_FLOOR:
        ratios.append(own.mean / other.mean)
      else:
        dropped += 1
    if ratios:
      within = sum(low <= ratio <= high for ratio in ratios)
      middle = statistics.median(ratios)
      if within == len(ratios):
        verdicts.append(HOLDS)
      else:
        verdicts.append(PARTLY if middle > 1.05 else FAILS)
      evidence.append(
        f"{method_name(method)}: {within} of {len(ratios)} cells are in that range; median "
        f"{middle:.2f}, from {min(ratios):.2f} to {max(ratios):.2f}"
        + (
          f" ({dropped} cells with an avg-ASR below {_RATIO_FLOOR:g} left out)." if dropped else "."
        )
      )
  if evidence:
    evidence += [
      f"The paper's own Table 1 has {_papers_ratios()}.",
      "With adversarial training at the server all clients hold the same model, so that self and "
      "avg are equal by construction; only noised copies differ.",
    ]
  return Claim(text, together(verdicts), (*evidence, *left_out))


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
  verdict = TRIVIAL if max(gaps) <= TOLERANCE else FAILS
  return Claim(text, verdict, (*evidence, *left_out))


def grows_with_eps(results: Results) -> Claim:
  """A larger perturbation succeeds more often."""
  results, left_out = usable(results)
  text = "A larger perturbation leads to a higher attack success rate in all scenarios"
  verdicts, evidence = monotone(results, "eps", rising=True)
  return Claim(text, together(verdicts), (*evidence, *left_out))


def keeps_accuracy(results: Results) -> Claim:
  """Distributed noise costs hardly any clean accuracy."""
  text = "Distributed noise keeps an accuracy comparable to conventional training"
  verdicts, evidence = [], []
  # A model that learnt nothing has nothing to lose; one that lost everything counts.
  lost = {task: results.collapsed(task=task, method="none") for task in results.distinct("task")}
  learnt = Results([row for row in results.rows if row["seed"] not in lost[row["task"]]])
  for task in learnt.distinct("task"):
    found = learnt.compare(
      "clean_accuracy", {"method": "none"}, {"method": DISTRIBUTED_NOISE}, task=task
    )
    if found is not None:
      verdicts.append(at_least(found.difference, 0.0))
      evidence.append(
        f"{task}: {found.first.text()} undefended; distributed noise changes it by "
        f"{found.difference.text()}, p {p_text(found.p)}."
      )
  return Claim(text, together(verdicts), tuple(evidence))


def _as_share(found) -> list[str]:
  """The reduction as a share: the paper does not say whether points or a share are meant."""
  shares = [
    (-comparison.difference.mean / comparison.first.mean, cell)
    for cell, comparison in found
    if comparison.first.mean >= _RATIO_FLOOR
  ]
  share, cell = max(shares, key=lambda pair: pair[0], default=(0.0, None))
  if share <= 0:
    return []
  return [f"As a share of the rate it is {share:.0%} at most, {_name(cell)}."]


def _pooled(results: Results, metric: str, first: dict, second: dict) -> list[str]:
  told = []
  for task in results.distinct("task"):
    found = results.compare(metric, first, second, task=task)
    if found is not None:
      told.append(f"{task} {found.difference.text()}, p {p_text(found.p)}")
  return ["Change over all sizes: " + "; ".join(told) + "."] if told else []


def _papers_best(metric: str) -> float:
  pairs = [pair for task in paper.TABLE1.values() for pair in task.values()]
  return max(one.of(metric) - other.of(metric) for one, other in pairs)


def _papers_ratios() -> str:
  values = [v for task in paper.TABLE1.values() for pair in task.values() for v in pair]
  ratios = [v.self_ / v.avg for v in values if v.avg > 0]
  return (
    f"ratios from {min(ratios):.1f} to {max(ratios):.1f} in {len(ratios)} cells, and an avg-ASR of "
    f"0 in {len(values) - len(ratios)}"
  )


def _kind(baseline: str) -> str:
  if baseline == ADVERSARIAL_TRAINING:
    return "adversarial training (at the server)"
  return method_name(baseline)


def _name(cell: dict[str, Any]) -> str:
  parts = [cell["task"], cell["variant"], f"eps {cell['eps']:g}"]
  return ", ".join(part for part in parts if part)
