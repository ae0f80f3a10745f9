"""An audit as a page of Markdown."""

from collections.abc import Mapping
from typing import Any

from fedsafe_tff.runs.report import render

ADAPTIVE = (
  "With --dp_clip=adaptive, what is audited is the clip at its first norm, --clip_norm: neither "
  "the norms that it takes later nor the noise of the count that moves it."
)


def text_of(found: Mapping[str, Any]) -> str:
  """An audit as Markdown."""
  names = ["model", "attack", "AUC (95 %)", "advantage", "found at 1 % false (95 %)"]
  rows = [
    [each["model"], each["attack"], auc_of(each), f"{each['advantage']:.3f}", found_of(each)]
    for each in found["membership"]
  ]
  inverted = [
    [
      str(each["images"]), f"{each['ssim']:.2f}", f"{each['control']:.2f}", f"{each['psnr']:.1f}",
      f"{each['correlation']:.2f}",
    ]
    for each in found["inversion"]
  ]  # fmt: skip
  bound, shadows = found["one_run"], found.get("shadows")
  parts = [
    "# Privacy audit",
    "## Who tells the clients' images from others\n\nAn AUC of 0.5 is chance. The first row of a "
    "model is its best attack, chosen on the images that it is judged on.\n\n"
    + render.markdown(names, rows)
    + (f"\n{_lira(shadows)}" if shadows else ""),
    "## What the server makes of a client's first step\n\nSimilarity (SSIM) to the true images: "
    "1 is the same; *another* is what a picture that nobody recovered gets. The rows of "
    "inversion.png are the true images and, below each, the recovered.\n\n"
    + render.markdown(["images", "SSIM", "another", "PSNR (dB)", "correlation"], inverted),
    "## A lower bound of epsilon from canaries\n\n"
    + bound["sentence"]
    + "\n\nOf a linear model, trained with the run's sampling by its private gradient, or where it "
    "has none by cross-entropy (on PGD examples if the run trains on such): the easiest for the "
    f"attacker, who sees every released gradient of {bound['watched_steps']} of a client's "
    f"{bound['steps']} steps."
    + ("" if bound["stated_epsilon"] is not None else " The run states no epsilon of local steps.")
    + (f"\n\n{ADAPTIVE}" if bound.get("adaptive_clip") else ""),
  ]
  return "\n\n".join(parts) + "\n"


def auc_of(row: Mapping[str, Any]) -> str:
  """An attack's AUC with its interval."""
  return f"{row['auc']:.3f} ({row['low']:.3f} to {row['high']:.3f})"


def found_of(row: Mapping[str, Any]) -> str:
  """The share of members that an attack finds where it takes 1 % of others for some."""
  return f"{row['true_positives']:.3f} ({row['found_low']:.3f} to {row['found_high']:.3f})"


def _lira(shadows: Mapping[str, Any]) -> str:
  """What is to be known of the shadow models."""
  lines = [
    f"LiRA: {shadows['count']} shadow models, each trained {shadows['rounds']} rounds by the run's "
    f"recipe on a random half of a pool of {shadows['images']} images ({shadows['members']} of "
    f"the clients, the others of evaluation and validation), {shadows['trained_on']:.0f} on "
    "average, dealt anew as the run's were; near-duplicates and patients stay together. Each image "
    "was in half of them. Orders, dropout, noise, and initial weights where they are drawn, come "
    "of seeds of their own."
  ]
  if shadows["adapted"]:
    lines.append("Shadow models are adapted as the run's, on the server's own images.")
  if shadows["copies"]:
    lines.append(
      "A client's copy is compared with the first client's copy of each shadow model, with noise "
      "of its own."
    )
  if shadows["private"]:
    lines.append("The mechanism's noise is as strong as in the run, on as many clients.")
  if shadows["shifted"]:
    lines.append("Models are asked about images as they were before --feature_shift.")
  if shadows["copies_left_out"]:
    lines.append(
      f"Left out as near-duplicates, or as of patients, of the clients' images: "
      f"{shadows['copies_left_out']}."
    )
  if shadows["others_left_out"]:
    lines.append(
      f"Left out as of sites that are held out, or as no client could be given them: "
      f"{shadows['others_left_out']}."
    )
  return " ".join(lines)
