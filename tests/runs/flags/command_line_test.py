import dataclasses
import subprocess
import sys

import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.runs.config import GROUPS, Config
from fedsafe_tff.runs.config.defense import DEFENSES
from fedsafe_tff.runs.config.setting import setting_of
from fedsafe_tff.runs.flags import command_line, presets

PRESETS = sorted(presets.folder().glob("*.flags"))


@pytest.fixture
def preset(tmp_path):
  """Writes a preset and returns the flag that reads it."""

  def write(*lines, name="own"):
    path = tmp_path / f"{name}.flags"
    path.write_text("\n".join(lines) + "\n")
    return f"--flagfile={path}"

  return write


_NOISY = "--defense=distributed_noise, noise_only or combined"


def test_nothing_typed_gives_the_defaults():
  assert command_line.parse([]) == Config()


def test_flags_of_every_type():
  config = command_line.parse(
    ["--dataset=image_folder", "--data_dir", "a b", "--rounds=3", "--learning_rate=1e-3",
     "--attack_eps=0.1, 0.2,0", "--skip_bad_images", "--defense=distributed_noise",
     "--noadaptation_random_start"]
  )
  assert config.dataset == "image_folder" and config.data_dir == "a b" and config.rounds == 3
  assert config.learning_rate == 1e-3 and config.attack_eps == (0.1, 0.2, 0.0)
  assert config.skip_bad_images and not config.adaptation_random_start


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (0, 2, 1)])
def test_a_typed_flag_wins_over_a_preset_wherever_it_stands(preset, order):
  words = ["--rounds=3", preset("# a comment", "", "--rounds=8", "--seed=5"), "--momentum=0.5"]
  config = command_line.parse([words[i] for i in order])
  assert (config.rounds, config.seed, config.momentum) == (3, 5, 0.5)


def test_a_preset_as_a_word_of_its_own(preset):
  path = preset("--rounds=8", "--seed=5").split("=")[1]
  for flag in ("--flagfile", "-flagfile"):
    config = command_line.parse(["--rounds=3", flag, path])
    assert (config.rounds, config.seed) == (3, 5)


def test_the_later_of_two_presets_wins(preset):
  first = preset("--rounds=8", "--seed=5", name="first")
  second = preset("--rounds=9", "--momentum=0.5", name="second")
  both = command_line.parse([first, second])
  assert (both.rounds, both.seed, both.momentum) == (9, 5, 0.5)
  assert command_line.parse([second, first]).rounds == 8
  assert command_line.parse([first, "--rounds=2", second]).rounds == 2


def test_a_preset_may_read_another(preset):
  inner = preset("--rounds=8", "--seed=5", name="inner")
  config = command_line.parse([preset(inner, "--rounds=9", name="outer")])
  assert (config.rounds, config.seed) == (9, 5)


def test_a_missing_preset_names_those_that_exist(tmp_path, preset):
  with pytest.raises(UserError, match="none.flags is not a file.*demo"):
    command_line.parse([f"--flagfile={tmp_path / 'none.flags'}"])
  with pytest.raises(UserError, match="none.flags"):
    command_line.parse([preset(f"--flagfile={tmp_path / 'none.flags'}")])


@pytest.mark.parametrize("words", [["--flagfile"], ["--rounds=3", "--flagfile"], ["--flagfile="]])
def test_a_preset_without_a_path_is_a_user_error(words):
  with pytest.raises(UserError, match="--flagfile"):
    command_line.parse(words)


