"""Whether each model's judge ranks replies as people did, or as a world's truth does.

The judge of the fakes gives half of its scores by lot.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from mr_assets.lineage.verification import verify
from mr_assets.method.human_agreement import agreement_numbers
from mr_assets.orchestration.steps import Step
from mr_assets.report.measured import Key, measured
from mr_assets.runs.run import Run
from mr_assets.runs.settings import changed_settings
from mr_assets.tables import HUMAN_AGREEMENT, version_of
from mr_assets.worlds import letters
from mr_assets_tests.assets.conftest import is_made_of_each_model, seed_measured
from mr_assets_tests.rankings import OF_RANKINGS
from mr_assets_tests.tiny import copied, tiny_run
from mr_assets_tests.whole_runs.test_loop import World, new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

MEASURED = ("human_agreement={prompts: 12, n: 3}", "evaluation=null")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A small world's seed model, measured."""
    with seed_measured(tmp_path_factory.mktemp("judge") / "data", "human_agreement", *MEASURED) as world:
        yield world


def test_each_model_is_measured_after_it_is_made(tmp_path: Path) -> None:
    assert is_made_of_each_model(tmp_path, "human_agreement", *MEASURED)
    assert "human_agreement" not in tiny_run(tmp_path).loop


def test_replies_of_the_world_are_ranked_by_their_true_score(world: World) -> None:
    """Twelve held-out prompts with three replies each, three judgments of each."""
    table = world.table("human_agreement", "seed")
    HUMAN_AGREEMENT.check(table)
    assert (table.height, table["prompt_id"].n_unique()) == (36, 12)
    assert set(table["scores"].list.len()) == {3}
    for prompt, response, rank in table.select("prompt", "response", "rank").iter_rows():
        assert letters.is_held_out(prompt)
        assert rank == 5 - letters.true_score(prompt, response)


def test_the_record_has_the_figures_with_their_noise(world: World) -> None:
    """As the table gives them; half of the scores are right, so that the judge does better than chance."""
    record = world.run.record("human_agreement", "seed")
    assert record is not None
    assert record.numbers == json.loads(json.dumps(agreement_numbers(world.table("human_agreement", "seed"))))
    for name in ("agreement", "agreement_without_ties", "kappa", "spearman", "over_ranked", "under_ranked"):
        assert record.numbers[f"{name}_low"] <= record.numbers[name] <= record.numbers[f"{name}_high"]
    assert record.numbers["agreement_low"] > 0.5
    assert world.metadata("human_agreement", "seed")["agreement"] == pytest.approx(
        record.numbers["agreement"], abs=1e-6
    )


def test_verify_works_rows_and_figures_out_again(world: World) -> None:
    path = world.run.path("human_agreement", "seed")
    whole = path.read_bytes()
    assert not list(verify(world.run, assets=["human_agreement"]))
    mean = pl.when(pl.int_range(pl.len()) == 0).then(9.0).otherwise("mean")
    pl.read_parquet(path).with_columns(mean=mean).write_parquet(path)
    faults = [str(fault) for fault in verify(world.run, assets=["human_agreement"])]
    path.write_bytes(whole)
    assert [fault for fault in faults if "mean is 9.0, its ancestors give" in fault], faults


@pytest.mark.parametrize("figure", ["agreement", "spearman", "over_ranked", "under_ranked"])
def test_the_report_can_compare_models_prompt_by_prompt(world: World, figure: str) -> None:
    by_prompt = measured(world.run, {})[Key("human_agreement", figure)].by_prompt
    assert list(by_prompt) == ["seed"]
    assert set(by_prompt["seed"]) == set(world.table("human_agreement", "seed")["prompt_id"])


def test_a_table_of_an_earlier_version_is_read_and_verified(world: World) -> None:
    """It has no places by the judge, nor figures of them in its record."""
    path, place = world.run.path("human_agreement", "seed"), world.run.record_path("human_agreement", "seed")
    whole, record = path.read_bytes(), place.read_text()
    earlier = pl.read_parquet(path).drop("over_ranked", "under_ranked", "same_rank")
    earlier.write_parquet(path)
    kept = {k: v for k, v in json.loads(record)["numbers"].items() if "_rank" not in k}
    place.write_text(json.dumps(json.loads(record) | {"numbers": kept, "version": version_of(earlier)}))
    try:
        HUMAN_AGREEMENT.check(HUMAN_AGREEMENT.scan(path))
        assert not list(verify(world.run, assets=["human_agreement"]))
        found = measured(world.run, {})
        assert (
            Key("human_agreement", "over_ranked") not in found and found[Key("human_agreement", "spearman")].by_prompt
        )
    finally:
        path.write_bytes(whole)
        place.write_text(record)


def test_of_rankings_the_held_out_replies_are_judged(ranked: Run, tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    """Five of twenty prompts, three replies each; people's ranks stand before a world's truth."""
    data = copied(ranked.data, tmp_path / "data")
    world = new_world(patch, data, *OF_RANKINGS, "human_agreement={n: 2}", "evaluation=null")
    world.make(Step("measured", ("human_agreement",), "seed"))
    held = world.table("ranked_replies").filter("held_out")
    table = world.table("human_agreement", "seed")
    assert table.select("response_id", "rank").equals(held.select("response_id", "rank"))
    record = world.run.record("human_agreement", "seed")
    assert record is not None
    assert set(record.inputs) == {"ranked_replies"}
    assert (record.numbers["prompts"], record.numbers["pairs"]) == (5, 15)
    fewer = Run(world.run.name, tiny_run(data, *OF_RANKINGS, "human_agreement={n: 2, prompts: 2}").recipe, data)
    assert list(changed_settings(fewer, "human_agreement", "seed")) == ["human_agreement.prompts"]
