"""Fed-Safe as TFF's templates: a distributor, client work, an aggregator and a finalizer."""
