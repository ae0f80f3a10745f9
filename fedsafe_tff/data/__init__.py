"""Data sets, leak-free splits, partitions over clients, shards on disk, augmentation."""
