"""The launchpad: what Dagster shows for an asset, and what it refuses to launch."""

from pathlib import Path

import dagster as dg
import pytest

from mr_assets.assets.launchpad import launchpad
from mr_assets.definitions import build_definitions
from mr_assets.errors import UserError
from mr_assets.runs import Run
from mr_assets.settings import choices
from mr_assets_tests.tiny import files, tiny_recipe, tiny_run

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return tiny_run(tmp_path)


def launch(run: Run, asset: str, **config: object) -> dg.ExecuteInProcessResult:
    job = build_definitions([run]).resolve_implicit_global_asset_job_def()
    ops = {f"{run.namespace(asset)}__{asset}": {"config": config}}
    keys = [dg.AssetKey([run.namespace(asset), asset])]
    return job.execute_in_process(run_config={"ops": ops}, asset_selection=keys, partition_key="1")


def test_every_field_is_optional_and_says_what_the_recipe_says() -> None:
    """One number where all rows agree, else one per iteration."""
    recipe = tiny_recipe("iterations.2.rho=0.4")
    fields = launchpad(recipe, "actor_pairs")
    assert {name: field.is_required for name, field in fields.items()} == {
        **dict.fromkeys(choices("actor_pairs"), False),
        "without": False,
    }
    defaults = {name: field.default_value for name, field in fields.items()}
    assert defaults == {"seed": 0, "rho": None, "max_chosen_chars": None, "cut_off": "never_chosen", "without": []}
    said = {name: field.description or "" for name, field in fields.items()}
    assert said["rho"].startswith("length control: width of the quality tiers")
    assert said["rho"].endswith("The recipe says 0.0, 0.4 in iterations 1 to 2.")
    assert said["max_chosen_chars"].endswith("The recipe says null in every iteration.")
    assert said["cut_off"].endswith('The recipe says "never_chosen".')


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
def test_a_bad_value_is_refused_before_anything_runs(run: Run, asset: str, config: dict, parts: list[str]) -> None:
    """No step starts, so that nothing upstream of it in the same run is sampled in vain."""
    with pytest.raises((UserError, dg.DagsterInvalidConfigError)) as error:
        launch(run, asset, **config)
    for part in parts:
        assert part in str(error.value)
    assert files(run.data) == {}
