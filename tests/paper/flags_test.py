import pathlib
import subprocess
import sys

import pytest

from fedsafe_tff.errors import UserError
from fedsafe_tff.paper import flags as sweep
from fedsafe_tff.paper import studies, table1
from fedsafe_tff.paper.cells import check_typed
from fedsafe_tff.runs.config.sweep import STUDIES
from fedsafe_tff.runs.flags import presets

PRESETS = presets.folder() / "sweep"
FOLDERS = ["--brain_tumor_dir=/data/mri", "--pathology_dir=/data/patches"]


def parse(*words, name="table1"):
  return sweep.parse(["--tasks=phantom", *words], "", name)


def preset(name):
  return f"--flagfile={PRESETS / name}.flags"


def test_a_tasks_preset_comes_first_then_others_then_what_is_typed(tmp_path):
  task = tmp_path / "mine.flags"
  task.write_text("--rounds=3\n--momentum=0.5\n--local_epochs=4\n")
  size = tmp_path / "size.flags"
  size.write_text(f"--tasks={task}\n--rounds=5\n--local_epochs=6\n")
  request = sweep.parse(["--local_epochs=7", f"--flagfile={size}"], "", "table1")
  [mine] = request.tasks
  assert mine.name == "mine"
  assert (mine.config.momentum, mine.config.rounds, mine.config.local_epochs) == (0.5, 5, 7)


def test_seeds_folders_and_the_name():
  request = parse("--seeds=3, 1,4", "--cache=c")
  assert request.seeds == (3, 1, 4)
  assert str(request.out) == "results/table1" and str(request.cache) == "c"
  assert parse("--out=o", name="figure2").out == pathlib.Path("o")


def test_sizes_count_only_where_they_are_not_a_tasks_own(tmp_path):
  assert parse().eps is None and parse().attack == "pgd"
  assert parse("--attack_eps=0.1,0.2").eps == (0.1, 0.2)
  task = tmp_path / "mine.flags"
  task.write_text("--attack_eps=0.3\n--attacks=fgsm,pgd\n")
  request = sweep.parse([f"--tasks={task}"], "", "table1")
  assert request.eps is None and request.attack == "pgd"


@pytest.mark.parametrize("name", ["quick", "cpu", "paper"])
@pytest.mark.parametrize("table", ["table1", "table2", "figure1", "figure2", "figure3"])
def test_every_preset_parses_for_every_table(name, table):
  request = sweep.parse([preset(name), *FOLDERS], "", table)
  assert len(request.tasks) == (1 if name == "quick" else 3)
  assert all(task.config.clip_norm > 0 and task.config.noised_uploads for task in request.tasks)
  if name != "quick":
    assert len(request.seeds) >= 5


def test_the_papers_preset_is_what_the_paper_says():
  for task in sweep.parse([preset("paper"), *FOLDERS], "", "table1").tasks:
    config = task.config
    assert (config.num_clients, config.local_epochs, config.rounds) == (3, 20, 50)
    assert config.conv_widths == "wide" and config.dropout == 0.25 and config.momentum == 0


def test_the_cpu_preset_leaves_each_task_its_own_training():
  tasks = {t.name: t.config for t in sweep.parse([preset("cpu"), *FOLDERS], "", "table1").tasks}
  assert tasks["glioma"].task == "glioma" and tasks["meningioma"].task == "meningioma"
  assert tasks["glioma"].data_dir == "/data/mri" and tasks["pathology"].data_dir == "/data/patches"
  assert tasks["pathology"].rounds > tasks["glioma"].rounds
  assert {t.compute_dtype for t in tasks.values()} == {"bfloat16"}


def test_a_task_is_called_the_same_by_the_letter_and_by_the_recipe(tmp_path):
  [letter] = parse("--tasks=glioma-paper", *FOLDERS).tasks
  [recipe] = parse("--tasks=glioma", *FOLDERS).tasks
  assert letter.name == recipe.name == "glioma" and letter.config != recipe.config
  assert letter.config.defense == "distributed_noise"
  assert [task.name for task in sweep.parse([*FOLDERS], "", "table1").tasks] == [
    "glioma", "meningioma", "pathology",
  ]  # fmt: skip
  assert all(t.config.model == "cnn" for t in sweep.parse([*FOLDERS], "", "table1").tasks)
  mine = tmp_path / "my-paper.flags"
  mine.write_text("--dataset=phantom\n")
  [own] = sweep.parse([f"--tasks={mine}"], "", "table1").tasks
  assert own.name == "my-paper"
  with pytest.raises(UserError, match="two presets of one name"):
    parse("--tasks=glioma,glioma-paper", *FOLDERS)


