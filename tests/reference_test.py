"""The API reference: `make docs` gives every module of the library a page that needs no network."""

import pathlib
import re
import subprocess
import sys

import pytest

from tests import source_tree
from tests.layers_test import DRIVERS

_MAKEFILE = (source_tree.ROOT / "Makefile").read_text(encoding="utf-8")
_RESOURCE = re.compile(
  r"<(?:script|img|link|iframe)\b[^>]*(?:src|href)=[\"']?\w+://|@import|url\([\"']?(?:\w+:)?//"
)


def test_the_generator_is_pinned():
  pins = (source_tree.ROOT / "requirements-test.txt").read_text()
  assert re.search(r"^pdoc==", pins, re.MULTILINE)


@pytest.mark.slow
def test_every_public_module_has_a_page_that_needs_no_network(tmp_path):
  pytest.importorskip("pdoc", reason="pdoc is not installed: make setup-test")
  (command,) = re.findall(r"^\t\$\(PY\) (-m pdoc .*\\\n.*)$", _MAKEFILE, re.MULTILINE)
  words = command.replace("\\\n", " ").replace("$(DOCS)", str(tmp_path)).replace("'", "").split()
  subprocess.run([sys.executable, *words], cwd=source_tree.ROOT, check=True, timeout=500)
  library = [
    source.module for source in source_tree.sources()
    if source.module.split(".")[0] == "fedsafe_tff" and not source.module.startswith(DRIVERS)
  ]  # fmt: skip
  pages = {path.relative_to(tmp_path).with_suffix("") for path in tmp_path.rglob("*.html")}
  assert {pathlib.Path(*module.split(".")) for module in library} == pages - {pathlib.Path("index")}
  for path in tmp_path.rglob("*.html"):
    assert not _RESOURCE.search(path.read_text(encoding="utf-8")), path
  page = (tmp_path / "fedsafe_tff" / "learning" / "fed_safe.html").read_text(encoding="utf-8")
  assert "build_fed_safe" in page and "Raises" in page and "Arguments" in page
