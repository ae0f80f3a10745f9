"""Which runtime TFF's default context belongs to.

That context is thread-local. A runtime that opens inside another one takes its place and gives it
back when it closes.
"""

import atexit
from collections.abc import Callable
from typing import Any

import tensorflow_federated as tff
from tensorflow_federated.python.core.impl.context_stack import set_default_context

# TFF's own context stops its worker in `__del__`. Left to the end of the interpreter that finds
# the modules it needs gone, prints an AttributeError and leaves the worker behind.
atexit.register(set_default_context.set_no_default_context)


class OwnContext:
  """Marks the contexts of our runtimes, told apart from TFF's own."""


class InProcessContext(OwnContext, tff.framework.SyncContext):
  """A context that hands every invocation to a function."""

  def __init__(self, invoke: Callable[[tff.Computation, Any], Any]):
    self._invoke = invoke

  def invoke(self, comp: tff.Computation, arg: Any) -> Any:
    """Runs `comp`; `arg` is its packed argument, None if it takes none."""
    return self._invoke(comp, arg)


def current_own_context() -> OwnContext | None:
  """The context of the runtime that is open on this thread, if any."""
  current = tff.framework.get_context_stack().current
  return current if isinstance(current, OwnContext) else None
