"""The launchpad: what Dagster shows for an asset, and what it refuses to launch."""

from dataclasses import replace
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.snap.snap_to_yaml import default_values_yaml_from_type_snap

from mr_assets.definitions import build_definitions
from mr_assets.errors import UserError
from mr_assets.runs.overrides import overridable, overrides_in
from mr_assets.runs.run import Run
from mr_assets.wiring.launchpad import launchpad
from mr_assets_tests.tiny import files, tiny_recipe

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def launch(run: Run, asset: str, **config: object) -> dg.ExecuteInProcessResult:
    job = build_definitions([run]).resolve_implicit_global_asset_job_def()
    ops = {f"{run.namespace(asset)}__{asset}": {"config": config}}
    keys = [dg.AssetKey([run.namespace(asset), asset])]
    return job.execute_in_process(run_config={"ops": ops}, asset_selection=keys, partition_key="1")


def test_every_field_is_optional_and_says_what_the_recipe_says() -> None:
    """One value where all rows agree, else one per iteration."""
    recipe = tiny_recipe("iterations.2.rho=0.4")
    fields = launchpad(recipe, "actor_pairs")
    assert {name: field.is_required for name, field in fields.items()} == {
        **dict.fromkeys(overridable("actor_pairs"), False),
        "without": False,
    }
    defaults = {name: field.default_value for name, field in fields.items()}
    assert defaults == {
        **{"seed": 0, "rho": [0.0, 0.4], "max_chosen_chars": [None, None]},
        **{"cut_off": "never_chosen", "without": []},
    }
    said = {name: field.description or "" for name, field in fields.items()}
    assert said["rho"].startswith("length control: width of the quality tiers")
    assert said["rho"].endswith("The recipe says 0.0, 0.4 in iterations 1 to 2.")
    assert said["max_chosen_chars"].endswith("The recipe says null in every iteration.")
    assert said["cut_off"].endswith('The recipe says "never_chosen".')


def test_the_launchpad_opens_with_every_field_filled_in(run: Run) -> None:
    """What the UI scaffolds has each field of each asset, and to launch it as it is departs from nothing."""
    recipe = tiny_recipe("iterations.2.rho=0.4", "iterations.1.max_chosen_chars=30", "iterations.2.keep_epoch=2")
    job = build_definitions([replace(run, recipe=recipe)]).resolve_implicit_global_asset_job_def()
    schema = job.get_job_snapshot().config_schema_snapshot
    root = schema.get_config_snap(job.get_job_snapshot().mode_def_snaps[0].root_config_key or "")
    opened = yaml.safe_load(default_values_yaml_from_type_snap(schema, root))["ops"]
    for asset in ("responses", "judgments", "actor_pairs", "elo_pairs", "dpo_dataset", "checkpoints", "meta_judgments"):
        config = opened[f"tiny__{asset}"]["config"]
        assert set(config) - {"without"} == set(overridable(asset))
        for t in "12":
            assert overrides_in(recipe, asset, t, config) == {}
    assert opened["tiny__actor_pairs"]["config"]["rho"] == [0.0, 0.4]
    assert opened["tiny__actor_pairs"]["config"]["max_chosen_chars"] == [30, None]
    assert opened["tiny__checkpoints"]["config"]["keep_epoch"] == [3, 2]


@pytest.mark.parametrize(
    ("rho", "found"),
    [
        ([0.0, 0.5], [{}, {"rho": 0.5}]),
        ([0.2, None], [{"rho": 0.2}, {}]),
        (0.4, [{"rho": 0.4}, {}]),
        (None, [{}, {}]),
    ],
)
def test_a_rows_field_by_iteration(rho: object, found: list[dict[str, float]]) -> None:
    """Each iteration takes its own value, or the one that stands for all; what the recipe says is no departure."""
    recipe = tiny_recipe("iterations.2.rho=0.4")
    assert [overrides_in(recipe, "actor_pairs", t, {"rho": rho}) for t in "12"] == found


@pytest.mark.parametrize(
    "rho", [[3, 0.4], [0.0, 3], [0.1], [], [0.1, 0.2, 0.3], [0.0, [0.1]], [0.0, "much"], {"1": 0.1}]
)
def test_a_bad_value_of_an_iteration_is_refused(run: Run, rho: object) -> None:
    """Also where it is of another iteration than the one that is launched."""
    differing = replace(run, recipe=tiny_recipe("iterations.2.rho=0.4"))
    with pytest.raises((UserError, dg.DagsterInvalidConfigError)):
        launch(differing, "actor_pairs", rho=rho)
    assert files(run.data) == {}


def test_an_asset_without_choices_has_no_config() -> None:
    assert launchpad(tiny_recipe(), "policy") == {}
    assert set(launchpad(tiny_recipe("sft=null"), "sft_checkpoint")) == {"seed", "model_seed", "revision", "without"}


@pytest.mark.parametrize(
    ("asset", "config", "parts"),
    [
        ("actor_pairs", {"rho": 3}, ["rho = 3", "expected a number >= 0 and <= 1", "length control"]),
        ("responses", {"temperature": 2.5}, ["temperature = 2.5", "expected a number >= 0 and <= 2"]),
        ("actor_pairs", {"rho": "much"}, ["much", "a number >= 0 and <= 1"]),
        ("actor_pairs", {"cut_off": "always"}, ["never_chosen or eligible", "always"]),
        ("actor_pairs", {"without": ["rho"]}, ["max_chosen_chars", "rho"]),
        ("actor_pairs", {"rh": 0.3}, ["rh", "rho?"]),
    ],
)
def test_a_bad_value_is_refused_before_anything_runs(
    run: Run, asset: str, config: dict[str, Any], parts: list[str]
) -> None:
    """No step starts, so that nothing upstream of it in the same run is sampled in vain."""
    with pytest.raises((UserError, dg.DagsterInvalidConfigError)) as error:
        launch(run, asset, **config)
    for part in parts:
        assert part in str(error.value)
    assert files(run.data) == {}
