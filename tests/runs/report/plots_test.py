import json

import numpy as np
import PIL.Image
import pytest

from fedsafe_tff.runs.report import plots
from fedsafe_tff.runs.report.run_folder import RunFolder
from tests.runs.report import synthetic

DRAWN = {
  plots.learning_curves: "learning_curves.png",
  plots.client_labels: "client_labels.png",
  plots.transfer_heatmap: "transfer_matrix.png",
  plots.asr_against_eps: "asr_against_eps.png",
  plots.triptych: "triptych.png",
}


def pixels(path):
  """The picture as an array; fails unless it is a whole PNG."""
  with PIL.Image.open(path) as image:
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_each_plot_is_a_png_of_a_sensible_size(tmp_path, draw):
  path = draw(RunFolder.read(synthetic.finished(tmp_path)))
  assert path == tmp_path / "plots" / DRAWN[draw]
  height, width, _ = pixels(path).shape
  assert 400 <= width <= 2500 and 300 <= height <= 2500
  assert len(np.unique(pixels(path).reshape(-1, 3), axis=0)) > 20  # not one blank area
  assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_nothing_to_draw(tmp_path, draw):
  assert draw(RunFolder.read(synthetic.interrupted(tmp_path))) is None
  assert not (tmp_path / "plots").exists()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("loss", [("nan", 0.5, 0.4), ("", "", "")])
def test_learning_curves_of_an_unfinished_run_with_gaps(tmp_path, loss):
  synthetic.interrupted(tmp_path)
  columns = {name: loss for name in ("train_loss", "validation_loss")}
  synthetic.write_metrics(tmp_path, **columns)
  assert pixels(plots.learning_curves(RunFolder.read(tmp_path))).any()


def test_one_round_and_one_client(tmp_path):
  synthetic.interrupted(tmp_path)
  synthetic.write_metrics(tmp_path, rounds=1)
  synthetic.write_evaluation(tmp_path, attacks=("fgsm",), sizes=(0.0,), clients=1)
  run = RunFolder.read(tmp_path)
  for draw in (plots.learning_curves, plots.transfer_heatmap, plots.asr_against_eps):
    assert pixels(draw(run)).any()


def test_many_clients_and_sizes_stay_in_one_readable_picture(tmp_path):
  synthetic.interrupted(tmp_path)
  sizes = tuple(np.linspace(0.005, 0.05, 9).tolist())
  synthetic.write_evaluation(tmp_path, sizes=sizes, clients=25)
  run = RunFolder.read(tmp_path)
  assert len(run.matrices()) == 18
  height, width, _ = pixels(plots.transfer_heatmap(run)).shape
  assert width <= 2500 and height <= 800


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
  "class_names", [("_hidden", "$x_{$"), ("<b> & 50%", "nom très long" * 5)]
)
def test_class_names_are_shown_as_they_are(tmp_path, class_names):
  run = RunFolder.read(synthetic.finished(tmp_path, class_names))
  for draw in (plots.client_labels, plots.triptych):
    assert pixels(draw(run)).any()


def test_the_legend_has_every_class_literally(tmp_path, monkeypatch):
  shown = []
  monkeypatch.setattr(plots.style, "save", lambda figure, path: shown.append(figure))
  names = ("_hidden", "a$b$c")
  plots.client_labels(RunFolder.read(synthetic.finished(tmp_path, names)))
  legend = shown[0].axes[0].get_legend().get_texts()
  assert [text.get_text() for text in legend] == list(names)
  assert not any(text.get_parse_math() for text in legend)


def test_bars_are_the_clients_counts(tmp_path, monkeypatch):
  shown = []
  monkeypatch.setattr(plots.style, "save", lambda figure, path: shown.append(figure))
  plots.client_labels(RunFolder.read(synthetic.finished(tmp_path)))
  bars = [[bar.get_height() for bar in group] for group in shown[0].axes[0].containers]
  assert bars == [[12, 5], [8, 16]]
  tops = [bar.get_y() + bar.get_height() for bar in shown[0].axes[0].containers[-1]]
  assert tops == [20, 21]


def test_heatmaps_show_the_strongest_attack_with_adversaries_in_rows(tmp_path, monkeypatch):
  shown = []
  monkeypatch.setattr(plots.style, "save", lambda figure, path: shown.append(figure))
  run = RunFolder.read(synthetic.finished(tmp_path))
  plots.transfer_heatmap(run)
  for axis, eps in zip(shown[0].axes, synthetic.SIZES):
    np.testing.assert_array_equal(axis.images[0].get_array(), run.matrices()["pgd", eps])
    assert axis.get_title() == f"PGD, eps {eps:g}"


@pytest.mark.parametrize("channels, eps", [(3, 0.03), (1, 0.0)])
def test_triptych_of_colours_and_of_no_perturbation(tmp_path, channels, eps):
  synthetic.interrupted(tmp_path)
  synthetic.write_examples(tmp_path, channels=channels, eps=eps)
  assert pixels(plots.triptych(RunFolder.read(tmp_path))).any()


def test_the_legend_lies_below_the_curves(tmp_path, monkeypatch):
  shown = []
  monkeypatch.setattr(plots.style, "save", lambda figure, path: shown.append(figure))
  plots.asr_against_eps(RunFolder.read(synthetic.finished(tmp_path)))
  (figure,) = shown
  figure.canvas.draw()
  (legend,) = figure.legends
  assert len(legend.get_texts()) == 5 and all(axis.get_legend() is None for axis in figure.axes)
  bottom = min(axis.get_tightbbox().y0 for axis in figure.axes)
  assert legend.get_window_extent().y1 <= bottom + 1


def test_many_attackers_share_two_panels(tmp_path, monkeypatch):
  synthetic.interrupted(tmp_path)
  rows = [
    {"attacker": name, "attack": "worst of 2", "eps": eps, "asr_self": 0.5, "asr_avg": 0.25,
     "random_noise_flip_rate": 0.0}
    for name in ("own_copy", "noise_ensemble", "surrogate", "black_box", "worst")
    for eps in (0.03, 0.01)
  ]
  (tmp_path / "evaluation.json").write_text(json.dumps({"results": rows}))
  shown = []
  monkeypatch.setattr(plots.style, "save", lambda figure, path: shown.append(figure))
  plots.asr_against_eps(RunFolder.read(tmp_path))
  left, right = shown[0].axes
  assert [line.get_label() for line in left.lines][:5] == [
    "own_copy", "noise_ensemble", "surrogate", "black_box", "worst",
  ]
  np.testing.assert_array_equal(left.lines[0].get_xdata(), [0.01, 0.03])
  assert right.lines[0].get_ydata()[0] == 0.25


def test_the_heatmap_of_a_suite_is_that_of_all_attackers(tmp_path, monkeypatch):
  synthetic.interrupted(tmp_path)
  results = [
    {"attacker": name, "attack": f"worst of {n}", "eps": 0.1}
    for name, n in (("own_copy", 2), ("worst", 3))
  ]
  (tmp_path / "evaluation.json").write_text(json.dumps({"results": results}))
  synthetic.write_csv(
    tmp_path / "transfer_matrix.csv",
    [{**row, "adversary": 0, "victim": 0, "asr": 0.25 * (i + 1)} for i, row in enumerate(results)],
  )
  shown = []
  monkeypatch.setattr(plots.style, "save", lambda figure, path: shown.append(figure))
  plots.transfer_heatmap(RunFolder.read(tmp_path))
  assert shown[0].axes[0].images[0].get_array().item() == 0.5
  assert shown[0].axes[0].get_title() == "worst of 3, eps 0.1"
