"""Ratios against bare TensorFlow, stock TFF and peers; `python -m benchmarks.NAME`, see `--help`.

Nothing of a size is asserted here: a benchmark measures and writes a Markdown page.
"""
