"""How good each model's judge is, through Dagster in this process, with a fake engine and trainer.

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
from mr_assets.method.human_agreement import agreement_numbers
from mr_assets.method.labelled_pairs import labelled_pair_numbers
from mr_assets.orchestration.steps import Step, steps
from mr_assets.report.measured import Key, measured
from mr_assets.runs.run import Run
from mr_assets.runs.settings import changed_settings
from mr_assets.runs.status import state
from mr_assets.tables import HUMAN_AGREEMENT, LABELLED_PAIRS, version_of
from mr_assets.worlds import letters
from mr_assets_tests.fakes import WorldSampler
from mr_assets_tests.tiny import tiny_run
from mr_assets_tests.whole_runs.test_eft import SETS as RANKINGS
from mr_assets_tests.whole_runs.test_eft import given
from mr_assets_tests.whole_runs.test_loop import World, messages, new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

SECTIONS = (
    "human_agreement={prompts: 12, n: 3}",
    "labelled_pairs={source: world, pairs: 10, n: 2, pairwise: true}",
    "evaluation=null",
)
ASSETS = ("human_agreement", "labelled_pairs")


def made(world: World, asset: str, partition: str) -> None:
    result = world.materialize(Step(asset, (asset,), partition))
    assert result.success, messages(result)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A small world's seed model, measured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mr_assets.files.os.fsync", lambda file: None)
        world = new_world(patch, tmp_path_factory.mktemp("judges") / "data", *SECTIONS)
        for asset in ASSETS:
            made(world, asset, "seed")
        yield world


def test_each_model_is_measured_after_it_is_made(tmp_path: Path) -> None:
    """The seed and M0 before the first iteration, as the evaluation is."""
    run = tiny_run(tmp_path, *SECTIONS)
    assert [name for name in run.loop.per("model")] == list(ASSETS)
    assert run.ancestors("human_agreement", "seed") == []
    assert run.ancestors("labelled_pairs", "2") == [("checkpoints", "2")]
    assert not set(ASSETS) & set(tiny_run(tmp_path).loop)


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
    for asset, numbers in (("human_agreement", agreement_numbers), ("labelled_pairs", labelled_pair_numbers)):
        record = world.run.record(asset, "seed")
        assert record is not None
        assert record.numbers == json.loads(json.dumps(numbers(world.table(asset, "seed"))))
    record = world.run.record("human_agreement", "seed")
    assert record is not None
    for name in ("agreement", "agreement_without_ties", "kappa", "spearman", "over_ranked", "under_ranked"):
        assert record.numbers[f"{name}_low"] <= record.numbers[name] <= record.numbers[f"{name}_high"]
    assert record.numbers["agreement_low"] > 0.5
    assert world.metadata("human_agreement", "seed")["agreement"] == pytest.approx(
        record.numbers["agreement"], abs=1e-6
    )


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


@pytest.mark.parametrize(
    ("asset", "changed", "said"),
    [
        ("human_agreement", {"mean": 9.0}, "mean is 9.0, its ancestors give"),
        ("labelled_pairs", {"pairwise_verdict": "tie"}, 'pairwise_verdict is "tie", its ancestors give "right"'),
    ],
)
def test_verify_works_rows_and_figures_out_again(
    world: World, asset: str, changed: dict[str, float | str], said: str
) -> None:
    path = world.run.path(asset, "seed")
    whole = path.read_bytes()
    assert not list(verify(world.run, assets=[asset]))
    first = pl.int_range(pl.len()) == 0
    columns = [pl.when(first).then(pl.lit(value)).otherwise(name).alias(name) for name, value in changed.items()]
    pl.read_parquet(path).with_columns(columns).write_parquet(path)
    faults = [str(fault) for fault in verify(world.run, assets=[asset])]
    path.write_bytes(whole)
    assert [fault for fault in faults if said in fault], faults


@pytest.mark.parametrize(
    ("asset", "figure"),
    [
        *(("human_agreement", figure) for figure in ("agreement", "spearman", "over_ranked", "under_ranked")),
        *(("labelled_pairs", figure) for figure in ("accuracy", "pairwise_accuracy")),
    ],
)
def test_the_report_can_compare_models_prompt_by_prompt(world: World, asset: str, figure: str) -> None:
    by_prompt = measured(world.run, {})[Key(asset, figure)].by_prompt
    assert list(by_prompt) == ["seed"]
    assert set(by_prompt["seed"]) == set(world.table(asset, "seed")["prompt_id"])


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


def test_what_does_not_fit_into_the_context_is_counted_and_judged_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judge prompt fits, the pairwise prompt alone is longer."""
    monkeypatch.setattr("mr_assets.files.os.fsync", lambda file: None)
    monkeypatch.setattr(WorldSampler, "max_model_len", 150)
    world = new_world(monkeypatch, tmp_path / "data", *SECTIONS)
    made(world, "labelled_pairs", "seed")
    record, table = world.run.record("labelled_pairs", "seed"), world.table("labelled_pairs", "seed")
    assert record is not None
    assert set(table["chosen_first"]) == set(table["rejected_first"]) == {"too_long"}
    assert table["pairwise_verdict"].null_count() == 10
    assert (record.numbers["too_long"], record.numbers["pairwise_too_long"]) == (0, 10)
    assert record.numbers["pairwise_accuracy"] is None


