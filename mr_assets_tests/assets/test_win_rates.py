"""Win rates on held-out prompts from end to end, with a fake engine, trainer and reward model."""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.inputs.preflight import check_run
from mr_assets.lineage.verification import verify
from mr_assets.orchestration.steps import Step
from mr_assets.runs.status import why_stale
from mr_assets.wiring import rewards
from mr_assets_tests.reward_model import SEED_MODEL, ByLength, reward_model
from mr_assets_tests.tiny import complete, tiny_run
from mr_assets_tests.whole_runs.test_loop import World, made_up_to_m0, new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

HELD_OUT = ("evaluation=null", "held_out={source: world, prompts: 4, per_prompt: 3}")
JUDGES = ("seed", "other", "reward_model:rm", "world")


def sets(judge: str) -> tuple[str, ...]:
    return (*HELD_OUT, f"win_rates={{judge: '{judge}', n: 2}}")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The tiny run up to M0, with held-out responses of M0 and of the seed model."""
    data = tmp_path_factory.mktemp("win rates") / "data"
    reward_model(data / "rm", weights=False)
    (data / "other").symlink_to(SEED_MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mr_assets.files.os.fsync", lambda file: None)
        patch.setattr("mr_assets.method.bootstrap.RESAMPLES", 50)  # each fits length anew
        patch.setattr(rewards, "RewardModel", ByLength)
        world = new_world(patch, data, *sets("world"))
        made_up_to_m0(world)
        yield world


def test_a_score_that_was_changed_does_not_follow(world: World) -> None:
    """Who won must be what the two scores say, which are the truth's here."""
    path = world.run.path("win_rates", "0")
    assert list(verify(world.run, None, ["win_rates"])) == []
    before, table = path.read_bytes(), pl.read_parquet(path)
    table.with_columns(preference=1.5 - pl.col("preference"), score=pl.col("score") + 1).write_parquet(path)
    said = " ".join(fault.said for fault in verify(world.run, None, ["win_rates"]))
    assert "score is" in said and "preference is" in said
    path.write_bytes(before)


@pytest.mark.parametrize("judge", JUDGES)
def test_a_judge_that_is_not_the_model(world: World, monkeypatch: pytest.MonkeyPatch, judge: str) -> None:
    """By the seed model, another folder, rewards or the truth: whose name, and content, the record has.

    The seed's responses are judged once, so that noise decides nothing: it draws with itself, whoever judges.
    """
    other = new_world(monkeypatch, world.run.data, *sets(judge))
    for model in ("seed", "0"):
        other.make(Step("win rates", ("win_rates",), model))
    rows, (seed, m0) = other.table("win_rates", "seed"), (other.run.record("win_rates", m) for m in ("seed", "0"))
    assert rows["response_id"].to_list() == other.table("held_out_responses", "seed")["response_id"].to_list()
    assert seed is not None and m0 is not None
    assert (seed.numbers["judge"], set(rows["judge"]), set(rows["preference"].drop_nulls())) == (judge, {judge}, {0.5})
    for name in ("win_rate", "length_controlled_win_rate"):
        assert [seed.numbers[f"{name}{end}"] for end in ("", "_low", "_high")] == pytest.approx([0.5, 0.5, 0.5])
    judged_by = {folder.resolve() for folder, _ in other.opened}
    assert judged_by == ({SEED_MODEL.resolve()} if judge in ("seed", "other") else set())
    assert list(m0.inputs) == ["held_out_responses", "held_out_responses of seed"]
    assert ("content of win_rates.judge" in m0.settings) == (judge in ("other", "reward_model:rm"))
    assert list(verify(other.run, None, ["win_rates"])) == []
    numbers = m0.numbers
    assert numbers["wins"] + numbers["draws"] + numbers["losses"] + numbers["without a preference"] == 12
    assert numbers["win_rate_low"] <= numbers["win_rate"] <= numbers["win_rate_high"]
    if judge == "reward_model:rm":  # longer is better
        longer = other.table("win_rates", "0").filter(pl.col("chars") > 1.5 * pl.col("seed_chars"))
        assert longer.height > 0 and set(longer["preference"]) == {1.0}


def test_another_judge_or_another_content_of_its_folder_makes_them_stale(tmp_path: Path) -> None:
    folder = reward_model(tmp_path / "rm", weights=False)
    run = tiny_run(tmp_path, *sets("reward_model:rm"))
    for model in ("seed", "0"):
        complete(run, "held_out_responses", model)
    complete(run, "win_rates", "0")
    assert why_stale(run, "win_rates", "0") == []
    assert why_stale(tiny_run(tmp_path, *sets("seed")), "win_rates", "0") != []
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-5}))
    [said] = why_stale(run, "win_rates", "0")
    assert "win_rates.judge" in said
    complete(run, "held_out_responses", "seed", version="v2")
    assert "held_out_responses of seed changed" in why_stale(run, "win_rates", "0")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("win_rates={judge: seed}",), "held_out is null"),
        ((*HELD_OUT, "win_rates={judge: 'reward_model:'}"), "names no folder"),
        ((*HELD_OUT, "win_rates={judge: seed, n: 2}", "judgments={temperature: 0, n: 1}"), r"win_rates\.n = 2"),
    ],
)
def test_a_recipe_that_cannot_compare_is_refused(tmp_path: Path, more: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        tiny_run(tmp_path, *more, "iterations.all.judge_training=false")


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        ("nowhere", r"win_rates\.judge: there is no folder"),
        ("reward_model:other", "the architecture LlamaForCausalLM"),
        ("rm", "Write reward_model:rm"),
    ],
)
def test_a_judge_that_is_none_is_told_before_anything_is_launched(world: World, judge: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_run(tiny_run(world.run.data, *sets(judge)), dry=True)