@pytest.mark.parametrize(
  "word, name",
  [
    ("--roundz=3", "roundz"),
    ("--norounds", "rounds"),
    ("--attack_eps=-0.01", "--attack_eps"),
    ("--attack_eps=0.1,2", "--attack_eps"),
    ("--attack_eps=0.1;0.2", "attack_eps"),
    ("--attack_eps=", "--attack_eps"),
    ("--attack_eps=nan", "--attack_eps"),
    ("--attack_eps=0.1,,0.2", "attack_eps.*number 2 of 3 is empty"),
    ("--attack_eps=0.1,", "attack_eps.*number 2 of 2 is empty"),
    ("--evaluation=weak", "evaluation"),
    ("--uplink_sigma=-1", "--uplink_sigma"),
    ("--uplink_epsilon=-1", "--uplink_epsilon"),
    ("--uplink_epsilon=nan", "--uplink_epsilon"),
    ("--clip_norm=-0.5", "--clip_norm"),
    ("--adaptation_share=0", "--adaptation_share"),
    ("--adaptation_share=1.5", "--adaptation_share"),
    ("--rounds=0", "--rounds"),
    ("--rounds=two", "rounds"),
    ("--rounds=1.5", "rounds"),
    ("--learning_rate=fast", "learning_rate"),
    ("--defense=magic", "defense"),
    ("--attacks=deepfool", "--attacks"),
  ],
)
def test_a_wrong_flag_is_a_user_error_that_names_it(word, name):
  with pytest.raises(UserError, match=name) as caught:
    command_line.parse([word, "--defense=distributed_noise"] if "defense" not in word else [word])
  assert "\n" not in str(caught.value)


def test_a_wrong_flag_in_a_preset_is_named_too(preset):
  with pytest.raises(UserError, match="roundz"):
    command_line.parse([preset("--roundz=3")])
  with pytest.raises(UserError, match="--clip_norm=-1"):
    command_line.parse([preset("--clip_norm=-1")])


def test_words_that_are_no_flags_are_a_user_error():
  with pytest.raises(UserError, match="unexpected words.*rounds=3 x"):
    command_line.parse(["rounds=3", "x"])
  with pytest.raises(UserError, match="unexpected words.*--rounds=3"):
    command_line.parse(["--", "--rounds=3"])


@pytest.mark.parametrize(
  "words, flag, needs",
  [
    (["--adaptation_eps=0.1"], "adaptation_eps", "--defense=server_adversarial_training or "),
    (["--adaptation_eps", "0.03"], "adaptation_eps", "--defense="),  # also at its default
    (["--noadaptation_random_start"], "adaptation_random_start", "--defense="),
    (["--adaptation_random_start=false"], "adaptation_random_start", "--defense="),
    (["--defense=noise_only", "--adaptation_eps=0.1"], "adaptation_eps", "--defense=server"),
    (["--defense=noise_only", "--local_attack_eps=0.1"], "local_attack_eps", "--defense=local"),
    (["--downlink_sigma=0.1"], "downlink_sigma", _NOISY),
    (["--algorithm=tff_fed_avg", "--uplink_sigma=0.1"], "uplink_sigma", "--algorithm=fedsafe"),
    (["--prox_mu=0.1"], "prox_mu", "--algorithm=tff_fed_prox"),
    (["--uplink_delta=1e-6"], "uplink_delta", "noise with an accounting"),
    (["--uplink_sigma=0.1", "--uplink_delta=1e-6"], "uplink_delta", "noise with an acc"),
    (["--uplink_sigma=0.1", "--exposures=3"], "exposures", "--clip_norm with"),
    (["--dataset=npz", "--skip_bad_images"], "skip_bad_images", "a data set of image files"),
    (["--dataset=pathology", "--skip_bad_images"], "skip_bad_images", "a data set of image"),
    (["--attack_colluders=2"], "attack_colluders", _NOISY),
    (["--data_dir=x"], "data_dir", "a data set read from disk"),
    (["--partition=iid", "--dirichlet_alpha=1"], "dirichlet_alpha", "--partition=dirichlet"),
    (["--attacks=fgsm", "--attack_steps=3"], "attack_steps", "pgd, .* among --attacks"),
    (["--attacks=pgd"], "attacks", "--evaluation=paper"),
    (["--evaluation=strong", "--attack_steps=3"], "attack_steps", "pgd.* --evaluation=paper"),
    (["--attack_restarts=3"], "attack_restarts", "--attack_random_start"),
    (["--model=a.b:c", "--dropout=0.1"], "dropout", "--model=cnn"),
    (["--model=a.b:c", "--compute_dtype=bfloat16"], "compute_dtype", "--model=cnn"),
    (["--split=published", "--evaluation_fraction=0.2"], "evaluation_fraction", "--split=grouped"),
  ],
)
def test_a_typed_flag_without_effect_is_a_user_error(words, flag, needs):
  with pytest.raises(UserError, match=f"--{flag} has no effect here: it needs {needs}"):
    command_line.parse(words)


