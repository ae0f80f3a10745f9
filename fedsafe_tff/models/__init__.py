"""Functional models: the paper's CNN, and an adapter for any Keras model."""

from fedsafe_tff import lazy

__getattr__, __dir__ = lazy.attach(
  __name__,
  {
    "FunctionalModel": "functional",
    "build_cnn": "cnn",
    "build_model": "registry",
    "from_keras": "keras_adapter",
  },
)
