"""Training in pure TensorFlow: what a client and the server do with weights, images and keys."""

from fedsafe_tff import lazy

__getattr__, __dir__ = lazy.attach(
  __name__,
  {
    "Adaptation": "adaptation",
    "DEFENSES": "registry",
    "Defense": "registry",
    "Adversarial": "gradients",
    "Plain": "gradients",
    "Healed": "healed",
    "Noise": "copies",
    "Upload": "upload",
  },
  ("feeds", "local", "schedules", "server_data", "steps"),
)
