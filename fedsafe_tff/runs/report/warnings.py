"""What a reader of a run's numbers must be warned of, line by line."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from fedsafe_tff.evaluation.definitions import COLLAPSED, has_collapsed

_NAMED = 10


def warnings(evaluation: Mapping[str, Any]) -> list[str]:
  """Lines for console and report; none where nothing is amiss.

  Args:
    evaluation: Contents of `evaluation.json` or of another attack on the run.
  """
  return [*collapsed(evaluation), *masked(evaluation)]


def other_attackers(evaluation: Mapping[str, Any], heals: bool) -> list[str]:
  """That who averages copies had others than the server makes, as an older version had it.

  Args:
    evaluation: As for `warnings`.
    heals: Whether the run's copies are not plainly noised.
  """
  averages = any(r.get("attacker") == "averaging" for r in evaluation.get("results", []))
  if not heals or not averages or evaluation.get("result_versions", {}).get("attackers", 1) > 1:
    return []
  return [
    "the attacker averaging had noised copies where the server heals them, which nobody receives "
    "(an older version's mistake): attack the run again, fedsafe attack RUN_DIR"
  ]


def collapsed(evaluation: Mapping[str, Any]) -> list[str]:
  """That a model looks robust because it hardly looks at the image, as in Table 1."""
  majority = evaluation.get("majority_class")
  if majority is None:
    return []
  found = {"the global model": evaluation.get("clean_accuracy_global")}
  copies = evaluation.get("clean_accuracy_clients") or []
  found |= {f"client {client}'s copy": accuracy for client, accuracy in enumerate(copies)}
  bad = [
    (name, accuracy)
    for name, accuracy in found.items()
    if accuracy is not None and has_collapsed(accuracy, majority)
  ]
  if not bad:
    return []
  who = ", ".join(f"{name} ({accuracy:.3f})" for name, accuracy in bad[:4])
  return [
    f"collapsed: clean accuracy of {who}{', ...' if len(bad) > 4 else ''} is at most {COLLAPSED} "
    f"above the majority class ({majority:.3f}): such a model resists attacks because it hardly "
    f"looks at the image; {_remedy(bad[0][0])}"
  ]


def _remedy(first: str) -> str:
  if first != "the global model":  # which stands first: what was done to the copies did it
    return "a smaller --downlink_sigma may help"
  return (
    "more --rounds may help, under local adversarial training also a later --local_attack_start or "
    "a smaller --local_attack_eps"
  )


def left_out(
  metrics: Sequence[Mapping[str, Any]], clients: Sequence[Mapping[str, Any]]
) -> list[str]:
  """That means of rounds lack clients whose upload was not finite, and whose.

  Args:
    metrics: Rows of `metrics.csv`.
    clients: Rows of `clients.csv`, in which what was not finite is None.
  """
  rounds = {row.get("round") for row in metrics if row.get("left_out")}
  if not rounds:
    return []
  whose = collections.Counter(
    int(row["client"])
    for row in clients
    if row.get("round") in rounds
    and isinstance(row.get("client"), float)
    and None in (row.get("loss"), row.get("norm"))
  )
  named = [f"client {client} ({whose[client]})" for client in sorted(whose)[:_NAMED]]
  return [
    f"left out: in {len(rounds)} of {len(metrics)} rounds the mean lacks clients whose upload was "
    f"not finite, by number of rounds: {', '.join(named)}{', ...' * (len(whose) > _NAMED)}"
  ]


def masked(evaluation: Mapping[str, Any]) -> list[str]:
  """That robustness may only be hidden: each check that failed."""
  masking = evaluation.get("masking") or {}
  failed = [check for check in masking.get("checks", []) if check["passed"] is False]
  lines = [f"robustness may be masked ({check['name']}): {check['text']}" for check in failed]
  if masking and masking.get("passed") is None:
    lines.append(f"masking was not checked: {masking.get('text', '')}")
  return lines
