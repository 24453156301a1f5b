"""The rows of the loop: each is whole, and one more row is all that the rest has to know of a new asset."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

import mr_assets.assets
import mr_assets.method
from mr_assets.addresses import page_of_artifact
from mr_assets.cli.status import Status
from mr_assets.definitions import build_definitions
from mr_assets.lineage.tracing import trace
from mr_assets.lineage.verification import verify
from mr_assets.loop import LOOP, Asset
from mr_assets.orchestration.steps import Step, plan, steps
from mr_assets.recipes.recipe import Recipe
from mr_assets.recipes.shaping import shaping_settings
from mr_assets.runs import code_versions, status
from mr_assets.runs.code_versions import PACKAGE, code_version
from mr_assets.runs.record import write_record
from mr_assets.runs.status import places, state
from mr_assets.section import section_of
from mr_assets.tables import TABLES, Column, Table
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets_tests.tiny import complete, tiny_recipe, tiny_run
from mr_assets_tests.whole_runs.test_loop import World, messages, new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

# ------------------------------------------------------------------------------------------------- each row is whole


@pytest.mark.parametrize("row", LOOP.values(), ids=LOOP)
def test_a_row_names_what_is_there(row: Asset) -> None:
    """Its file in assets/, its code and templates, its table, and the fields that name what a user gives."""
    assert (PACKAGE / "assets" / f"{row.name}.py").is_file()
    assert row.code
    for module in row.code:
        assert PACKAGE.joinpath(*module.split(".")).with_suffix(".py").is_file(), module
    for template in row.templates:
        assert (PACKAGE / "templates" / f"{template}.txt").is_file()
    assert (row.name in TABLES) == (row.holds == "table")
    assert row.holds == "table" or not row.selects
    assert (row.trained_by is not None) == (row.holds == "model")
    for field in row.sources:
        section, _, name = field.partition(".")
        kind = section_of(Recipe.model_fields[section].annotation)
        assert kind is not None and name in kind.model_fields


@pytest.mark.parametrize("asset", LOOP)
def test_what_shapes_an_asset_are_fields_of_the_recipe(asset: str) -> None:
    """A path that the recipe does not have raises; each is noted in records, by the iteration's own row where named."""
    partition = {"family": None, "iteration": "1", "model": "1"}[LOOP[asset].per]
    noted = shaping_settings(tiny_recipe(), asset, partition)
    assert list(noted) == [path.replace("row.", "iteration.") for path in LOOP[asset].shaping(tiny_recipe())]


def test_what_an_asset_is_made_of_comes_before_it() -> None:
    """So there is no circle. What a family shares is made of nothing that a run has of its own."""
    seen: set[str] = set()
    for name, row in LOOP.items():
        assert name == row.name
        assert {*row.upstream, *row.begins_after} <= seen
        assert set(row.of_models) <= {upstream for upstream in row.upstream if LOOP[upstream].per == "model"}
        if row.per == "family":
            assert all(LOOP[upstream].per == "family" for upstream in row.upstream)
        if row.per == "model":
            assert all(LOOP[u].per != "iteration" or LOOP[u].holds == "model" for u in row.upstream)
        seen.add(name)


def test_the_rows_are_light() -> None:
    """What only asks for them, as a command that lists runs does, loads none of the heavy libraries."""
    code = "import sys, mr_assets.loop; print({'dagster', 'torch', 'transformers', 'vllm', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


# ------------------------------------------------------------------------------------- a row that some recipes have


