"""Responses to held-out prompts and the fixed probe from end to end, with a fake engine and trainer."""

from collections.abc import Iterator

import polars as pl
import pytest

from mr_assets.lineage.verification import verify
from mr_assets.orchestration.steps import Step
from mr_assets.runs.status import state
from mr_assets.tables import TABLES, dropped_frame, dropped_path
from mr_assets.worlds import letters
from mr_assets_tests.whole_runs.test_loop import World, made_up_to_m0, messages, new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

HELD_OUT = "held_out={source: world, prompts: 4, per_prompt: 3}"
PROBE = "probe={per_response: 2}"
LOW = "guardrails.min_count=2"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The tiny run up to M0, whose answers to held-out prompts, and the seed's, are there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mr_assets.files.os.fsync", lambda file: None)
        world = new_world(patch, tmp_path_factory.mktemp("data"), "evaluation=null", HELD_OUT, PROBE, LOW)
        made_up_to_m0(world)
        yield world


def test_every_model_answers_the_same_held_out_prompts(world: World) -> None:
    seed, m0 = (world.table("held_out_responses", model) for model in ("seed", "0"))
    assert seed["response_id"].to_list() == m0["response_id"].to_list()
    assert seed["prompt_id"].n_unique() == 4
    assert (seed["k"].unique().sort().to_list(), seed.height) == ([0, 1, 2], 12)
    assert all(letters.is_held_out(prompt) for prompt in seed["prompt"])
    for prompt, response, true in seed.select("prompt", "response", "true_score").iter_rows():
        assert true == letters.true_score(prompt, response)


def test_the_record_has_its_figures_and_follows(world: World) -> None:
    record = world.run.record("held_out_responses", "0")
    assert record is not None
    assert record.numbers["true_score_low"] <= record.numbers["true_score"] <= record.numbers["true_score_high"]
    assert list(record.inputs) == ["sft_checkpoint", "seed_prompts"]
    assert list(verify(world.run, None, ["held_out_responses"])) == []


def test_every_model_judges_the_seeds_responses(world: World) -> None:
    """Equal ones once; M0's own responses are others, and no matter of the probe."""
    seed, m0 = (world.table("probe_judgments", model) for model in ("seed", "0"))
    responses = world.table("held_out_responses", "seed")
    assert seed["response_id"].n_unique() == responses.select("prompt_id", "response").n_unique()
    assert m0["judgment_id"].to_list() == seed["judgment_id"].to_list()
    assert m0["n"].to_list() == [0, 1] * m0["response_id"].n_unique()
    record = world.run.record("probe_judgments", "0")
    assert record is not None
    assert list(record.inputs) == ["sft_checkpoint", "held_out_responses of seed"]


def test_the_scoring_shift_compares_with_the_model_before_and_the_seed(world: World) -> None:
    """Of M0 both are the seed; of the seed itself there is no model before."""
    m0, seed = (world.run.record("scoring_shift", model) for model in ("0", "seed"))
    assert m0 is not None
    assert seed is not None
    assert list(m0.inputs) == ["held_out_responses of seed", "probe_judgments", "probe_judgments of seed"]
    assert m0.numbers["shift_previous"] == m0.numbers["shift_seed"]
    assert seed.numbers["shift_seed"] == 0
    assert "shift_previous" not in seed.numbers
    means = world.table("probe_judgments", "0").group_by("response_id").agg(pl.col("score").mean())
    table = world.table("scoring_shift", "0").join(means, on="response_id")
    assert table.filter((pl.col("mean") - pl.col("score")).abs() > 1e-6).is_empty()
    worth = world.table("held_out_responses", "seed").select("response_id", true="true_score")
    assert table.join(worth, on="response_id").filter(pl.col("true") != pl.col("true_score")).is_empty()


def test_the_probe_has_a_picture_and_checks_that_warn(world: World) -> None:
    assert "picture: densities" in world.metadata("scoring_shift", "0")
    checks = ["mean_shift", "score_entropy", "self_consistency", "top_score_share"]
    assert sorted(world.check_specs("scoring_shift")) == checks
    found = {name: world.check("scoring_shift", name, "0") for name in checks}
    assert not any(check.blocking for check in found.values())
    assert "came 0" in str(found["top_score_share"].description)


def test_rows_of_the_probe_follow_from_their_ancestors(world: World) -> None:
    assert list(verify(world.run, None, ["probe_judgments", "scoring_shift"])) == []
    table = world.run.path("scoring_shift", "0")
    good = table.read_bytes()
    pl.read_parquet(table).with_columns(mean=pl.lit(9.0)).write_parquet(table)
    said = [str(fault) for fault in verify(world.run, None, ["scoring_shift"])]
    table.write_bytes(good)
    assert any("mean is 9.0, its ancestors give" in each for each in said)


@pytest.mark.parametrize("asset", ["held_out_responses", "probe_judgments"])
def test_a_text_that_ended_in_no_way_that_there_is_is_found(world: World, asset: str) -> None:
    """As of the loop's own samples; so is what is dropped for no reason that there is."""
    path = world.run.path(asset, "0")
    table, gone = path.read_bytes(), dropped_path(path).read_bytes()
    key = TABLES[asset].key
    first = pl.read_parquet(path)[key][0]
    how = pl.when(pl.col(key) == first).then(pl.lit("abort")).otherwise("finish_reason")
    pl.read_parquet(path).with_columns(finish_reason=how).write_parquet(path)
    dropped_frame([("x", "lost_draw", "{}"), ("y", "prompt_too_long", "{}")]).write_parquet(dropped_path(path))
    said = {(fault.id, fault.said) for fault in verify(world.run, None, [asset])}
    path.write_bytes(table)
    dropped_path(path).write_bytes(gone)
    assert (first, 'finish_reason is "abort", expected stop or length.') in said
    assert [text.partition(",")[0] for id, text in said if id == "x"] == ["it is dropped as lost_draw"]
    assert not [text for id, text in said if id == "y"]


def test_prompts_of_a_file_that_are_seed_prompts_are_dropped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """This is the last test of the run: it is made again with another recipe."""
    trained = world.table("seed_prompts")["prompt"][0]
    (world.run.data / "held.txt").write_text(f"{trained}\nWho wrote Faust?\n")
    sets = ("evaluation=null", "held_out={source: held.txt}")
    other = new_world(monkeypatch, world.run.data, *sets)
    assert state(other.run, "held_out_responses", "0") == "stale"
    assert (result := other.materialize(Step("again", ("held_out_responses",), "0"))).success, messages(result)
    assert other.table("held_out_responses", "0")["prompt"].to_list() == ["Who wrote Faust?"]
    [(_, reason, _)] = other.dropped("held_out_responses", "0").rows()
    assert reason == "trained_on"
    assert list(verify(other.run, None, ["held_out_responses"])) == []
    (world.run.data / "held.txt").write_text("Who wrote Hamlet?\n")
    assert state(other.run, "held_out_responses", "0") == "stale"
