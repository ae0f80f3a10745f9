"""Flags that all benchmarks share."""

import argparse
import os
from collections.abc import Callable

from fedsafe_tff.errors import UserError

# Of the machine, before a benchmark begins: other work on it spoils the figures.
LOAD_BEFORE = os.getloadavg()[0]


class _Parser(argparse.ArgumentParser):
  def error(self, message: str):
    raise UserError(f"{message}; {self.prog} --help lists the flags")


def parser(name: str, doc: str) -> argparse.ArgumentParser:
  """A parser with the common flags.

  Args:
    name: The benchmark's module.
    doc: Its docstring.
  """
  made = plain_parser(name, doc)
  data = made.add_mutually_exclusive_group(required=True)
  data.add_argument("--data_dir", default="", help="folder of the MRI, in Kaggle's layout")
  data.add_argument("--synthetic", action="store_true", help="random images of the same shape")
  made.add_argument("--repeats", type=at_least(1), default=5, help="measurements of each")
  made.add_argument(
    "--out",
    default=f"docs/benchmarks/{name}.md",
    help="the page; empty: only print it (default: %(default)s)",
  )
  made.add_argument("--task", default="four_class", help="task of the MRI (default: %(default)s)")
  made.add_argument("--image_size", type=at_least(8), default=100, help="side in pixels")
  made.add_argument("--conv_widths", default="narrow", help="as in experiments.train")
  made.add_argument("--dense_widths", default="64,32,16,8", help="as in experiments.train")
  made.add_argument("--batch_size", type=at_least(1), default=32, help="of local training")
  made.add_argument("--cache_dir", default=".cache", help="folder of prepared images")
  return made


def plain_parser(name: str, doc: str) -> argparse.ArgumentParser:
  """A parser without flags, for a benchmark that has none of the common ones."""
  return _Parser(
    prog=f"python -m benchmarks.{name}",
    description=doc,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )


def at_least(low: int) -> Callable[[str], int]:
  """A type of flag: whole numbers from `low` on."""

  def parse(text: str) -> int:
    number = int(text)
    if number < low:
      raise argparse.ArgumentTypeError(f"{number} is below {low}")
    return number

  parse.__name__ = f"number of at least {low}"
  return parse


def numbers(text: str) -> tuple[int, ...]:
  """A type of flag: comma-separated numbers above 0."""
  found = tuple(int(entry) for entry in text.split(",") if entry)
  if not found or min(found) < 1:
    raise argparse.ArgumentTypeError(f"{text!r} are not comma-separated numbers above 0")
  return found


def names(*allowed: str) -> Callable[[str], tuple[str, ...]]:
  """A type of flag: comma-separated names out of `allowed`."""

  def parse(text: str) -> tuple[str, ...]:
    found = tuple(entry for entry in text.split(",") if entry)
    unknown = sorted(set(found) - set(allowed))
    if unknown or not found:
      raise argparse.ArgumentTypeError(f"{text!r}: choose from {', '.join(allowed)}")
    return found

  return parse
