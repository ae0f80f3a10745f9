"""Data sets, leak-free splits, partitions over clients, shards on disk, augmentation."""

from fedsafe_tff import lazy

__getattr__, __dir__ = lazy.attach(
  __name__,
  {
    "DataSpec": "spec",
    "ImageSet": "image_set",
    "DATASETS": "registry",
    "load": "loading",
  },
  ("augment", "image_files", "partition", "phantom", "shards", "splits"),
)
