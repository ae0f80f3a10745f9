"""LiRA's shadow models of a tiny run: by its recipe, resumed, and the same bits every time."""

import dataclasses
import re
import shutil
import signal
import types

import numpy as np
import pytest

from fedsafe_tff.commands import audit, train
from fedsafe_tff.errors import Notice, UserError
from fedsafe_tff.runs import membership, passes, run_dir, shadows
from fedsafe_tff.runs.audit import Effort, audit_run
from fedsafe_tff.runs.cohort import cohort
from fedsafe_tff.runs.load import load_run
from fedsafe_tff.runs.report import audit_page
from fedsafe_tff.runs.run import Stopped
from fedsafe_tff.runs.trainers import Trainer
from tests.runs import tiny

pytestmark = pytest.mark.usefixtures("built_once")

_COUNT = 2
_PLAIN = {"defense": "none", "attacks": "fgsm", "attack_eps": 0.1, "attack_images": 4}
_PRIVATE = {"privacy": "dp_sgd", "clip_norm": 0.5, "target_epsilon": 4.0}


_BOUND = {"sentence": "So.", "watched_steps": 1, "steps": 1, "stated_epsilon": None}


class _Asked(Exception):
  """A training was about to begin."""


def _run_of(folder, **changes):
  words = tiny.arguments(folder, **(_PLAIN | changes))
  idle = ("--attack_steps", *([] if "defense" in changes else ["--adaptation_epochs"]))
  assert train.train([word for word in words if not word.startswith(idle)]) == 0
  return folder / "run"


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
  run = _run_of(tmp_path_factory.mktemp("plain"))
  effort = Effort(canaries=20, steps=4, inversion_steps=5, restarts=1, shadows=_COUNT)
  audit_run(run, effort, log=lambda text: None)
  return run


@pytest.fixture(scope="module")
def loaded(audited):
  return load_run(audited)


@pytest.fixture
def rows(audited):
  return membership.Scores.load(audited / "audit").rows


def made(loaded, rows, folder, count=_COUNT, log=lambda text: None):
  return shadows.shadow_models(loaded, rows, count, folder, log)


def test_lira_stands_beside_the_other_attacks(audited, loaded, rows):
  found = tiny.read_json(audited / "audit" / "audit.json")
  (row,) = [each for each in found["membership"] if each["attack"] == membership.LIRA]
  assert row["low"] <= row["auc"] <= row["high"]
  assert row["found_low"] <= row["true_positives"] <= row["found_high"]
  facts = found["shadows"]
  members = sum(map(len, loaded.prepared.clients))
  assert facts["count"] == _COUNT and facts["members"] == members and facts["rounds"] == 2
  text = (audited / "audit" / "audit.md").read_text()
  assert "| LiRA |" in text and "2 shadow models, each trained 2 rounds" in text
  assert "Shadow models are adapted" not in text
  scores = membership.Scores.load(audited / "audit")
  assert scores.member.sum() == members and np.isfinite(scores.of("global model", "LiRA")[0]).all()
  others = set(rows[members:].tolist())
  parts = loaded.prepared.parts
  assert others == {*parts.evaluation.tolist(), *parts.validation.tolist()}
  left = list((audited / "audit" / "shadows").glob("*/shadow_*"))
  assert sorted(file.name for file in left) == ["shadow_000.npz", "shadow_001.npz"]


def test_a_pair_shares_out_the_pool_and_what_is_there_is_not_trained_again(
  audited, loaded, rows, monkeypatch
):
  monkeypatch.setattr(shadows.loop, "train", lambda *_: pytest.fail("it trained"))
  told = []
  found = made(loaded, rows, audited / "audit", log=told.append)
  assert told == ["2 of 2 shadow models are there already"]
  assert (found.trained[0] ^ found.trained[1]).all() and found.trained[0].any()
  assert (found.logits["global model"][0] != found.logits["global model"][1]).any()
  groups = loaded.prepared.image_set.groups[rows]
  assert not set(groups[found.trained[0]]) & set(groups[found.trained[1]])


