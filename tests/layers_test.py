"""Lower layers never import higher ones."""

import pytest

from tests import source_tree

SOURCES = source_tree.sources()
BY_MODULE = {source.module: source for source in SOURCES}

# Pure TensorFlow; they run alone, in a tf.function or in a TFF computation.
PURE_TENSORFLOW = (
  "fedsafe_tff.attacks",
  "fedsafe_tff.data",
  "fedsafe_tff.evaluation",
  "fedsafe_tff.keys",
  "fedsafe_tff.models",
  "fedsafe_tff.privacy.audit",
  "fedsafe_tff.privacy.dp_sgd",
  "fedsafe_tff.training",
)
# Usable at once: TensorFlow takes seconds to import.
WITHOUT_TENSORFLOW = (
  "fedsafe_tff.commands.cli",
  "fedsafe_tff.errors",
  "fedsafe_tff.evaluation.definitions",
  "fedsafe_tff.paper.flags",
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
  "fedsafe_tff.runs.config",
  "fedsafe_tff.runs.flags",
  "fedsafe_tff.runs.report",
  "fedsafe_tff.versions",
)
# Floors of the drivers, from the top: each may import those below it, never one above.
DRIVERS = ("fedsafe_tff.commands", "fedsafe_tff.paper", "fedsafe_tff.runs")
OUTSIDE = ("experiments", "benchmarks", "tests")


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


def test_the_package_knows_nothing_outside_of_it():
  assert _imports(("fedsafe_tff",), OUTSIDE) == []


def test_the_library_knows_no_drivers():
  library = {s.module for s in SOURCES if s.module.startswith("fedsafe_tff.")}
  library = tuple(sorted(m for m in library if not _within(m, DRIVERS)))
  assert len(library) > 50 and _imports(library, (*DRIVERS, "absl", "rich")) == []


def test_what_the_server_and_clients_share_lies_below_tffs_templates():
  assert _imports(("fedsafe_tff.training",), ("fedsafe_tff.learning", "fedsafe_tff.runtime")) == []
  above = ("fedsafe_tff.runtime", "fedsafe_tff.evaluation")
  assert _imports(("fedsafe_tff.learning",), above) == []


@pytest.mark.parametrize("floor", range(1, len(DRIVERS)))
def test_no_floor_of_the_drivers_knows_one_above(floor):
  assert _imports(DRIVERS[floor:], DRIVERS[:floor]) == []


def test_oracles_know_nothing_of_what_they_check():
  oracles = ("tests.oracle.equations", "tests.oracle.inference")
  assert all(name in BY_MODULE for name in oracles)
  assert _imports(oracles, ("fedsafe_tff", "tensorflow", "scipy", "dp_accounting")) == []


def test_every_package_named_here_exists():
  for package in PURE_TENSORFLOW + WITHOUT_TENSORFLOW + DRIVERS:
    assert package in BY_MODULE, package


def test_an_import_through_others_is_seen():
  # Learning is TFF orchestration; were this empty, the tests above would prove nothing.
  assert _imports(("fedsafe_tff.learning",), ("tensorflow_federated",))
  assert _imports(("fedsafe_tff.commands",), ("fedsafe_tff.runs.config",))
