"""Time and memory of a data set of very many small files, from the folder to the shards.

python -m benchmarks.many_images FOLDER [--count=100000] [--cache=FOLDER]

Makes colour images of 96x96 in two classes where the folder lacks them, then reads, groups, splits,
deals and writes them, and starts a second time from the cache.
"""

import argparse
import os
import pathlib
import resource
import time

import numpy as np
import PIL.Image

from fedsafe_tff.data import dealing, loading, remembered, shard_writer, shards, splits

SIDE = 96


def make(folder: pathlib.Path, count: int) -> None:
  """Writes the images that are not there yet; each is drawn from its number."""
  for name in ("healthy", "tumour"):
    (folder / name).mkdir(parents=True, exist_ok=True)
  for number in range(count):
    path = folder / ("healthy", "tumour")[number % 2] / f"{number:06d}.png"
    if not path.is_file():
      small = np.random.default_rng(number).integers(0, 255, (12, 12, 3)).astype(np.uint8)
      image = PIL.Image.fromarray(small).resize((SIDE, SIDE), PIL.Image.Resampling.BILINEAR)
      image.save(path, compress_level=1)


def start(folder: pathlib.Path, cache: str, say) -> None:
  """Everything between a folder and the shards of ten clients."""
  spec = loading.DataSpec("image_folder", data_dir=str(folder), image_size=SIDE)
  image_set = loading.load(spec, cache_dir=cache, progress=lambda text: say(f"  {text}"))
  say(f"{len(image_set)} images in {len(np.unique(image_set.groups))} groups")
  data_hash = remembered.content_hash(image_set, cache)
  say("hash")
  parts = splits.split(
    image_set, method="grouped", evaluation_fraction=0.25, adaptation_fraction=0.15,
    validation_fraction=0.05, seed=0,
  )  # fmt: skip
  dealt = dealing.deal(
    image_set, parts.train, num_clients=10, method="dirichlet", alpha=10.0, seed=0
  )
  say("split and dealt")
  rows = {shards.client_name(i): r for i, r in enumerate(dealt.clients)}
  rows[shards.SERVER] = parts.adaptation
  shard_writer.build_from_rows(cache, data_hash, image_set, rows)
  say("shards")


def main() -> None:
  """Runs it twice."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("folder", type=pathlib.Path)
  parser.add_argument("--count", type=int, default=100_000)
  parser.add_argument("--cache", default=".cache/many_images")
  arguments = parser.parse_args()
  make(arguments.folder, arguments.count)
  for attempt in ("first", "second"):
    begun, used = time.monotonic(), time.process_time()

    def say(text: str, begun=begun, used=used) -> None:
      peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
      print(
        f"{time.monotonic() - begun:7.1f} s, own CPU {time.process_time() - used:6.1f} s, peak "
        f"{peak:.2f} GiB, load {os.getloadavg()[0]:.1f}: {text}",
        flush=True,
      )

    print(f"{attempt} start")
    start(arguments.folder, arguments.cache, say)


if __name__ == "__main__":
  main()
