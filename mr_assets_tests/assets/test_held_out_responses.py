"""What each model answers to held-out prompts, by a fake engine."""

from pathlib import Path

import polars as pl
import pytest

from mr_assets.lineage.verification import verify
from mr_assets.orchestration.steps import Step
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets.tables import TABLES, dropped_frame, dropped_path
from mr_assets.worlds import letters
from mr_assets_tests.lineage.conftest import table
from mr_assets_tests.tiny import copied
from mr_assets_tests.whole_runs.test_loop import World, new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_every_model_answers_the_same_held_out_prompts(probed: Run) -> None:
    seed, m0 = (table(probed, "held_out_responses", model) for model in ("seed", "0"))
    assert seed["response_id"].to_list() == m0["response_id"].to_list()
    assert seed["prompt_id"].n_unique() == 4
    assert (seed["k"].unique().sort().to_list(), seed.height) == ([0, 1, 2], 12)
    assert all(letters.is_held_out(prompt) for prompt in seed["prompt"])
    for prompt, response, true in seed.select("prompt", "response", "true_score").iter_rows():
        assert true == letters.true_score(prompt, response)


def test_the_record_has_its_figures_and_follows(probed: Run) -> None:
    record = probed.record("held_out_responses", "0")
    assert record is not None
    assert record.numbers["true_score_low"] <= record.numbers["true_score"] <= record.numbers["true_score_high"]
    assert list(record.inputs) == ["sft_checkpoint", "seed_prompts"]
    assert list(verify(probed, None, ["held_out_responses"])) == []


@pytest.mark.parametrize("asset", ["held_out_responses", "probe_judgments"])
def test_a_text_that_ended_in_no_way_that_there_is_is_found(probed_copy: World, asset: str) -> None:
    """As of the loop's own samples; so is what is dropped for no reason that there is."""
    path = probed_copy.run.path(asset, "0")
    key = TABLES[asset].key
    first = pl.read_parquet(path)[key][0]
    how = pl.when(pl.col(key) == first).then(pl.lit("abort")).otherwise("finish_reason")
    pl.read_parquet(path).with_columns(finish_reason=how).write_parquet(path)
    dropped_frame([("x", "lost_draw", "{}"), ("y", "prompt_too_long", "{}")]).write_parquet(dropped_path(path))
    said = {(fault.id, fault.said) for fault in verify(probed_copy.run, None, [asset])}
    assert (first, 'finish_reason is "abort", expected stop or length.') in said
    assert [text.partition(",")[0] for id, text in said if id == "x"] == ["it is dropped as lost_draw"]
    assert not [text for id, text in said if id == "y"]


def test_prompts_of_a_file_that_are_seed_prompts_are_dropped(
    probed: Run, patch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The run is made again with another recipe."""
    data = copied(probed.data, tmp_path / "data")
    trained = table(probed, "seed_prompts", None)["prompt"][0]
    (data / "held.txt").write_text(f"{trained}\nWho wrote Faust?\n")
    other = new_world(patch, data, "evaluation=null", "held_out={source: held.txt}")
    assert state(other.run, "held_out_responses", "0") == "stale"
    other.make(Step("again", ("held_out_responses",), "0"))
    assert other.table("held_out_responses", "0")["prompt"].to_list() == ["Who wrote Faust?"]
    [(_, reason, _)] = other.dropped("held_out_responses", "0").rows()
    assert reason == "trained_on"
    assert list(verify(other.run, None, ["held_out_responses"])) == []
    (data / "held.txt").write_text("Who wrote Hamlet?\n")
    assert state(other.run, "held_out_responses", "0") == "stale"
