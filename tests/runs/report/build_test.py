import base64
import html.parser
import io
import json

import PIL.Image
import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.report.build import build
from tests.runs.report import synthetic

PICTURES = True


class Page(html.parser.HTMLParser):
  """Tags, links and text of a page."""

  def __init__(self, path):
    super().__init__()
    self.source = path.read_text(encoding="utf-8")
    self.open, self.tags, self.links, self.words = [], [], [], []
    self.feed(self.source)
    self.text = " ".join(" ".join(self.words).split())

  def handle_starttag(self, tag, attributes):
    self.tags.append(tag)
    self.links += [value for name, value in attributes if name in ("src", "href", "srcset")]
    if tag not in ("meta", "img"):
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if not {"style", "script"} & set(self.open):
      self.words.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """The folder of a whole run with its report."""
  path = synthetic.finished(tmp_path_factory.mktemp("finished"))
  assert build(path) == path / "report.html"
  return path


@pytest.fixture
def page(folder):
  return Page(folder / "report.html")


def test_one_file_that_needs_no_network(folder, page):
  assert page.open == [] and "script" not in page.tags and "link" not in page.tags
  assert len(page.links) == 5 and all(link.startswith("data:image/png") for link in page.links)
  assert "url(" not in page.source and "@import" not in page.source
  assert not [file for file in folder.iterdir() if file.name.startswith(".")]


def test_the_pictures_are_those_in_the_plots_folder(folder, page):
  held = [base64.b64decode(link.removeprefix("data:image/png;base64,")) for link in page.links]
  assert sorted(held) == sorted(file.read_bytes() for file in (folder / "plots").iterdir())
  for data in held:
    with PIL.Image.open(io.BytesIO(data)) as image:
      image.load()


def test_the_facts_of_the_run_stand_in_it(page):
  for fact in (
    "phantom, distributed_noise",
    "2 clients, 3 rounds of 1 local epochs, seed 0",
    "clean accuracy 0.812",
    "trivial: majority_class 0.625",
    "pgd 0.03 0.812 0.831 0.331",
    "No differential privacy: uploads carry no noise.",
    "python -m experiments.train --num_clients=2 --rounds=3 --defense=distributed_noise",
    "--attack_eps [0.005, 0.012, 0.017, 0.03, 0.05]",
    'versions {"numpy": "1.25"}',
    "git_commit null",
    "noise_to_signal 3 0 20 0.1667 0.75 1.5 0 - 3 1 21",  # NaN is a dash
  ):
    assert fact in page.text
  assert "not finished" not in page.text


def test_html_in_names_is_escaped(tmp_path):
  names = ("<script>alert(1)</script>", '"><img src="http://a.b/c.png">')
  folder = synthetic.finished(tmp_path, names, command=['--task=<b>"x"</b>'], task="<i>a & b</i>")
  page = Page(build(folder))
  assert "script" not in page.tags and "b" not in page.tags[page.tags.index("h2") :]
  assert "i" not in page.tags and page.tags.count("img") == 5
  assert all(link.startswith("data:") for link in page.links)
  assert "phantom <i>a & b</i>, distributed_noise" in page.text
  assert "<script>alert(1)</script>" in page.text


def test_the_command_can_be_pasted_into_a_shell(tmp_path):
  """Whatever command made it, with a preset or as one of several runs."""
  synthetic.interrupted(tmp_path, dataset="brain_tumor", data_dir="my images", augment="")
  words = ["demo.py", "demo", "--preset=demo"]
  (tmp_path / "manifest.json").write_text(json.dumps({"command": words}))
  text = Page(build(tmp_path)).text
  assert "python -m experiments.train --dataset=brain_tumor '--data_dir=my images'" in text
  assert " --augment= " in text and "experiments.train demo" not in text


def test_an_interrupted_run_has_a_page_too(tmp_path):
  synthetic.interrupted(tmp_path)
  page = Page(build(tmp_path))
  assert "not finished: 0 rounds so far" in page.text and page.links == []
  synthetic.write_metrics(tmp_path, rounds=2, train_loss=("nan", 0.5))
  synthetic.write_partition(tmp_path)
  page = Page(build(tmp_path))
  assert "not finished: 2 rounds so far" in page.text and len(page.links) == 2
  assert "Attacks" not in page.text and "Clients in the last round" in page.text


def test_a_second_build_gives_the_same_page(folder, page):
  assert build(folder).read_text(encoding="utf-8") == page.source


def test_another_folder_is_a_user_error(tmp_path):
  with pytest.raises(UserError, match="not a run folder"):
    build(tmp_path)
  assert list(tmp_path.iterdir()) == []


def test_later_attacks_and_warnings_stand_on_the_page(tmp_path):
  synthetic.finished(tmp_path)
  evaluation = json.loads((tmp_path / "evaluation.json").read_text())
  failed = {"name": "black_box", "passed": False, "value": 1.0, "text": "a box is better"}
  later = evaluation | {
    "evaluation": "strong", "attacked_images": 7, "trials": evaluation["results"][:1],
    "masking": {"passed": False, "checks": [failed]},
  }  # fmt: skip
  (tmp_path / "attacks" / "strong").mkdir(parents=True)
  (tmp_path / "attacks" / "strong" / "evaluation.json").write_text(json.dumps(later))
  page = Page(build(tmp_path))
  assert "Suite: paper" in page.text and "Evaluated again: strong" in page.text
  assert "Suite: strong; 7 evaluation images are attacked" in page.text
  assert "Is it masked? check passed found black_box NO a box is better" in page.text
  assert "Warning: robustness may be masked (black_box): a box is better" in page.text
  assert page.text.count("Attack after attack") == 1 and page.open == []
