"""What can go wrong inside a runtime, in types that every runtime shares."""


class ComputationFailed(RuntimeError):
  """An operation failed where it ran, and the runtime lives on; the message is the operation's."""


def one_line(text: object) -> str:
  """A message of several lines on one."""
  return " ".join(str(text).split())


def operation_message(message: str) -> str:
  """TensorFlow's words on a failed operation, without the Python stack of its definition."""
  kept = []
  for line in message.splitlines():
    stack = line.startswith(("Graph execution error", "Detected at node", '  File "'))
    if line.strip() and not stack:
      kept.append(line)
  return one_line(" ".join(kept))