def test_a_killed_session_goes_on_and_ends_with_the_same_bits(
  audited, loaded, rows, tmp_path, monkeypatch
):
  wanted = made(loaded, rows, audited / "audit")
  real, calls = Trainer.next, []

  def interrupted(self, state, index):
    calls.append(index)
    if len(calls) == 1:
      signal.raise_signal(signal.SIGTERM)
    if len(calls) == 4:
      raise _Asked
    return real(self, state, index)

  monkeypatch.setattr(Trainer, "next", interrupted)
  with pytest.raises(Stopped, match="stopped by SIGTERM: the same command continues"):
    made(loaded, rows, tmp_path)
  assert calls == [0]  # the round that it was in is finished
  told = []
  with pytest.raises(_Asked):  # as if killed, in the second round of the second shadow model
    made(loaded, rows, tmp_path, log=told.append)
  assert calls == [0, 1, 0, 1]
  assert told[0] == "shadow 1/2: continuing after round 1 of 2"
  assert re.fullmatch(r"shadow 1/2: trained on \d+ of \d+ images, left \d+:\d\d", told[1])
  assert re.fullmatch(r"shadow 2/2: round 1/2, left \d+:\d\d", told[2])
  found = made(loaded, rows, tmp_path)
  assert calls[4:] == [1]
  np.testing.assert_array_equal(found.trained, wanted.trained)
  np.testing.assert_array_equal(found.logits["global model"], wanted.logits["global model"])
  file = next(tmp_path.glob("shadows/*/shadow_001.npz"))
  file.write_bytes(file.read_bytes()[:-9] + bytes(9))
  with pytest.warns(Notice, match="is damaged: it is trained again"):
    again = made(loaded, rows, tmp_path)
  np.testing.assert_array_equal(again.logits["global model"], wanted.logits["global model"])


def _asked(loaded, rows, folder, monkeypatch, **changes):
  """What the first shadow model of a run with other settings is built of."""
  given = []

  def build(*arguments):
    given.extend(arguments)
    raise _Asked

  with monkeypatch.context() as patch:
    patch.setattr(shadows.trainers, "build_trainer", build)
    run = dataclasses.replace(loaded, config=dataclasses.replace(loaded.config, **changes))
    told = []
    with pytest.raises(_Asked):
      made(run, rows, folder, log=told.append)
  return run, given, told


def test_another_recipe_takes_up_nothing(audited, loaded, rows, tmp_path, monkeypatch):
  copied = tmp_path / "audit"
  shutil.copytree(audited / "audit", copied)
  before = set(copied.glob("shadows/*/shadow_*.npz"))
  _, _, told = _asked(loaded, rows, copied, monkeypatch, learning_rate=0.5)
  assert told[0].startswith("2 shadow models of another recipe lie in")
  assert before == set(copied.glob("shadows/*/shadow_*.npz"))
  with pytest.raises(_Asked):  # and another pool
    monkeypatch.setattr(shadows.trainers, "build_trainer", lambda *_: (_ for _ in ()).throw(_Asked))
    made(loaded, rows[2:], copied)


def test_the_recipe_is_the_runs_with_seeds_of_its_own(loaded, rows, tmp_path, monkeypatch):
  run, (config, prepared, noise, _), _ = _asked(
    loaded, rows, tmp_path, monkeypatch, **_PRIVATE, noise_seed=7
  )
  assert config.seed != run.config.seed and noise.seed == config.noise_seed != 7
  differing = {
    name for name, value in config.as_dict().items() if value != run.config.as_dict()[name]
  }
  assert differing <= {
    "seed", "noise_seed", "evaluation", "attacks", "attack_eps", "attack_images", "attack_steps",
    "runtime", "keep_checkpoints", "checkpoint_every",
  }  # fmt: skip
  sizes = [len(client) for client in run.prepared.clients]
  theirs = shadows.Noise.from_config(run.config, run.prepared.min_images, client_images=sizes)
  assert noise.mechanism.noise_multiplier == theirs.mechanism.noise_multiplier > 0
  assert [len(client) for client in prepared.clients] != sizes  # though on fewer images
  assert len(prepared.clients) == run.config.num_clients
  np.testing.assert_array_equal(prepared.parts.adaptation, run.prepared.parts.adaptation)
  held = np.concatenate(prepared.clients)
  assert set(held) <= set(rows) and len(set(held)) == len(held)
  assert not set(held) & set(prepared.parts.evaluation)


def test_images_of_who_was_never_drawn_were_not_trained_on(loaded, rows, tmp_path, monkeypatch):
  config = dataclasses.replace(loaded.config, clients_per_round=1, rounds=1)
  given = []

  def build(config, prepared, noise, call):
    given.append((config, prepared))
    return types.SimpleNamespace(weights=lambda state: (), copies=lambda state, who: [()])

  monkeypatch.setattr(shadows.trainers, "build_trainer", build)
  monkeypatch.setattr(shadows.loop, "train", lambda *_: "a state")
  half = np.arange(len(rows)) % 2 == 0
  run = dataclasses.replace(loaded, config=config)
  _, trained = shadows._train(run, config, rows, half, 0, tmp_path, None, None)
  [(drawn, prepared)] = given
  [client] = cohort(drawn, 0)
  assert len(prepared.clients) == 3
  np.testing.assert_array_equal(trained, np.isin(rows, prepared.clients[client]))
  assert 0 < trained.sum() < half.sum()


