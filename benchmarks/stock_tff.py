"""One FedAvg round, against TFF's own FedAvg as its tutorials write it.

python -m benchmarks.stock_tff {--data_dir=FOLDER | --synthetic} [--flag=value ...]

*stock TFF* is `build_weighted_fed_avg` on a Keras model (`from_keras_model`), its clients given as
`tf.data` sets of images in memory; *TFF's FedAvg on our model* is `--algorithm=tff_fed_avg`, with
our functional model and shards. Both run in the same worker as ours. All start from the same
weights and take the same batches, in the same order and without dropout, so that they must end
with the same weights: *apart* is the distance from those of ours in the first runtime, of the same
dtype, over the length of the round's step. The seconds of TFF's loops jump from round to round:
they may get either gradient of max-pooling, see `fedsafe_tff/apart.py`.
"""

import contextlib
import pathlib
import tempfile
from collections.abc import Sequence

from benchmarks import options
from fedsafe_tff.commands import main

_DTYPES = ("float32", "bfloat16")


def stock_tff(arguments: Sequence[str]) -> int:
  """Measures and writes the page; returns the exit code."""
  parser = options.parser("stock_tff", __doc__)
  parser.add_argument("--clients", type=options.at_least(1), default=3)
  parser.add_argument("--images_per_client", type=options.at_least(1), default=950)
  parser.add_argument(
    "--runtimes",
    type=options.names("native", "device"),
    default=("native", "device"),
    help="of ours (default: native,device)",
  )
  parser.add_argument("--dtypes", type=options.names(*_DTYPES), default=_DTYPES)
  parser.add_argument("--cpu_devices", type=options.at_least(1), default=2)
  values = parser.parse_args(arguments)
  from benchmarks import ours

  ours.split_cpu(values.cpu_devices)
  from benchmarks import measure, rounds
  from benchmarks import workload as workload_lib

  work = workload_lib.load(values, values.clients * values.images_per_client)
  clients = work.clients(values.clients, values.images_per_client)
  store = work.store(clients)
  with contextlib.ExitStack() as stack:
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    native = stack.enter_context(ours.open_runtime("native", folder))
    runtimes = {
      name: native if name == "native" else stack.enter_context(ours.open_runtime(name, folder))
      for name in values.runtimes
    }
    contenders = {
      "stock TFF, float32": _Stock(native, work, clients),
      "TFF's FedAvg on our model, float32": _Baseline(native, work, store, len(clients)),
    }
    for dtype in values.dtypes:
      for name, runtime in runtimes.items():
        contenders[f"ours, {name}, {dtype}"] = ours.OurRound(
          runtime,
          work.model(dtype, dropout=0.0),
          store,
          len(clients),
          batch_size=work.batch_size,
          shuffle=False,
        )
    seconds = measure.interleaved(contenders, values.repeats, warmup=2, log=workload_lib.say)
    weights = {name: contender.weights for name, contender in contenders.items()}
  first = f"ours, {values.runtimes[0]}, "
  return rounds.publish(
    "stock_tff",
    __doc__.split("\n\n", 2)[2],
    arguments,
    values,
    work,
    seconds,
    weights,
    references=["stock TFF, float32"],
    same={"float32": "stock TFF, float32"} | {d: first + d for d in values.dtypes},
  )


class _Stock:
  """A Keras model and data sets in memory."""

  def __init__(self, runtime, work, clients):
    import tensorflow as tf
    import tensorflow_federated as tff

    from benchmarks import keras_cnn, rounds
    from benchmarks.workload import LEARNING_RATE

    def data_set(images, labels):
      # uint8 until it is batched: a fourth of what TFF would have to ship.
      made = tf.data.Dataset.from_tensor_slices((images, labels)).batch(work.batch_size)
      return made.map(lambda x, y: (tf.cast(x, tf.float32) / 255.0, y))

    self._data = [data_set(*client) for client in clients]
    shapes = (work.input_shape, work.num_classes, work.conv_widths, work.dense_widths)

    def model_fn():
      return tff.learning.models.from_keras_model(
        keras_cnn.build(*shapes, *work.normalisation),
        loss=keras_cnn.loss(),
        input_spec=self._data[0].element_spec,
      )

    self._process = tff.learning.algorithms.build_weighted_fed_avg(
      model_fn,
      client_optimizer_fn=tff.learning.optimizers.build_sgdm(LEARNING_RATE),
      server_optimizer_fn=tff.learning.optimizers.build_sgdm(1.0),
    )
    self._runtime = runtime
    initial = tff.learning.models.ModelWeights(rounds.initial_weights(work), [])
    self._start = self._process.set_model_weights(
      runtime.call(self._process.initialize), initial
    )
    self.weights: list = []

  def __call__(self) -> None:
    output = self._runtime.call(self._process.next, self._start, self._data)
    self.weights = list(self._process.get_model_weights(output.state).trainable)


class _Baseline:
  """TFF's FedAvg on the functional model, with the clients' shards."""

  def __init__(self, runtime, work, store, clients: int):
    from benchmarks import ours
    from benchmarks.workload import LEARNING_RATE, SEED
    from fedsafe_tff.learning import baselines

    self._process = baselines.build_baseline(
      "tff_fed_avg",
      work.model(dropout=0.0),
      ours.shards_of(store, batch_size=work.batch_size, shuffle=False),
      learning_rate=LEARNING_RATE,
      num_clients=clients,
      seed=SEED,
    )
    self._runtime = runtime
    self._clients = [baselines.client_argument(client, 0) for client in range(clients)]
    self._start = runtime.call(self._process.initialize)
    self.weights: list = []

  def __call__(self) -> None:
    output = self._runtime.call(self._process.next, self._start, self._clients)
    self.weights = list(self._process.get_model_weights(output.state).trainable)


if __name__ == "__main__":
  main.run(stock_tff)
