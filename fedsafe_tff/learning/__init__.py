"""Fed-Safe as TFF's templates: a distributor, client work, an aggregator and a finalizer."""

from fedsafe_tff import lazy

__getattr__, __dir__ = lazy.attach(
  __name__,
  {
    "build_fed_safe": "fed_safe",
    "FedSafeProcess": "fed_safe",
    "build_copy_distribution": "distribution",
    "CopyDistribution": "distribution",
    "build_client_work": "client_work",
    "start_from_copies": "client_work",
    "build_aggregator": "aggregation",
    "build_adapting_finalizer": "adaptation",
    "build_replacing_finalizer": "adaptation",
    "AdaptingFinalizer": "adaptation",
    "boosted": "poisoning",
    "flip_labels": "poisoning",
    "build_baseline": "baselines",
    "Batches": "clients",
    "Shards": "clients",
    "with_ids": "clients",
    "from_client_data": "clients",
    "as_functional_model": "models",
    "weights_type": "types",
  },
)
