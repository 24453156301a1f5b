"""How an asset of the loop is declared by the function that materializes it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster_ray.configs import RayExecutionConfig

from mr_assets.assets.checkpoints import checkpoints
from mr_assets.assets.responses import responses
from mr_assets.errors import UserError
from mr_assets.runs.run import Run
from mr_assets.tables import ACTOR_PAIRS, SELECTED_RESPONSES, TABLES
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets_tests.runs.test_pruning import finished
from mr_assets_tests.tiny import complete, tiny_run


class Shelf(dg.IOManager):
    """Has every table without rows, and keeps what it gets."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def load_input(self, context: dg.InputContext) -> pl.LazyFrame:
        return TABLES[context.asset_key.path[-1]].empty().lazy()

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        self.kept.append(obj)


def materialize(
    build: Callable[[Run], dg.AssetsDefinition], run: Run, t: str, shelf: Shelf | None = None
) -> tuple[Any, Shelf]:
    shelf, asset = shelf or Shelf(), build(run)
    parents = [
        dg.AssetSpec(key, partitions_def=asset.partitions_def).with_io_manager_key("tables")
        for key in asset.dependency_keys
    ]
    done = dg.materialize([*parents, asset], partition_key=t, resources={"tables": shelf}, raise_on_error=False)
    return done, shelf


def test_the_function_gets_the_materialization_and_its_inputs_by_name(run: Run) -> None:
    """Inputs are lazy tables; its docstring is what the UI says."""
    seen: list[Any] = []

    @loop_asset(kinds={"polars"})
    def actor_pairs(work: Materialization, judgments: pl.LazyFrame, responses: pl.LazyFrame) -> Result:
        """Pairs of two texts."""
        seen.extend((work.asset, work.partition, work.iteration, work.row.rho, judgments, responses))
        return work.table(ACTOR_PAIRS.empty(), {"pairs": 0}, empty_because="Nothing to pair.")

    done, shelf = materialize(actor_pairs, run, "2")
    assert done.success
    assert seen[:4] == ["actor_pairs", "2", 2, run.recipe.row(2).rho]
    assert [next(iter(table.collect_schema())) for table in seen[4:]] == ["judgment_id", "response_id"]
    [kept] = shelf.kept
    assert (kept.record.asset, kept.record.partition, kept.record.numbers) == ("actor_pairs", "2", {"pairs": 0})
    assert actor_pairs(run).get_asset_spec().description == "Pairs of two texts."


def test_a_users_error_fails_the_step_with_its_message_alone(run: Run) -> None:
    @loop_asset(kinds={"polars"})
    def actor_pairs(work: Materialization, responses: pl.LazyFrame, judgments: pl.LazyFrame) -> Result:
        """Pairs of two texts."""
        raise UserError("rho: expected a number from 0 to 1, received 7.")

    done, shelf = materialize(actor_pairs, run, "1")
    [failure] = done.get_step_failure_events()
    assert failure.step_failure_data.user_failure_data.description == "rho: expected a number from 0 to 1, received 7."
    assert shelf.kept == []


def test_the_judges_side_is_empty_where_no_judge_is_trained(run: Run) -> None:
    """The function is not called in iteration 2 of the tiny run, which trains the actor alone."""

    @loop_asset(kinds={"polars"})
    def selected_responses(work: Materialization, responses: pl.LazyFrame, judgments: pl.LazyFrame) -> Result:
        """One per prompt."""
        raise UserError(f"called in iteration {work.partition}")

    done, shelf = materialize(selected_responses, run, "2")
    assert done.success
    [kept] = shelf.kept
    assert kept.rows.equals(SELECTED_RESPONSES.empty())
    assert not materialize(selected_responses, run, "1")[0].success


def test_weights_that_nothing_needs_any_more_go_when_an_asset_is_there(tmp_path: Path) -> None:
    """The pairs are the last thing of iteration 4 that was missing: no other asset begins, which would see to M3."""
    run = finished(tmp_path)
    run.record_path("actor_pairs", "4").unlink()
    seen: list[bool] = []
    weights = run.path("checkpoints", "3") / "model.safetensors"

    @loop_asset(kinds={"polars"})
    def actor_pairs(work: Materialization, responses: pl.LazyFrame, judgments: pl.LazyFrame) -> Result:
        """Pairs of two texts."""
        seen.append(weights.exists())
        return work.table(ACTOR_PAIRS.empty(), {}, empty_because="Nothing to pair.")

    class Completing(Shelf):
        def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
            complete(run, "actor_pairs", "4", version="actor_pairs 4")

    done, _ = materialize(actor_pairs, run, "4", Completing())
    assert done.success
    assert (seen, weights.exists()) == ([True], False)


def test_an_input_that_the_row_does_not_name_is_refused(run: Run) -> None:
    @loop_asset(kinds={"polars"})
    def prompts(work: Materialization, responses: pl.LazyFrame) -> Result:
        """Prompts of responses."""
        return work.table(responses, {})

    with pytest.raises(
        TypeError, match=r"prompts takes \['responses'\], its row in mr_assets.loop names \['seed_prompts'\]"
    ):
        prompts(run)


def test_a_step_asks_clusters_for_as_many_gpus_as_the_recipe_uses(tmp_path: Path) -> None:
    """By the tags as dagster-ray and dagster-k8s read them."""
    run = tiny_run(tmp_path, "engine.tensor_parallel_size=4", "dpo.num_processes=2", "dpo.micro_batch_size=8")
    for build, count in ((responses, 4), (checkpoints, 2)):
        tags = build(run).op.tags
        assert RayExecutionConfig.from_tags(tags).num_gpus == count
        pod = json.loads(tags["dagster-k8s/config"])
        assert pod["container_config"]["resources"]["limits"] == {"nvidia.com/gpu": count}