@pytest.mark.parametrize(
  "words, message",
  [
    (["--tasks=phantom,glioma"], "task glioma needs --brain_tumor_dir"),
    (["--tasks=lung"], "task 'lung' is unknown.*glioma"),
    (["--tasks="], "--tasks=: give one or more"),
    (["--tasks=phantom,phantom"], "each once"),
    (["--seeds=1,1"], "--seeds=1,1: give one or more, each once"),
    (["--seeds=a"], "--seeds=a: seeds are whole numbers"),
    (["--seeds=-1"], "--seed=-1 is out of range"),
    (["--seed=3"], "--seed is not for tables and figures: it is set by --seeds"),
    (["--defense=none"], "--defense is not for tables.*set by the table or figure"),
    (["--data_dir=x"], "--data_dir is not for tables.*--brain_tumor_dir"),
    (["--attacks=fgsm,pgd"], "one attack: choose fgsm, pgd, .* or square"),
    (["--rounds=0"], "--rounds=0 is out of range"),
    (["--roundz=3"], "roundz"),
    (["--evaluation=weak"], "evaluation.*weak"),
    (["--evaluation=strong", "--attacks=fgsm"], "--attacks has no effect.*--evaluation=paper"),
    (["--methods=a/mine.py:make,b/mine.py:make"], "two defences of one name: rename a file"),
    (["--methods=none,none"], "--methods=none,none: give one or more, each once"),
    (["--study=sigma"], "study"),
    (["--undefok=roundz", "--roundz=3"], "--undefok would hide"),
    (["rounds=3"], "unexpected words"),
  ],
)
def test_a_wrong_command_is_a_user_error(words, message):
  with pytest.raises(UserError, match=message) as caught:
    request = parse(*words)
    table1.cells(request)  # seeds meet their range there
  assert "\n" not in str(caught.value)


def test_the_papers_attacks_are_the_default_and_suites_can_be_asked_for():
  assert parse().evaluation == "paper" and parse().attack_text == "PGD"
  request = parse("--evaluation=standard", preset("quick"))
  assert request.evaluation == "standard" and request.attack_text.startswith("Worst of the attacks")
  found = {cell.config.evaluation for cell in table1.cells(request)}
  assert found == {"standard"} and {c.config.attack_steps for c in table1.cells(request)} == {10}
  with pytest.raises(UserError, match="--attack_steps has no effect.*--evaluation=paper"):
    typed = parse(preset("quick"), "--evaluation=strong", "--attack_steps=5")
    check_typed(typed, table1.cells(typed))
  with pytest.raises(UserError, match="--evaluation is not for figure1"):
    parse("--evaluation=strong", name="figure1")
  with pytest.raises(UserError, match="--attack_eps is not for figure1: its pictures are FGSM"):
    parse("--attack_eps=0.2", name="figure1")


def test_what_was_typed_must_have_an_effect_somewhere():
  request = parse("--adaptation_epochs=2", "--attack_eps=0.1", "--attacks=pgd", "--nodp",
                  preset("quick"))
  assert request.typed == {"adaptation_epochs"}
  check_typed(request, table1.cells(request))
  request = parse("--prox_mu=0.1", preset("quick"))
  with pytest.raises(UserError, match="--prox_mu has no effect"):
    check_typed(request, table1.cells(request))


def test_studies_are_known_to_the_flag():
  assert set(STUDIES) == set(studies.STUDIES)
  assert parse("--study=split", name="ablation").study == "split"


def test_the_command_shows_no_folder_of_this_machine():
  request = parse(
    "--brain_tumor_dir=/home/me/mri", "--out", "/home/me/out", "--cache=relative",
    "--cache_dir=~/x", preset("quick"),
  )
  assert request.command == (
    "python -m experiments.table1 --tasks=phantom --brain_tumor_dir=FOLDER --out FOLDER "
    "--cache=relative --cache_dir=FOLDER --flagfile=quick.flags"
  )


def test_help_has_the_flags_of_sweeps_and_of_runs(capsys):
  with pytest.raises(SystemExit) as left:
    parse("--help", name="ablation")
  assert left.value.code == 0
  text = capsys.readouterr().out
  for flag in ("tasks", "seeds", "cache", "study", "rounds", "adaptation_share"):
    assert f"\n  --{flag}\n" in text
  assert "Tables and figures have paper by default" in text
  assert "default 'paper'; one of paper, standard, strong" in text
  assert "\n  --seed\n" not in text and "\n  --defense\n" not in text


def test_parsing_imports_no_tensorflow():
  program = (
    "import sys\nfrom fedsafe_tff.paper import flags\n"
    "flags.parse(['--tasks=phantom'], '', 'table1')\n"
    "heavy = {'tensorflow', 'tensorflow_federated', 'numpy', 'matplotlib'} & set(sys.modules)\n"
    "assert not heavy, heavy"
  )
  done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
