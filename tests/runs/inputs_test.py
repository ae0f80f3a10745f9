import hashlib
import json

from fedsafe_tff.runs import inputs
from fedsafe_tff.runs.config import Config
from fedsafe_tff.runs.inputs import Inputs


def test_images_and_model_make_the_identity():
  first = Inputs("a" * 64)
  assert len(first.identity) == 64
  others = [Inputs("b" * 64), Inputs("a" * 64, "m" * 64), Inputs("a" * 63 + "m", "")]
  assert len({one.identity for one in (first, *others)}) == 4
  facts = first.facts()
  assert facts == {
    "identity": first.identity, "data_hash": "a" * 64, "model_hash": None, "init_hash": None,
    "defense_hash": None,
  }


def test_what_differs_is_told():
  first = Inputs("a" * 64, "m" * 64)
  assert first.differing(first.facts()) == ""
  assert first.differing(Inputs("b" * 64, "m" * 64).facts()) == "other images"
  assert first.differing(Inputs("a" * 64, "n" * 64).facts()) == (
    "another source or other weights of --model"
  )
  warm = Inputs("a" * 64, "m" * 64, "w" * 64)
  assert first.differing(warm.facts()) == warm.differing(first.facts()) == (
    "other weights of --init_from"
  )
  own = Inputs("a" * 64, "m" * 64, defense_hash="d" * 64)
  assert own.differing(first.facts()) == first.differing(own.facts()) == (
    "another source of --defense"
  )
  assert first.differing({}) == "other images"


def test_drawn_weights_leave_the_identity_as_it_was():
  """Folders and caches of runs that began with none are found again."""
  facts = json.dumps({"data_hash": "a", "model_hash": "m"}, sort_keys=True)
  assert Inputs("a", "m").identity == hashlib.sha256(facts.encode()).hexdigest()


def test_the_identity_of_a_configuration(tmp_path):
  settings = {"num_images": 20, "image_size": 16, "cache_dir": str(tmp_path)}
  config = Config(**settings)
  images = inputs.read_images(config, lambda text: None)
  plain = inputs.identify(config, images)
  assert plain.data_hash == images.content_hash() and plain.model_hash == ""
  own = Config(**settings, model="tests.models.keras_nets:groups")
  assert len(inputs.identify(own, images).model_hash) == 64
