"""Functional models: the paper's CNN, and an adapter for any Keras model."""
