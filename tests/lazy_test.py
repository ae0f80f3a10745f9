import subprocess
import sys

import pytest

import fedsafe_tff
from tests.source_tree import ROOT

PACKAGES = ("learning", "training", "models", "privacy", "runtime")


def test_the_library_is_listed_without_tensorflow():
  """Names are listed without being imported; TensorFlow is, when one of its users is."""
  program = (
    "import sys, fedsafe_tff\n"
    "assert {'learning', 'attacks', 'evaluation', 'models', 'runtime'} <= set(dir(fedsafe_tff))\n"
    f"listed = [dir(getattr(fedsafe_tff, name)) for name in {PACKAGES}]\n"
    "assert all(listed) and 'build_fed_safe' in listed[0]\n"
    "heavy = {'tensorflow', 'tensorflow_federated', 'numpy', 'absl', 'matplotlib'}\n"
    "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    "fedsafe_tff.training.Plain\n"
    "assert 'tensorflow' in sys.modules and 'tensorflow_federated' not in sys.modules\n"
  )
  subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_is_there(name):
  package = getattr(fedsafe_tff, name)
  for public in dir(package):
    assert getattr(package, public) is not None, public
  with pytest.raises(AttributeError, match=f"module 'fedsafe_tff.{name}' has no attribute 'none'"):
    _ = package.none