def test_stopped_runs_are_shadowed_for_as_many_rounds(loaded, rows, tmp_path, monkeypatch):
  ended = dataclasses.replace(loaded.folder, privacy={"rounds": 1.0})
  short = dataclasses.replace(loaded, folder=ended)
  assert loaded.rounds == 2 and short.rounds == 1
  _, (config, _, _, _), _ = _asked(short, rows, tmp_path, monkeypatch)
  assert config.rounds == 1


def test_an_older_audit_says_what_it_leaves_lying(audited, loaded, tmp_path):
  copied = tmp_path / "audit"
  shutil.copytree(audited / "audit", copied)
  told = []
  found, _ = membership.infer(loaded, 0, copied, told.append)
  assert found["shadows"] is None and "--shadows=2 takes up those" in told[0]
  assert membership.LIRA not in {row["attack"] for row in found["membership"]}


def test_what_is_like_a_clients_image_or_of_another_site_is_left_out(
  loaded, rows, tmp_path, monkeypatch
):
  given, images = loaded.prepared, loaded.prepared.image_set
  copied, held = given.parts.evaluation[:2]
  groups, sites = images.groups.copy(), ["A"] * len(images)
  groups[copied] = groups[given.clients[0][0]]
  sites[held] = "B"
  other = dataclasses.replace(images, groups=groups, sites=tuple(sites))
  run = dataclasses.replace(
    loaded,
    prepared=dataclasses.replace(given, image_set=other),
    config=dataclasses.replace(loaded.config, holdout_sites="B"),
  )
  pools = []

  def models(run, pool, count, folder, log):
    pools.append(pool)
    trained = np.random.default_rng(0).permutation(len(pool)) % 2 == 0
    trained = np.stack([trained, ~trained])
    trained[:, 5] = False  # as for an image that the deal leaves out
    return shadows.Shadows(trained, {"global model": np.zeros([2, len(pool), 2], np.float32)})

  monkeypatch.setattr(membership.shadows_lib, "shadow_models", models)
  found, scores = membership.infer(run, 2, tmp_path, lambda text: None)
  assert set(rows) - set(pools[0]) == {copied, held} and set(pools[0]) <= set(rows)
  facts = found["shadows"]
  assert (facts["copies_left_out"], facts["others_left_out"]) == (1, 2)
  judged = scores.of("global model", membership.LIRA)[2]
  assert set(rows) - set(judged) == {copied, held, pools[0][5]}
  assert len(scores.of("global model", "threshold on loss")[2]) == len(rows)
  text = audit_page.text_of(found | {"inversion": [], "one_run": _BOUND})
  assert "of the clients' images: 1." in text and "could be given them: 2." in text


def test_what_can_not_be_is_one_line(audited, loaded, rows, tmp_path, capsys):
  for count in (1, 3):
    with pytest.raises(UserError, match=f"--shadows={count}: shadow models come in pairs"):
      audit.audit([str(audited), f"--shadows={count}"])
  with pytest.raises(UserError, match="half of the pool of 4 images is too small") as error:
    made(loaded, rows[:4], tmp_path)
  assert "\n" not in str(error.value) and str(error.value).startswith("--shadows: shadow model 1")
  taken = "another process works in"
  with run_dir.locked(audited / run_dir.LOCK, taken):
    with pytest.raises(UserError, match=taken):
      audit.audit([str(audited), "--shadows=2"])


@pytest.mark.slow
def test_adaptation_copies_and_dp_sgd_are_part_of_it(tmp_path):
  run = _run_of(tmp_path, defense="distributed_noise", noise_seed=3, **_PRIVATE)
  assert audit.audit([str(run), "--shadows=2", "--canaries=20", "--steps=4"]) in (0, 1)
  found = tiny.read_json(run / "audit" / "audit.json")
  lira = [row for row in found["membership"] if row["attack"] == membership.LIRA]
  assert {row["model"] for row in lira} == {"global model", "a client's copy"}
  assert found["shadows"]["adapted"] and found["shadows"]["copies"] and found["shadows"]["private"]
  text = (run / "audit" / "audit.md").read_text()
  assert "Shadow models are adapted as the run's" in text and "first client's copy" in text


@pytest.mark.slow
def test_an_iterated_adaptation_is_part_of_it(tmp_path, monkeypatch):
  made, make = [], passes.make
  monkeypatch.setattr(passes, "make", lambda *given: made.append(0) or make(*given))
  run = _run_of(
    tmp_path, defense="server_adversarial_training", adaptation_examples="iterated",
    adaptation_passes=2,
  )  # fmt: skip
  assert len(made) == 1
  assert audit.audit([str(run), "--shadows=2", "--canaries=20", "--steps=4"]) in (0, 1)
  assert len(made) == 3
