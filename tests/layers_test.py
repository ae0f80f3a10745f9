"""Lower layers never import higher ones."""

import pytest

from tests import source_tree

SOURCES = source_tree.sources()
BY_MODULE = {source.module: source for source in SOURCES}

# Pure TensorFlow; they run alone, in a tf.function or in a TFF computation.
PURE_TENSORFLOW = (
  "fedsafe_tff.adaptation",
  "fedsafe_tff.attacks",
  "fedsafe_tff.client_work",
  "fedsafe_tff.data",
  "fedsafe_tff.evaluation",
  "fedsafe_tff.keys",
  "fedsafe_tff.models",
  "fedsafe_tff.privacy.audit",
  "fedsafe_tff.privacy.dp_sgd",
)
# Usable at once: TensorFlow takes seconds to import.
WITHOUT_TENSORFLOW = (
  "fedsafe_tff.config",
  "fedsafe_tff.errors",
  "fedsafe_tff.privacy.accountant",
  "fedsafe_tff.privacy.accounting",
  "fedsafe_tff.privacy.calibration",
  "fedsafe_tff.privacy.mechanisms.local",
  "fedsafe_tff.privacy.mechanisms.mechanism",
  "fedsafe_tff.privacy.mechanisms.registry",
  "fedsafe_tff.privacy.mechanisms.uplink",
  "fedsafe_tff.privacy.readings",
  "fedsafe_tff.privacy.solving",
  "fedsafe_tff.privacy.statement",
  "fedsafe_tff.report",
  "flags",
)
DRIVERS = ("flags", "experiments", "benchmarks", "tests")


def _within(name: str, packages: tuple[str, ...]) -> bool:
  return any(name == package or name.startswith(package + ".") for package in packages)


def _imports(packages: tuple[str, ...], forbidden: tuple[str, ...]) -> list[str]:
  """Chains by which modules of `packages` import `forbidden`, directly or through others."""
  found = []
  for source in SOURCES:
    if not _within(source.module, packages):
      continue
    chains = {name: (source.module, name) for name in source.imports}
    chains |= source_tree.top_level_closure(source.module, BY_MODULE)
    found += [" -> ".join(chain) for name, chain in chains.items() if _within(name, forbidden)]
  return sorted(found)


@pytest.mark.parametrize("package", PURE_TENSORFLOW)
def test_pure_tensorflow_knows_no_tff(package):
  assert _imports((package,), ("tensorflow_federated",)) == []


@pytest.mark.parametrize("package", WITHOUT_TENSORFLOW)
def test_imported_without_tensorflow(package):
  assert _imports((package,), ("tensorflow", "tensorflow_federated")) == []


def test_the_library_knows_no_drivers():
  assert _imports(("fedsafe_tff",), DRIVERS) == []


def test_flags_know_no_experiments():
  assert _imports(("flags",), ("experiments", "benchmarks", "tests")) == []


def test_every_package_named_here_exists():
  for package in PURE_TENSORFLOW + WITHOUT_TENSORFLOW:
    assert package in BY_MODULE, package


def test_an_import_through_others_is_seen():
  # The algorithm is TFF orchestration; were this empty, the tests above would prove nothing.
  assert _imports(("fedsafe_tff.algorithm",), ("tensorflow_federated",))
  assert _imports(("experiments",), ("fedsafe_tff.config",))
