"""The pages' templates."""

import json
import pathlib

import jinja2

NAMES = (
  "report.html.jinja", "report_parts.jinja", "side_by_side.html.jinja", "style.jinja",
  "survey.html.jinja", "survey.jinja",
)  # fmt: skip


def environment() -> jinja2.Environment:
  """Jinja with everything escaped, and an error for a name that is missing."""
  made = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  made.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
  return made
