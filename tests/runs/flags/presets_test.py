import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.paper import flags as paper_flags
from fedsafe_tff.runs.flags import command_line, presets


def test_a_preset_goes_by_its_name():
  by_name = command_line.parse(["--preset=demo", "--rounds=3"])
  by_file = command_line.parse([f"--flagfile={presets.find('demo')}", "--rounds=3"])
  assert by_name == by_file and by_name.rounds == 3


def test_what_is_typed_wins_wherever_it_stands():
  assert command_line.parse(["--rounds=5", "--preset", "demo"]).rounds == 5


def test_tables_have_presets_of_their_own():
  request = paper_flags.parse(["--preset=quick"], "doc", "table1")
  assert [task.name for task in request.tasks] == ["phantom"]
  with pytest.raises(UserError, match="'demo' is unknown: choose one of cpu, paper, quick"):
    paper_flags.parse(["--preset=demo"], "doc", "table1")


def test_no_name_or_a_wrong_one_is_one_line():
  with pytest.raises(UserError, match="write --preset=NAME"):
    command_line.parse(["--preset"])
  with pytest.raises(UserError, match="choose one of demo"):
    command_line.parse(["--preset=../demo"])


def test_private_training_begins_with_public_weights():
  """One network in both presets, and no way to forget where the frozen layers come from."""
  public = command_line.parse(["--preset=public"])
  private = command_line.parse(["--preset=private", "--init_from=public"])
  assert private.trainable == "classifier" and private.privacy == "dp_sgd"
  for name in ("model", "conv_widths", "pool_grid", "image_size"):
    assert getattr(public, name) == getattr(private, name)
  with pytest.raises(UserError, match="--init_from=RUN_DIR, such as one of --preset=public"):
    command_line.parse(["--preset=private"])
