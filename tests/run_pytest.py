"""Bazel's entry point of a test: runs pytest on the files given."""

import sys

import pytest

if __name__ == "__main__":
  sys.exit(pytest.main(sys.argv[1:]))
