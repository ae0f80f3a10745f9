"""The plots of a run. Each returns its PNG, or None where there is nothing to draw."""

import pathlib

import numpy as np

from fedsafe_tff.runs.report import style
from fedsafe_tff.runs.report.run_folder import OWN_COPY, RunFolder


def learning_curves(run: RunFolder) -> pathlib.Path | None:
  """Loss and accuracy over the rounds; rounds with adaptation are marked."""
  if not run.metrics:
    return None
  figure = style.new_figure(9, 3.4)
  axes = style.subplots(figure, 1, 2)[0]
  for axis, quantity in zip(axes, ("loss", "accuracy")):
    train = "clients, attacked training" if run.trains_on_attacked() else "clients, training"
    series = (("train", train), ("validation", "global model, validation"))
    rounds, robust = run.column("robust_validation_accuracy")
    if quantity == "accuracy" and len(rounds):
      series += (("robust_validation", "global model, attacked validation"),)
      best = int(robust.argmax())
      told = f"best {robust[best]:.3f} in round {rounds[best]:.0f}, last {robust[-1]:.3f}"
      axis.set_title(f"attacked validation: {told}", fontsize=9)
    for (part, label), color in zip(series, style.COLORS):
      rounds, values = run.column(f"{part}_{quantity}")
      axis.plot(rounds, values, color=color, label=label, marker="o", markersize=3)
    for number, row in enumerate(r for r in run.metrics if r.get("adapted") == 1.0):
      axis.axvline(
        row["round"], color="#888888", linestyle=":", label="" if number else "adaptation"
      )
    axis.set_xlabel("round")
    axis.xaxis.get_major_locator().set_params(integer=True)
  axes[0].set_ylabel("cross-entropy (nats)")
  losses = [run.column(f"{part}_loss")[1] for part in ("train", "validation")]
  if (np.concatenate(losses) > 0).any():
    axes[0].set_yscale("log")
  axes[1].set_ylabel("accuracy")
  majority = run.evaluation.get("majority_class")
  if majority is not None:
    axes[1].axhline(majority, color="#444444", linestyle="--", label="majority class (evaluation)")
  axes[1].legend(fontsize=8)
  return style.save(figure, run.path / "plots" / "learning_curves.png")


def privacy_over_rounds(run: RunFolder) -> pathlib.Path | None:
  """Epsilon over the rounds, where the run has one."""
  now = run.privacy.get("now") or {}
  rounds, epsilons = run.column("epsilon")
  if not now.get("guarantees") or not len(rounds) or not (epsilons > 0).any():
    return None
  figure = style.new_figure(6, 3.4)
  axis = style.subplots(figure, 1, 1)[0, 0]
  axis.plot(rounds, epsilons, color=style.COLORS[0], marker="o", markersize=3)
  axis.set_xlabel("round")
  axis.set_ylabel(f"epsilon at delta {now['delta']:g}")
  axis.set_ylim(bottom=0)
  axis.xaxis.get_major_locator().set_params(integer=True)
  return style.save(figure, run.path / "plots" / "epsilon.png")


def adaptation_passes(run: RunFolder) -> pathlib.Path | None:
  """New examples per pass of the last iterated adaptation, and the two risks of the proof."""
  if not run.passes:
    return None
  last = max(row["round"] for row in run.passes)
  rows = [row for row in run.passes if row["round"] == last]
  numbers = [row["pass"] for row in rows]
  figure = style.new_figure(9, 3.4)
  left, right = style.subplots(figure, 1, 2)[0]
  left.bar(numbers, [row["new_examples"] for row in rows], color=style.COLORS[0])
  left.set_ylabel("new adversarial examples")
  for (name, label), color in zip(
    (("retraining_risk", "$L_N^R$: images and examples so far"),
     ("adversarial_risk", "$L_A$: images after the attack")), style.COLORS
  ):  # fmt: skip
    right.plot(numbers, [row[name] for row in rows], color=color, label=label, marker="o")
  right.set_ylabel("summed loss / images (nats)")
  right.set_ylim(bottom=0)
  right.legend(fontsize=8)
  for axis in (left, right):
    axis.set_xlabel("pass")
    axis.xaxis.get_major_locator().set_params(integer=True)
  return style.save(figure, run.path / "plots" / "adaptation_passes.png")


