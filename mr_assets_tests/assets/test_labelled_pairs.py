"""How each model judges pairs of which it is known which response is better.

The judge of the fakes gives half of its scores by lot, and its pairwise verdicts by the truth.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.inputs.preflight import check_run
from mr_assets.lineage.verification import verify
from mr_assets.method.labelled_pairs import labelled_pair_numbers
from mr_assets.orchestration.steps import Step, steps
from mr_assets.report.measured import Key, measured
from mr_assets.runs.settings import changed_settings
from mr_assets.runs.status import state
from mr_assets.tables import LABELLED_PAIRS
from mr_assets.worlds import letters
from mr_assets_tests.assets.conftest import is_made_of_each_model, seed_measured
from mr_assets_tests.fakes import WorldSampler
from mr_assets_tests.tiny import tiny_run
from mr_assets_tests.whole_runs.test_loop import World, new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

MEASURED = ("labelled_pairs={source: world, pairs: 10, n: 2, pairwise: true}", "evaluation=null")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A small world's seed model, measured."""
    with seed_measured(tmp_path_factory.mktemp("judge") / "data", "labelled_pairs", *MEASURED) as world:
        yield world


def test_each_model_is_measured_after_it_is_made(tmp_path: Path) -> None:
    assert is_made_of_each_model(tmp_path, "labelled_pairs", *MEASURED)
    assert "labelled_pairs" not in tiny_run(tmp_path).loop


def test_labelled_pairs_are_judged_by_scores_and_side_by_side(world: World) -> None:
    """The fake's pairwise verdicts are the truth, in both orders."""
    table = world.table("labelled_pairs", "seed")
    LABELLED_PAIRS.check(table)
    assert table.height == 10
    assert set(table["chosen_scores"].list.len()) == {2}
    assert set(table["chosen_first"]) == {"first"}
    assert set(table["rejected_first"]) == {"second"}
    for prompt, chosen, rejected in table.select("prompt", "chosen", "rejected").iter_rows():
        assert letters.true_score(prompt, chosen) > letters.true_score(prompt, rejected)
    record = world.run.record("labelled_pairs", "seed")
    assert record is not None
    assert (record.numbers["pairwise_accuracy"], record.numbers["pairwise_first"]) == (1.0, 0.5)
    assert record.numbers == json.loads(json.dumps(labelled_pair_numbers(table)))


def test_verify_works_rows_and_figures_out_again(world: World) -> None:
    path = world.run.path("labelled_pairs", "seed")
    whole = path.read_bytes()
    assert not list(verify(world.run, assets=["labelled_pairs"]))
    verdict = pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("tie")).otherwise("pairwise_verdict")
    pl.read_parquet(path).with_columns(pairwise_verdict=verdict).write_parquet(path)
    faults = [str(fault) for fault in verify(world.run, assets=["labelled_pairs"])]
    path.write_bytes(whole)
    assert [f for f in faults if 'pairwise_verdict is "tie", its ancestors give "right"' in f], faults


@pytest.mark.parametrize("figure", ["accuracy", "pairwise_accuracy"])
def test_the_report_can_compare_models_prompt_by_prompt(world: World, figure: str) -> None:
    by_prompt = measured(world.run, {})[Key("labelled_pairs", figure)].by_prompt
    assert list(by_prompt) == ["seed"]
    assert set(by_prompt["seed"]) == set(world.table("labelled_pairs", "seed")["prompt_id"])


def test_what_does_not_fit_into_the_context_is_counted_and_judged_by_nobody(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    """The judge prompt fits, the pairwise prompt alone is longer."""
    patch.setattr(WorldSampler, "max_model_len", 150)
    world = new_world(patch, tmp_path / "data", *MEASURED)
    world.make(Step("measured", ("labelled_pairs",), "seed"))
    record, table = world.run.record("labelled_pairs", "seed"), world.table("labelled_pairs", "seed")
    assert record is not None
    assert set(table["chosen_first"]) == set(table["rejected_first"]) == {"too_long"}
    assert table["pairwise_verdict"].null_count() == 10
    assert (record.numbers["too_long"], record.numbers["pairwise_too_long"]) == (0, 10)
    assert record.numbers["pairwise_accuracy"] is None


def test_another_file_of_pairs_makes_every_models_figures_stale(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    """Also those of a model of the loop, whose weights alone the file has nothing to do with."""
    data = tmp_path / "data"
    data.mkdir()
    pair = {"prompt": "Copy the letters b c d.", "chosen": "It is b c d.", "rejected": "Cats sleep a lot."}
    (data / "pairs.jsonl").write_text(json.dumps(pair) + "\n")
    world = new_world(patch, data, "labelled_pairs={source: pairs.jsonl, n: 1}", "evaluation=null")
    first, *_ = steps(world.run)
    assert world.materialize(first).success
    world.make(Step("measured", ("labelled_pairs",), "0"))
    assert state(world.run, "labelled_pairs", "0") == "done"
    (data / "pairs.jsonl").write_text((json.dumps(pair) + "\n") * 2)
    assert state(world.run, "labelled_pairs", "0") == "stale"
    assert list(changed_settings(world.run, "labelled_pairs", "0")) == ["content of labelled_pairs.source"]


def test_a_wrong_file_of_pairs_is_found_before_the_launch(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "A?", "chosen": "B"}\n')
    with pytest.raises(UserError, match=r"file of labelled pairs pairs\.jsonl, line 1: expected columns prompt"):
        check_run(tiny_run(tmp_path, "labelled_pairs={source: pairs.jsonl}"), dry=True)
