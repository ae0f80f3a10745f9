"""Training in pure TensorFlow: what a client and the server do with weights, images and keys."""
