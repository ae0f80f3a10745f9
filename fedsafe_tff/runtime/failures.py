"""What can go wrong inside a runtime, in types that every runtime shares."""


class ComputationFailed(RuntimeError):
  """An operation failed where it ran, and the runtime lives on; the message is the operation's."""


def one_line(text: object) -> str:
  """A message of several lines on one."""
  return " ".join(str(text).split())


def advice(message: str) -> str:
  """What to do about an operation's failure, where its message tells; else nothing."""
  if "No such file or directory" in message and (".images" in message or ".labels" in message):
    return (
      "; the cache was deleted while the run was under way: the same command makes it anew and "
      "continues"
    )
  if "OOM when allocating" in message or "bad_alloc" in message or "out of memory" in message:
    return "; out of memory: lower --batch_size, --image_size or the clients side by side"
  return ""


def operation_message(message: str) -> str:
  """TensorFlow's words on a failed operation, without the Python stack of its definition."""
  kept = []
  for line in message.splitlines():
    stack = line.startswith(("Graph execution error", "Detected at node", '  File "'))
    if line.strip() and not stack:
      kept.append(line)
  return one_line(" ".join(kept))
