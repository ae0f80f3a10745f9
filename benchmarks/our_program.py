"""Rounds of ours as a program, see `benchmarks.program`.

python -m benchmarks.our_program [--runtime=device] [--cpu_devices=1] [--threads=0] TASK
"""

import argparse
import time

from benchmarks.peers.serve import Server, Task


def serve() -> None:
  """Runs rounds as they are asked for."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--runtime", default="device")
  parser.add_argument("--cpu_devices", type=int, default=1)
  parser.add_argument("--threads", type=int, default=0, help="of an operation; 0: all cores")
  parser.add_argument("task")
  values = parser.parse_args()
  task = Task.read(values.task)
  server = Server(task)
  settings = task.settings
  import tensorflow as tf

  from benchmarks import ours

  tf.config.threading.set_intra_op_parallelism_threads(values.threads)
  ours.split_cpu(values.cpu_devices)
  from fedsafe_tff.data import shards
  from fedsafe_tff.models.cnn import build_cnn

  names = ("num_classes", "conv_widths", "dense_widths", "mean", "stddev")
  model = build_cnn(
    input_shape=tuple(settings["input_shape"]),
    compute_dtype=settings.get("dtype", "float32"),
    dropout=settings.get("dropout", 0.25),
    **{name: settings[name] for name in names},
  )
  clients = [task.client(index) for index in range(settings["clients"])]
  parts = {shards.client_name(i): client for i, client in enumerate(clients)}
  parts[shards.SERVER] = clients[0][0][:1], clients[0][1][:1]
  store = shards.build(str(task.folder / "cache"), "benchmark", parts)
  with ours.open_runtime(values.runtime, task.folder) as runtime:
    contender = ours.OurRound(
      runtime,
      model,
      store,
      len(clients),
      batch_size=settings["batch_size"],
      shuffle=settings.get("shuffle", True),
    )
    for _ in server.requests():
      begun = time.perf_counter()
      contender()
      server.answer(time.perf_counter() - begun, contender.weights)


if __name__ == "__main__":
  serve()