def test_a_flag_without_effect_in_a_preset_is_quietly_at_its_default(preset):
  several = preset("--adaptation_eps=0.2", "--local_attack_eps=0.3", "--downlink_sigma=0.4")
  assert command_line.parse([several]) == Config()
  config = command_line.parse([several, "--defense=distributed_noise"])
  assert config == Config(defense="distributed_noise", adaptation_eps=0.2, downlink_sigma=0.4)
  with pytest.raises(UserError, match="--local_attack_eps has no effect"):
    command_line.parse([several, "--defense=noise_only", "--local_attack_eps=0.3"])


@pytest.mark.parametrize("defense", DEFENSES)
@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_parses_for_every_defense(path, defense):
  begun = ["--init_from=public"] if path.stem == "private" else []  # it refuses to do without
  config = command_line.parse([f"--flagfile={path}", f"--defense={defense}", *begun])
  assert config.defense == defense
  assert config == config.normalized()


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_says_in_its_first_line_what_it_is(path):
  assert path.read_text().startswith("# ")


def test_there_are_presets():
  assert "demo" in [path.stem for path in PRESETS]


def test_the_help_has_every_flag_under_its_topic(capsys):
  with pytest.raises(SystemExit) as left:
    command_line.parse(["--rounds=3", "--help"], "What this binary does.")
  assert left.value.code == 0
  text = capsys.readouterr().out
  assert text.startswith("What this binary does.")
  headings = [group.__doc__.rstrip(".") + ":" for group in GROUPS]
  starts = [text.index(f"\n{heading}\n") for heading in headings]
  assert starts == sorted(starts)
  for group, start, end in zip(GROUPS, starts, [*starts[1:], len(text)]):
    part = text[start:end]
    for field in dataclasses.fields(group):
      setting = setting_of(field)
      assert f"\n  --{field.name}\n      {setting.help}\n" in part
      if setting.needs:
        assert f"needs {setting.needs}" in part
  assert "  --adaptation_share\n" in text and "(default '1.0'; in (0, 1]; needs" in text


@pytest.mark.parametrize("word", ["-h", "--helpfull", "--helpshort"])
def test_other_words_for_help(word, capsys):
  with pytest.raises(SystemExit) as left:
    command_line.parse([word])
  assert left.value.code == 0 and "--flagfile" in capsys.readouterr().out


def test_parsing_imports_no_tensorflow():
  program = (
    "import sys\nfrom fedsafe_tff.runs.flags import command_line\n"
    "command_line.parse(['--rounds=3'])\n"
    "heavy = {'tensorflow', 'tensorflow_federated', 'numpy', 'matplotlib'} & set(sys.modules)\n"
    "assert not heavy, heavy"
  )
  done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
  "typed",
  [
    ["--defense=distributed_noise", "--adaptation_attack=fgsm", "--adaptation_steps=3"],
    ["--defense=distributed_noise", "--clip_norm=1", "--downlink_epsilon=1", "--exposures=5",
     "--downlink_sigma=0.1"],
  ],
)
def test_a_flag_that_another_flag_overrides_has_no_effect(typed):
  with pytest.raises(UserError, match="has no effect here"):
    command_line.parse(typed)


def test_unknown_flags_cannot_be_waved_through():
  with pytest.raises(UserError, match="undefok"):
    command_line.parse(["--undefok=rouns", "--rouns=3"])


def test_what_a_baseline_does_not_use_of_a_preset_is_told(tmp_path, capsys):
  preset = tmp_path / "own.flags"
  preset.write_text("--gradient_clip=1\n--adaptation_eps=0.1\n--batch_size=8\n")
  command_line.parse([f"--flagfile={preset}"])
  assert capsys.readouterr().err == ""
  config = command_line.parse([f"--flagfile={preset}", "--algorithm=tff_fed_avg"])
  assert capsys.readouterr().err == "--algorithm=tff_fed_avg does not use --gradient_clip=1.0\n"
  assert (config.gradient_clip, config.batch_size) == (0.0, 8)
