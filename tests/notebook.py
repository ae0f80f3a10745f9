"""Runs a notebook's cells in one namespace, without Jupyter; `--write` stores what they give.

`python -m tests.notebook docs/tutorial.ipynb --write` writes outputs as Jupyter does: what is
printed, the value of a last expression, and a figure as PNG.
"""

import argparse
import ast
import base64
import contextlib
import io
import json
import pathlib
from typing import Any

_DPI = 64  # a small file


def code_cells(path: pathlib.Path) -> list[dict[str, Any]]:
  """The code cells of a notebook, as they are stored."""
  return [cell for cell in _read(path)["cells"] if cell["cell_type"] == "code"]


def run_cell(source: str, namespace: dict[str, Any]) -> list[dict[str, Any]]:
  """Runs one cell; returns its outputs, in the notebook's format."""
  tree = ast.parse(source)
  last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
  printed, value = io.StringIO(), None
  with contextlib.redirect_stdout(printed):
    exec(compile(tree, "<cell>", "exec"), namespace)
    if last is not None:
      value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)
  outputs = []
  if text := printed.getvalue():
    outputs.append({"name": "stdout", "output_type": "stream", "text": _lines(text)})
  if value is not None:
    outputs.append(
      {"data": _shown(value), "execution_count": None, "metadata": {},
       "output_type": "execute_result"}
    )  # fmt: skip
  return outputs


def _shown(value: Any) -> dict[str, Any]:
  data = {"text/plain": _lines(repr(value))}
  if hasattr(value, "savefig"):
    png = io.BytesIO()
    value.savefig(png, format="png", dpi=_DPI)
    data["image/png"] = base64.b64encode(png.getvalue()).decode()
  return data


def _lines(text: str) -> list[str]:
  return text.splitlines(keepends=True)


def _read(path: pathlib.Path) -> dict[str, Any]:
  return json.loads(path.read_text(encoding="utf-8"))


def main() -> None:
  """Runs a notebook, and stores the outputs if it is asked to."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("path", type=pathlib.Path)
  parser.add_argument("--write", action="store_true")
  given = parser.parse_args()
  notebook, namespace = _read(given.path), {"__name__": "__main__"}
  for number, cell in enumerate(c for c in notebook["cells"] if c["cell_type"] == "code"):
    cell["outputs"] = run_cell("".join(cell["source"]), namespace)
    cell["execution_count"] = number + 1
    for output in cell["outputs"]:
      print(*output.get("text", output.get("data", {}).get("text/plain", ())), sep="")
      if "execution_count" in output:
        output["execution_count"] = number + 1
  if given.write:
    given.path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
  main()
