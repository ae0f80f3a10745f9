"""What the binaries of tables and figures share."""

from collections.abc import Sequence

from fedsafe_tff.paper import flags as sweep_flags


def make(name: str, arguments: Sequence[str], doc: str) -> int:
  """Makes a table or figure.

  Args:
    name: Which.
    arguments: The command line without the program's name.
    doc: What `--help` prints above the flags.

  Returns:
    The exit code: 1 when it was stopped, or when cells could not be done or are lacking.
  """
  request = sweep_flags.parse(arguments, doc, name)
  from fedsafe_tff.paper.sweep import run
  from fedsafe_tff.runs.run import Stopped

  try:
    page, failed = run(request)
  except Stopped as stopped:
    print(stopped, flush=True)
    return 1
  if failed and request.only_cached:
    print(f"{failed} cells are not in {request.cache}, or not at all sizes: the page names them")
  elif failed:
    print(f"{failed} cells could not be done: the page names them")
  print(f"page: {page}")
  return 1 if failed else 0
