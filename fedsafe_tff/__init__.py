"""Fed-Safe on TensorFlow Federated: adversarially robust, noised federated learning."""

__version__ = "0.1.0"
