"""What a run promises of its clients' images, in words for a reader who is no statistician."""

import math
from collections.abc import Mapping
from typing import Any

from fedsafe_tff.runs.report.run_folder import RunFolder

NONE = "Nothing is guaranteed about the privacy of anybody's images: this run has no mechanism."
OLD = (
  "This run has no privacy.json: it is of an older version, or ended before its first round; what "
  "its noise guarantees is not known here. Train it again with --privacy to have a statement."
)
_MECHANISMS = {
  "paper": "noise on what each client uploads, by the paper's formula",
  "output": "noise on what each client uploads, by the provable sensitivity",
  "dp_sgd": "clipped and noised gradients of the clients' training (DP-SGD)",
  "central": "clipped uploads, and noise at the server (DP-FedAvg)",
  "tree": "clipped uploads, and noise of running sums at the server (DP-FTRL)",
  "distributed": "discrete noise at each client, under a simulated secure sum",
}
_LEVELS = {
  "record": "one image",
  "patient": "all images of one patient",
  "client": "all images of one client (hospital)",
}
_OBSERVERS = {
  "server": "the server, the other clients and anybody who sees the models",
  "clients": "the other clients and anybody who sees the models, but not the server",
  "final": "somebody who sees the final models only",
}
_LARGE = 20.0  # above it nothing is said that one could explain to a patient


def section(run: RunFolder) -> dict[str, Any]:
  """The section as the template takes it: sentences, facts by name, what the audit found."""
  now = run.privacy.get("now") or {}
  if not run.privacy:
    lines = [OLD] if run.metrics else []
    return {"lines": lines, "facts": [], "audit": _audit(run.audit)}
  if not now.get("guarantees") or now.get("epsilon") is None:
    name = now.get("mechanism", "none")
    lines = [NONE] if name == "none" else [
      "Nothing is guaranteed about the privacy of anybody's images: the noise of this run "
      f"({name}) has no accounting that bounds what can be learnt from it."
    ]
    return {"lines": [*lines, *_warnings(now)], "facts": [], "audit": _audit(run.audit)}
  epsilon, delta = now["epsilon"], now["delta"]
  whom = _LEVELS.get(now["level"], now["level"])
  lines = [
    f"Whoever looks at what this run gave away sees it at most {_times(epsilon)} as likely because "
    f"{whom} took part, except with probability {delta:g}. That is epsilon {epsilon:.4g}: "
    + _judged(epsilon),
    *_warnings(now),
  ]
  facts = [
    ("mechanism", f"{now['mechanism']}: {_MECHANISMS.get(now['mechanism'], '')}".rstrip(": ")),
    ("who is protected", whom),
    ("from whom", _OBSERVERS.get(now["observer"], now["observer"])),
    ("epsilon, delta", f"{epsilon:.4g}, {delta:g} (by {now['by']}, {now['adjacency']})"),
    ("rounds counted", f"{run.privacy['rounds']:g} of {run.privacy['planned_rounds']:g}"),
    ("not protected", "; ".join(now["not_covered"] or ())),
  ]
  return {"lines": lines, "facts": facts, "audit": _audit(run.audit)}


def _warnings(now: Mapping[str, Any]) -> list[str]:
  return [f"Warning: {text}." for text in now.get("warnings") or ()]


def _times(epsilon: float) -> str:
  return f"{math.exp(epsilon):.3g} times" if epsilon < 700 else "any number of times"


def _judged(epsilon: float) -> str:
  if epsilon > _LARGE:
    return "so large that it protects nobody in practice."
  if epsilon > 8:
    return "a weak promise."
  return "a promise in the range of published work." if epsilon > 1 else "a strong promise."


def _audit(found: Mapping[str, Any]) -> list[str]:
  """What attacks on the run found; empty without an audit."""
  if not found:
    return []
  lines = []
  for each in _best(found.get("membership") or ()):
    lines.append(
      f"Telling the clients' images from others by the {each['model']}: AUC {each['auc']:.3f} "
      f"({each['low']:.3f} to {each['high']:.3f}); 0.5 is chance, 1 is always right."
    )
  for each in found.get("inversion") or ():
    images = "one image" if each["images"] == 1 else f"{each['images']:g} images"
    lines.append(
      f"Pictures that the server makes of a first step on {images}: similarity {each['ssim']:.2f} "
      f"to the true ones, where another picture has {each['control']:.2f} and the same one 1."
    )
  if found.get("one_run"):
    lines.append(found["one_run"]["sentence"])
  return lines


def _best(rows) -> list[Mapping[str, Any]]:
  """The strongest attack on each model."""
  best: dict[str, Mapping[str, Any]] = {}
  for row in rows:
    if row["model"] not in best or row["auc"] > best[row["model"]]["auc"]:
      best[row["model"]] = row
  return list(best.values())
