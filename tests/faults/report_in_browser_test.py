"""The report as a browser shows it."""

import shutil

import pytest

from fedsafe_tff.runs.report import side_by_side
from fedsafe_tff.runs.report.build import build
from fedsafe_tff.runs.report.run_folder import RunFolder
from tests.faults import browser as browser_lib
from tests.runs.report import synthetic

pytestmark = [
  pytest.mark.faults,
  pytest.mark.skipif(
    browser_lib.program() is None, reason=f"no browser: install one of {browser_lib.NAMES}"
  ),
]
NASTY = "<script>console.error('ran')</script><img src=http://example.org/x onerror=alert(1)>"
# Contrast of WCAG 2 between the text of every element and what is behind it; the lowest.
_CONTRAST = """
(() => {
  const rgba = s => s.match(/[\\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.03928 ? v / 12.92
    : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const back = e => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e)
    .backgroundColor); if (c.length < 4 || c[3] > 0) return c.slice(0, 3); }
    return [255, 255, 255]; };
  let least = 99;
  for (const e of document.querySelectorAll('h1,h2,p,td,th,dt,dd,li,pre,figcaption,summary,b')) {
    if (!e.innerText) continue;
    const [a, b] = [light(rgba(getComputedStyle(e).color).slice(0, 3)), light(back(e))];
    least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return least;
})()
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
  """A usual report, one of 1,000 rounds and 300 clients with nasty names, and two side by side."""
  folder = tmp_path_factory.mktemp("pages")
  usual = synthetic.finished(folder / "usual")
  large = synthetic.finished(folder / "large", class_names=("ill", NASTY), command=(NASTY,))
  rounds = 1000
  columns = {
    "round": range(1, rounds + 1), "train_loss": [0.5] * rounds, "train_accuracy": [0.5] * rounds,
    "validation_loss": [0.5] * rounds, "validation_accuracy": [0.7] * rounds,
    "epsilon": [""] * rounds, "adapted": [1] * rounds, "adaptation_accuracy": [0.9] * rounds,
  }  # fmt: skip
  synthetic.write_metrics(large, rounds, **columns)
  synthetic.write_csv(
    large / "clients.csv",
    [{"round": rounds, "client": c, "num_examples": 20, "loss": 0.5} for c in range(1000)],
  )
  entries = [side_by_side.Entry(NASTY, NASTY, RunFolder.read(path)) for path in (usual, large)]
  compared = side_by_side.write(folder / "both.html", "Runs side by side", entries)
  return {"usual": build(usual), "large": build(large), "compared": compared}


@pytest.mark.parametrize("name", ["usual", "large", "compared"])
def test_a_page(pages, name, tmp_path):
  page = tmp_path / "elsewhere" / "page.html"  # it must not need what lies beside it
  page.parent.mkdir()
  shutil.copy(pages[name], page)
  with browser_lib.Browser() as browser:
    seconds = browser.open(page)
    print(f"\n{name}: loaded in {seconds:.2f} s, {page.stat().st_size / 2**20:.2f} MiB")
    asked = [r["request"]["url"] for r in browser.told("Network.requestWillBeSent")]
    assert [url for url in asked if not url.startswith("data:")] == [page.resolve().as_uri()]
    wrong = browser.told("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    assert not wrong
    assert browser.evaluate("document.querySelectorAll('script').length") == 0
    assert browser.evaluate("document.querySelectorAll('table tbody tr').length") >= 1
    assert browser.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 50)")
    assert browser.evaluate("document.images.length") >= 3
    assert browser.evaluate("[...document.images].every(i => i.alt.length > 3)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 1280
    assert browser.evaluate("document.querySelectorAll('*').length") < 8000  # whatever the rounds
    assert browser.evaluate("document.documentElement.lang") == "en"
    assert browser.evaluate(_CONTRAST) >= 4.5
    light = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.send("Emulation.setEmulatedMedia", features=dark)
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert browser.evaluate(_CONTRAST) >= 4.5
    wanted = browser.evaluate("document.querySelectorAll('.wide, summary, a[href]').length")
    reached = [browser.tab() for _ in range(wanted)]
    assert all(reached) and wanted >= 1
    assert browser.tab() == ""  # past the last one