def test_another_file_of_pairs_makes_every_models_figures_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of a model of the loop, whose weights alone the file has nothing to do with."""
    monkeypatch.setattr("mr_assets.files.os.fsync", lambda file: None)
    data = tmp_path / "data"
    data.mkdir()
    pair = {"prompt": "Copy the letters b c d.", "chosen": "It is b c d.", "rejected": "Cats sleep a lot."}
    (data / "pairs.jsonl").write_text(json.dumps(pair) + "\n")
    world = new_world(monkeypatch, data, "labelled_pairs={source: pairs.jsonl, n: 1}", "evaluation=null")
    first, *_ = steps(world.run)
    assert world.materialize(first).success
    made(world, "labelled_pairs", "0")
    assert state(world.run, "labelled_pairs", "0") == "done"
    (data / "pairs.jsonl").write_text((json.dumps(pair) + "\n") * 2)
    assert state(world.run, "labelled_pairs", "0") == "stale"
    assert list(changed_settings(world.run, "labelled_pairs", "0")) == ["content of labelled_pairs.source"]


def test_of_rankings_the_held_out_replies_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five of twenty prompts, three replies each; people's ranks stand before a world's truth."""
    monkeypatch.setattr("mr_assets.files.os.fsync", lambda file: None)
    data = given(tmp_path / "data")
    world = new_world(monkeypatch, data, *RANKINGS, "human_agreement={n: 2}", "evaluation=null")
    result = world.materialize(Step("ranked_replies", ("ranked_replies",), None))
    assert result.success, messages(result)
    made(world, "human_agreement", "seed")
    held = world.table("ranked_replies").filter("held_out")
    table = world.table("human_agreement", "seed")
    assert table.select("response_id", "rank").equals(held.select("response_id", "rank"))
    record = world.run.record("human_agreement", "seed")
    assert record is not None
    assert set(record.inputs) == {"ranked_replies"}
    assert (record.numbers["prompts"], record.numbers["pairs"]) == (5, 15)
    fewer = Run(world.run.name, tiny_run(data, *RANKINGS, "human_agreement={n: 2, prompts: 2}").recipe, data)
    assert list(changed_settings(fewer, "human_agreement", "seed")) == ["human_agreement.prompts"]


def test_a_wrong_file_of_pairs_is_found_before_the_launch(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "A?", "chosen": "B"}\n')
    with pytest.raises(UserError, match=r"file of labelled pairs pairs\.jsonl, line 1: expected columns prompt"):
        check_run(tiny_run(tmp_path, "labelled_pairs={source: pairs.jsonl}"), dry=True)