def test_a_recipe_without_it_knows_nothing_of_a_row_that_only_some_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here: those with K = 5. It is no artifact of the others, not in their graph, and nothing of theirs is made of it.

    So a record of it that lies in their folder is no matter of theirs.
    """
    monkeypatch.setitem(LOOP, "selected_responses", replace(LOOP["selected_responses"], when=_has_five))
    four, five = (tiny_run(tmp_path, f"responses.k={k}") for k in (4, 5))
    assert [name for name in five.loop if name not in four.loop] == ["selected_responses"]
    assert [place for place in places(five) if place not in places(four)] == [
        ("selected_responses", "1"),
        ("selected_responses", "2"),
    ]
    assert ("selected_responses", "1") in five.ancestors("meta_judgments", "1")
    assert ("selected_responses", "1") not in four.ancestors("meta_judgments", "1")
    complete(four, "selected_responses", "1")
    assert "selected_responses" not in four.inputs("meta_judgments", "1")
    assert not [row for row in Status(four, {}, {}).table().rows if row[0] == "selected_responses"]
    assert not [step for step, _ in plan(four) if "selected_responses" in step.assets]


def test_an_asset_takes_what_only_some_recipes_have_with_none_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its function says so with a default. Without one, a recipe that lacks it is refused when the graph is built."""
    monkeypatch.setitem(LOOP, "selected_responses", replace(LOOP["selected_responses"], when=_has_five))
    four, five = (tiny_run(tmp_path, f"responses.k={k}") for k in (4, 5))

    def battle_matrices(
        work: Materialization, meta_judgments: pl.LazyFrame, selected_responses: pl.LazyFrame | None = None
    ) -> Result:
        raise NotImplementedError

    asset = loop_asset(kinds={"polars"})(battle_matrices)
    assert {dep.asset_key.path[-1] for dep in _spec(asset(four)).deps} == {"meta_judgments"}
    assert {dep.asset_key.path[-1] for dep in _spec(asset(five)).deps} == {"meta_judgments", "selected_responses"}
    with pytest.raises(TypeError, match=r"meta_judgments takes .*'selected_responses'\], its row"):
        build_definitions([four])


def _has_five(recipe: Recipe) -> bool:
    return recipe.responses.k == 5


def _spec(asset: dg.AssetsDefinition) -> dg.AssetSpec:
    [spec] = asset.specs
    return spec


# ---------------------------------------------------------------------------------------------------- one row more

METHOD = '''"""Long responses: those with at least so many characters as a chosen one may have."""

import polars as pl

from mr_assets.method.dropped import dropped
from mr_assets.section import section_of
from mr_assets.tables import Selected


def long_responses(responses: pl.DataFrame, *, at_least: int) -> Selected:
    """response_id and characters of the long ones; the others are dropped."""
    rows = responses.select("response_id", characters=pl.col("response").str.len_chars().cast(pl.Int64))
    short = dropped(rows.filter(pl.col("characters") < at_least), "response_id", "short", ["characters"])
    return Selected(rows.filter(pl.col("characters") >= at_least), short)
'''
ASSET = '''"""long_responses."""

import dagster as dg
import polars as pl

from mr_assets.method import long_responses as method
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization


@loop_asset(kinds={"polars", "parquet"})
def long_responses(work: Materialization, responses: pl.LazyFrame) -> dg.MaterializeResult:
    """The long ones."""
    long = method.long_responses(responses.collect(), at_least=work.row.max_chosen_chars or 1)
    return work.table(long, {"long": long.rows.height})
'''
COLUMNS = {
    "response_id": Column(pl.String, "a long response"),
    "characters": Column(pl.Int64, "how long it is"),
}
ROW = Asset(
    "long_responses",
    upstream=("responses",),
    shaped_by=("seed", "row.max_chosen_chars"),
    selects=True,
    code=("method.long_responses",),
)