def client_labels(run: RunFolder) -> pathlib.Path | None:
  """How many images of each class each client holds."""
  if not run.partition:
    return None
  counts = np.array(run.partition["clients"])
  figure = style.new_figure(max(4.5, min(12, 2.5 + 0.6 * len(counts))), 3.4)
  axis = style.subplots(figure, 1, 1)[0, 0]
  bottom = np.zeros(len(counts))
  names = run.partition["class_names"]
  for number in range(len(names)):
    color = style.COLORS[number % len(style.COLORS)]
    axis.bar(range(len(counts)), counts[:, number], bottom=bottom, color=color, label=str(number))
    bottom += counts[:, number]
  axis.set_xlabel("client")
  axis.set_ylabel("training images")
  axis.xaxis.get_major_locator().set_params(integer=True)
  axis.set_ylim(0, bottom.max() * 1.25)
  legend = axis.legend(ncols=4, fontsize=8, loc="upper left")
  # Folders are named by users: as labels of bars, "_x" would be left out and "$x$" be typeset.
  for text, name in zip(legend.get_texts(), names):
    text.set(text=name, parse_math=False)
  return style.save(figure, run.path / "plots" / "client_labels.png")


def transfer_heatmap(run: RunFolder, max_panels: int = 4) -> pathlib.Path | None:
  """ASR of every adversary on every victim, for the strongest attack at a few sizes."""
  results = run.evaluation.get("results") or [{"attack": None}]
  attacker = results[-1].get("attacker")  # the worst of all stands last
  matrices = run.matrices(attacker=attacker)
  if not matrices:
    return None
  names = [name for name, _ in matrices]
  worst = [name for name in names if name.startswith("worst of")]
  attack = worst[0] if worst else "pgd" if "pgd" in names else names[0]
  sizes = sorted(eps for name, eps in matrices if name == attack)
  if len(sizes) > max_panels:
    sizes = [sizes[i] for i in np.linspace(0, len(sizes) - 1, max_panels).round().astype(int)]
  count = len(next(iter(matrices.values())))
  side = 2.6 if count <= 10 else 4.2
  figure = style.new_figure(side * len(sizes) + 1, side + 0.6)
  axes = style.subplots(figure, 1, len(sizes), sharey=True)[0]
  for axis, eps in zip(axes, sizes):
    matrix = matrices[attack, eps]
    picture = axis.imshow(matrix, vmin=0, vmax=1, cmap="viridis")
    axis.grid(False)
    axis.set_title(f"{_attack_title(attack)}, eps {eps:g}", fontsize=10)
    axis.set_xlabel("victim")
    ticks = range(0, count, max(1, count // 10))
    axis.set_xticks(ticks)
    axis.set_yticks(ticks)
    if count <= 10:
      for (row, column), value in np.ndenumerate(matrix):
        color = "black" if value > 0.6 else "white"
        axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=color, fontsize=8)
  axes[0].set_ylabel("adversary")
  figure.colorbar(picture, ax=list(axes), label="attack success rate (Eq. 11)", shrink=0.85)
  return style.save(figure, run.path / "plots" / "transfer_matrix.png")


_CURVES = (
  ("asr_self", "self: adversary's own copy", "o", "-", style.COLORS[0]),
  ("asr_avg", "avg: the other clients' copies", "s", "-", style.COLORS[1]),
  ("asr_self_correct", "self, correct images only", "o", ":", style.COLORS[0]),
  ("asr_avg_correct", "avg, correct images only", "s", ":", style.COLORS[1]),
  ("random_noise_flip_rate", "random noise of the same size", "x", "--", "#444444"),
)
_MOST_PANELS = 3


def asr_against_eps(run: RunFolder) -> pathlib.Path | None:
  """Self and avg ASR against the perturbation size, with random noise as the control.

  A panel per attack; with more attackers than that a panel for self and one for avg.
  """
  results = run.evaluation.get("results")
  if not results:
    return None
  groups: dict[tuple[str, str], list] = {}
  for row in sorted(results, key=lambda r: r["eps"]):
    groups.setdefault((row.get("attacker", OWN_COPY), row["attack"]), []).append(row)
  if len(groups) > _MOST_PANELS:
    figure = _by_attacker(groups)
  else:
    figure = style.new_figure(max(4.2 * len(groups), 6.0) + 0.6, 4.0)
    axes = style.subplots(figure, 1, len(groups), sharey=True)[0]
    for axis, ((attacker, attack), rows) in zip(axes, groups.items()):
      for name, label, marker, line, color in _CURVES:
        _curve(axis, rows, name, marker=marker, linestyle=line, color=color, label=label)
      title, who = _attack_title(attack), style.plain(attacker)
      axis.set_title(title if attacker == OWN_COPY else f"{who}: {title}", fontsize=10)
  axes = figure.axes
  for axis in axes:
    axis.set_xlabel("eps (pixels of [0, 1])")
    axis.set_ylim(-0.03, 1.03)
  axes[0].set_ylabel("share of labels changed")
  # Below the axes: within them it would lie over the curves.
  handles, labels = axes[0].get_legend_handles_labels()
  figure.legend(handles, labels, fontsize=7.5, loc="outside lower center", ncols=3)
  return style.save(figure, run.path / "plots" / "asr_against_eps.png")


def _by_attacker(groups: dict[tuple[str, str], list]):
  figure = style.new_figure(9.0, 4.8)
  axes = style.subplots(figure, 1, 2, sharey=True)[0]
  panels = (("asr_self", "self: adversary's own copy"), ("asr_avg", "avg: other clients' copies"))
  for axis, (name, title) in zip(axes, panels):
    for number, ((attacker, attack), rows) in enumerate(groups.items()):
      worst = attacker == "worst"
      color = "black" if worst else style.COLORS[number % len(style.COLORS)]
      line = ("-", "--", ":")[number // len(style.COLORS) % 3]
      label = f"{attacker}, {attack}" if not attack.startswith("worst of") else attacker
      label = style.plain(label.lstrip("_"))  # Matplotlib leaves out what begins so
      _curve(
        axis, rows, name, marker="o", linestyle=line, color=color, label=label,
        linewidth=2.5 if worst else 1.2,
      )  # fmt: skip
    rows = next(iter(groups.values()))
    _curve(
      axis, rows, "random_noise_flip_rate", marker="x", linestyle="--", color="#444444",
      label="random noise of the same size",
    )  # fmt: skip
    axis.set_title(title, fontsize=10)
  return figure


def _curve(axis, rows, name: str, **how) -> None:
  pairs = [(r["eps"], r[name]) for r in rows if r.get(name) is not None]
  if pairs:
    axis.plot(*zip(*pairs), **how)


def _attack_title(attack: str) -> str:
  return attack.upper() if attack in ("fgsm", "pgd") else style.plain(attack)


def triptych(run: RunFolder) -> pathlib.Path | None:
  """Figure 1: original, perturbation, adversarial example, with what the model says of each."""
  data = run.examples
  if not data:
    return None
  count = len(data["original"])
  names = [str(name) for name in data["class_names"]]
  eps, attack = float(data["eps"]), str(data["attack"]).upper()
  figure = style.new_figure(8.2, 2.9 * count)
  axes = style.subplots(figure, count, 3)
  gain = 0.5 / eps if eps else 1.0
  for row in range(count):
    before, after = (int(data[f"predicted_{when}"][row]) for when in ("before", "after"))
    panels = (
      (
        data["original"][row],
        f"original: {names[int(data['label'][row])]}\nmodel: {names[before]} "
        f"({data['probability_before'][row]:.2f})",
      ),
      (
        np.clip(0.5 + gain * data["perturbation"][row], 0, 1),
        f"{attack} perturbation, eps {eps:g}\n(shown x{gain:.0f}, grey is 0)",
      ),
      (
        data["adversarial"][row],
        f"adversarial example\nmodel: {names[after]} ({data['probability_after'][row]:.2f})",
      ),
    )
    for axis, (image, title) in zip(axes[row], panels):
      gray = image.shape[-1] == 1
      axis.imshow(image[..., 0] if gray else image, cmap="gray", vmin=0, vmax=1)
      axis.set_title(title, fontsize=9, parse_math=False)
      axis.axis("off")
  return style.save(figure, run.path / "plots" / "triptych.png")
