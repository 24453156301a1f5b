"""A run whose responses a reward model scores, here: by a fake engine and reward model, once by real ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.inputs.preflight import check_run
from mr_assets.lineage.tracing import trace
from mr_assets.lineage.tree import brief, lines
from mr_assets.lineage.verification import verify
from mr_assets.orchestration.steps import Step, steps
from mr_assets.runs.settings import changed_settings
from mr_assets.runs.status import state
from mr_assets.sampling import live
from mr_assets.wiring import rewards
from mr_assets.wiring import sampling as wired
from mr_assets_tests.reward_model import ByLength, reward_model
from mr_assets_tests.tiny import complete, tiny_run
from mr_assets_tests.whole_runs.test_loop import World, new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

BY_REWARDS = ("reward_model={folder: rm}", "iterations.all.judge_training=false", "evaluation=null")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    data = tmp_path_factory.mktemp("rewarded") / "data"
    reward_model(data / "rm", weights=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mr_assets.files.os.fsync", lambda file: None)  # the tests outlive no power cut
        patch.setattr(rewards, "RewardModel", ByLength)
        world = new_world(patch, data, *BY_REWARDS)
        for step in (step for step in steps(world.run) if step.partition != "2"):
            world.make(step)
        yield world


def test_every_response_has_its_reward(world: World) -> None:
    """Duplicates aside; read through its own chat template, with the prompt. Texts of the policy's: none."""
    responses, judged = world.table("responses", "1"), world.table("judgments", "1")
    assert set(judged["response_id"]) == set(responses.filter(pl.col("duplicate_of").is_null())["response_id"])
    assert judged["judgment"].cast(pl.Float64).equals(judged["score"].rename("judgment"))
    assert judged["n"].to_list() == [0] * judged.height and judged["token_ids"].list.len().sum() == 0
    record = world.run.record("judgments", "1")
    assert record is not None
    assert (record.policy, record.settings["reward_model"]["folder"]) == (None, "rm")
    assert "content of reward_model.folder" in record.settings
    assert {"mean score", "standard deviation of scores"} <= set(record.numbers) and "parse rate" not in record.numbers


def test_pairs_follow_the_rewards(world: World) -> None:
    """Longer is better: with rho 0 the longest in tokens is chosen, and nothing is said of a judge's scale."""
    pairs = world.table("actor_pairs", "1")
    tokens = dict(world.table("responses", "1").select("response_id", pl.col("token_ids").list.len()).iter_rows())
    assert pairs.height > 0
    assert all(tokens[row["chosen_id"]] > tokens[row["rejected_id"]] for row in pairs.iter_rows(named=True))
    for name in ("score_entropy", "top_score_share"):
        found = world.check("judgments", name, "1")
        assert (found.passed, found.description) == (True, "Rewards are on no scale.")
    assert world.run.record("checkpoints", "1") is not None


def test_it_follows_from_its_ancestors_and_says_who_scored(world: World) -> None:
    assert list(verify(world.run)) == []
    found = trace(world.run, world.table("actor_pairs", "1")["pair_id"][0])
    [round_] = found.rounds
    assert (round_.reward_model, round_.scale[0] < round_.scale[1]) == ("rm", True)
    for told in (brief, lines):
        assert "scored by the reward model rm" in "\n".join(told(found))


def test_other_weights_make_the_rewards_stale(world: World) -> None:
    """By the folder's content, and by each setting that changes them; not by how many are read at a time."""
    assert state(world.run, "judgments", "1") == "done"
    other = tiny_run(world.run.data, *BY_REWARDS, "reward_model.max_length=400")
    assert changed_settings(other, "judgments", "1") == {"reward_model.max_length": (None, 400)}
    faster = tiny_run(world.run.data, *BY_REWARDS, "reward_model.batch_size=2")
    assert changed_settings(faster, "judgments", "1") == {}


def test_what_was_made_before_there_were_reward_models_is_current(tmp_path: Path) -> None:
    """Its record does not name one; with one, it is stale by that."""
    import json

    run = tiny_run(tmp_path)
    complete(run, "judgments", "1")
    place = run.record_path("judgments", "1")
    said = json.loads(place.read_text())
    del said["settings"]["reward_model"]
    place.write_text(json.dumps(said))
    assert changed_settings(run, "judgments", "1") == {}
    changed = changed_settings(tiny_run(tmp_path, *BY_REWARDS), "judgments", "1")
    assert changed["reward_model.folder"] == (None, "rm")


def test_a_reward_model_does_not_train_a_judge(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"iterations\.1\.judge_training = true: the reward model writes no judgments"):
        tiny_run(tmp_path, "reward_model={folder: rm}")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, "one for sequence classification"),
        (None, "no folder"),
    ],
)
def test_a_folder_that_is_none_is_told_before_anything_is_launched(tmp_path: Path, config: Any, said: str) -> None:
    if config is not None:
        reward_model(tmp_path / "rm", weights=False, **config)
    with pytest.raises(UserError, match=said):
        check_run(tiny_run(tmp_path, *BY_REWARDS), dry=True)


def test_a_template_that_leaves_out_the_answer_is_told_before(tmp_path: Path) -> None:
    """A reward of the prompt alone would be the same for every response."""
    folder = reward_model(tmp_path / "rm", weights=False)
    (folder / "chat_template.jinja").write_text("<|user|>{{ messages[0]['content'] }}<|end|><|assistant|>")
    with pytest.raises(UserError, match="chat template"):
        check_run(tiny_run(tmp_path, *BY_REWARDS), dry=True)


@pytest.mark.slow
def test_a_real_reward_model_beside_the_real_engine(tmp_path: Path) -> None:
    """The seed model answers; then the engine ends, and the reward model scores for actor pairs, and for win rates."""
    reward_model(tmp_path / "data" / "rm")
    few = ("sft=null", "eft.source=null", "prompts.count=24", "iterations.all.prompts=6", "engine.shard_size=16")
    compared = ("held_out={source: world, prompts: 4, per_prompt: 3}", "win_rates={judge: 'reward_model:rm', n: 2}")
    with pytest.MonkeyPatch.context() as patch:
        world = new_world(patch, tmp_path / "data", *BY_REWARDS, *few, *compared)
        patch.setattr(wired, "open_engine", live.open_engine)
        made_of: tuple[Any, ...] = (
            Step("family", ("seed_prompts", "eft_dataset", "sft_checkpoint"), None),
            Step("pairs", ("policy", "prompts", "responses", "judgments", "actor_pairs"), "1"),
            Step("evaluation", ("held_out_responses", "win_rates"), "seed"),
        )
        try:
            for step in made_of:
                world.make(step)
        finally:
            live.close_engine()
        assert list(verify(world.run, None, ["responses", "judgments", "actor_pairs", "win_rates"])) == []
    pairs, scores = world.table("actor_pairs", "1"), world.table("judgments", "1")
    assert 0 < pairs.height <= 6 < scores["score"].n_unique()
    assert (pairs["chosen_score"] > pairs["rejected_score"]).all()
    assert set(world.table("win_rates", "seed")["preference"]) == {0.5}
