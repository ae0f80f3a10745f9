"""DP-SGD in pure TensorFlow: gradients clipped example by example, keyed noise, Poisson batches."""