LENGTHS = '''"""model_lengths."""

import dagster as dg
import polars as pl

from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization


@loop_asset(kinds={"parquet"})
def model_lengths(work: Materialization) -> dg.MaterializeResult:
    """How long the key of the model is."""
    length = len(work.partition)
    return work.table(pl.DataFrame({"model": [work.partition], "length": [length]}), {"length": length})
'''
GROWTH = '''"""model_growth."""

import dagster as dg
import polars as pl

from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization


@loop_asset(kinds={"parquet"})
def model_growth(work: Materialization) -> dg.MaterializeResult:
    """The same, beside that of the model before, if there is one, and of the seed."""
    tables = [work.upstream("model_lengths", of) for of in ("its own", "the previous", "the seed")]
    found = [None if table is None else table.collect()["length"][0] for table in tables]
    return work.table(pl.DataFrame({"model": [work.partition], "lengths": [found]}), {})
'''
PER_MODEL = {
    "model_lengths": (
        LENGTHS,
        {"model": Column(pl.String, "its key"), "length": Column(pl.Int64, "of its key")},
        Asset("model_lengths", per="model", upstream=("sft_checkpoint", "checkpoints"), code=("ids",)),
    ),
    "model_growth": (
        GROWTH,
        {"model": Column(pl.String, "its key"), "lengths": Column(pl.List(pl.Int64), "own, previous, seed")},
        Asset(
            "model_growth",
            per="model",
            upstream=("model_lengths",),
            of_models={"model_lengths": ("its own", "the previous", "the seed")},
            code=("ids",),
        ),
    ),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The tiny run, up to the responses of iteration 1 and an asset more, which is added by what a person would write:

    its file in assets/, its file in method/, its columns in TABLES, its row in LOOP.
    """
    package = tmp_path_factory.mktemp("package") / "mr_assets"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "assets" / "long_responses.py").write_text(ASSET)
    (package / "method" / "long_responses.py").write_text(METHOD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mr_assets.files.os.fsync", lambda file: None)
        patch.setattr(code_versions, "PACKAGE", package)
        for module in (mr_assets.assets, mr_assets.method):
            patch.setattr(module, "__path__", [*module.__path__, str(package / module.__name__.partition(".")[2])])
        patch.setitem(TABLES, "long_responses", Table("long_responses", "response_id", COLUMNS))
        patch.setitem(LOOP, "long_responses", ROW)
        for name, (text, columns, row) in PER_MODEL.items():
            (package / "assets" / f"{name}.py").write_text(text)
            patch.setitem(TABLES, name, Table(name, "model", columns))
            patch.setitem(LOOP, name, row)
        world = new_world(patch, tmp_path_factory.mktemp("data"), "iterations.1.max_chosen_chars=20")
        for step in (
            Step("once", world.run.loop.per("family"), None),
            Step("iteration 1", ("policy", "prompts", "responses", "long_responses"), "1"),
        ):
            world.make(step)
        yield world


def test_it_is_in_the_graph(world: World) -> None:
    """With its input, the iterations, its columns, its code version and what may be set for one materialization."""
    key = dg.AssetKey(["tiny", "long_responses"])
    [asset] = [a for a in build_definitions([world.run]).assets or () if a.key == key]  # type: ignore[union-attr]
    assert isinstance(asset, dg.AssetsDefinition)
    [spec] = asset.specs
    assert {dep.asset_key for dep in spec.deps} == {dg.AssetKey(["tiny", "responses"])}
    assert spec.partitions_def == dg.StaticPartitionsDefinition(["1", "2"])
    assert spec.code_version == code_version("long_responses")
    assert [c.name for c in spec.metadata["dagster/column_schema"].columns] == ["response_id", "characters"]
    fields = asset.op.config_schema.config_type.fields  # type: ignore[union-attr]
    assert set(fields) - {"without"} == {"seed", "max_chosen_chars"}


def test_its_record_says_what_made_it(world: World) -> None:
    """The version of its input, its two settings, its code; and what it dropped is beside it."""
    record, responses = world.run.record("long_responses", "1"), world.run.record("responses", "1")
    assert record is not None
    assert responses is not None
    assert record.inputs == {"responses": responses.version}
    assert record.settings == {"seed": world.run.recipe.seed, "iteration.max_chosen_chars": 20}
    assert record.code == code_version("long_responses")
    kept, dropped = world.table("long_responses", "1"), world.dropped("long_responses", "1")
    assert (record.rows, record.dropped) == (kept.height, dropped.height)
    assert kept.height + dropped.height == responses.rows
    assert dropped.height > 0


def test_it_is_done_and_stale_like_any_other(world: World) -> None:
    """By its own setting, and by what it is made of; then it is among what is to do."""
    run = world.run
    assert state(run, "long_responses", "1") == "done"
    assert "long_responses" not in next(iter(steps(run))).assets
    rows = (run.recipe.iterations[0].model_copy(update={"max_chosen_chars": 40}), run.recipe.iterations[1])
    changed = replace(run, recipe=run.recipe.model_copy(update={"iterations": rows}))
    assert "  long_responses of iteration 1: iteration.max_chosen_chars was 20, is now 40" in status.lines(changed)
    [first, *_] = [step for step in steps(changed) if step.partition == "1"]
    assert "long_responses" in first.assets
    assert ("long_responses", "1") in status.follows(run, [("responses", "1")])


def test_status_and_lineage_show_it(world: World) -> None:
    """A line in the table, a page, what it dropped of a prompt, and no fault when its content is held to its record."""
    assert [row[0] for row in Status(world.run, {}, {}).table().rows].count("long_responses") == 1
    assert page_of_artifact("tiny", "long_responses", "1") is not None
    first = world.dropped("long_responses", "1").row(0, named=True)
    [found] = trace(world.run, first["id"]).rounds
    assert first["id"] in [each.id for each in found.dropped if each.provenance.asset == "long_responses"]
    assert list(verify(world.run, ["1"], ["long_responses"])) == []


def test_it_can_be_set_otherwise_once(world: World) -> None:
    """The launchpad's value is used, kept in the record, and shown by `mr status`. This is the last test of the run."""
    world.make(Step("once more", ("long_responses",), "1"), long_responses={"max_chosen_chars": 1})
    assert world.dropped("long_responses", "1").height == 0
    assert "  long_responses of iteration 1: max_chosen_chars = 1, the recipe says 20" in status.lines(world.run)


# ------------------------------------------------------------------------------------------------- of another model


def test_an_asset_per_model_is_made_of_its_own_the_previous_and_the_seeds(world: World) -> None:
    """Each once, in the order that the row names; before the seed there is none. The record names whose each is."""
    run = world.run
    assert run.ancestors("model_lengths", "2") == [("checkpoints", "2")]
    assert run.ancestors("model_growth", "2") == [("model_lengths", model) for model in ("2", "1", "seed")]
    assert run.ancestors("model_growth", "0") == [("model_lengths", model) for model in ("0", "seed")]
    assert run.ancestors("model_growth", "seed") == [("model_lengths", "seed")]
    assert list(run.inputs("model_growth", "1")) == [f"model_lengths{of}" for of in ("", " of M0", " of seed")]


def test_the_graph_draws_each_model_to_those_that_are_made_of_it(world: World) -> None:
    key = dg.AssetKey(["tiny", "model_growth"])
    [asset] = [a for a in build_definitions([world.run]).assets or () if a.key == key]  # type: ignore[union-attr]
    assert isinstance(asset, dg.AssetsDefinition)
    [dep] = _spec(asset).deps
    models = dg.StaticPartitionsDefinition(world.run.models)
    for model, followed_by in (("seed", {"seed", "0", "1", "2"}), ("0", {"0", "1"}), ("2", {"2"})):
        assert dep.partition_mapping is not None
        of_model = models.subset_with_partition_keys([model])
        down = dep.partition_mapping.get_downstream_partitions_for_partitions(of_model, models, models)
        assert set(down.get_partition_keys()) == followed_by


def test_it_takes_the_tables_of_the_other_models(world: World) -> None:
    """And says which one is missing; one that has changed makes it stale, with its name."""
    early = world.materialize(Step("M0", ("model_growth",), "0"))
    [said] = messages(early)
    assert "model_lengths of M0 is not complete" in said
    assert "Materialize tiny/model_lengths of M0 first." in said
    for asset in ("model_lengths", "model_growth"):
        for model in ("seed", "0"):
            world.make(Step("one", (asset,), model))
    assert world.table("model_growth", "seed")["lengths"].to_list() == [[4, None, 4]]
    assert world.table("model_growth", "0")["lengths"].to_list() == [[1, 4, 4]]
    assert [state(world.run, "model_growth", model) for model in ("seed", "0", "1")] == ["done", "done", "missing"]
    assert list(verify(world.run, None, ["model_growth"])) == []

    record = world.run.record("model_lengths", "seed")
    assert record is not None
    write_record(world.run.record_path("model_lengths", "seed"), replace(record, version="another"))
    assert status.why_stale(world.run, "model_growth", "0") == ["model_lengths of seed changed"]
    assert [fault.said for fault in verify(world.run, None, ["model_growth"]) if fault.partition == "0"] == [
        f"it was made of model_lengths of seed in version {record.version}; what lies there now is another, of Dagster "
        f"run {record.run_id}. Its rows are not compared."
    ]
    assert status.follows(world.run, [("model_lengths", "seed")]) == [("model_growth", "seed"), ("model_growth", "0")]
