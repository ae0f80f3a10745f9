"""Descriptions of computations that are nested deeper than protobuf reads by default.

protobuf refuses messages nested more than a hundred deep. TFF puts a computation into another one
by writing it out and reading it back, and a process with TFF's distributed DP in it goes deeper.
Read by a process that has made them itself, such messages are no danger.
"""

from google.protobuf.internal import api_implementation


def allow() -> None:
  """Lets this process read them from now on; does nothing where protobuf has no such limit."""
  # The only way that protobuf offers: the name is of its limit on bytes, which goes with it.
  module = getattr(api_implementation, "_c_module", None)
  lift = getattr(module, "SetAllowOversizeProtos", None)
  if lift is not None:
    lift(True)
