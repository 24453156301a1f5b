"""Recipes by name or file, with as many iterations as are asked for; and those that runs have stored."""

import subprocess
import sys

import pytest

from mr_assets.bounds import Guardrails
from mr_assets.errors import UserError
from mr_assets.recipes import checks
from mr_assets.recipes.family import family_name
from mr_assets.recipes.load import from_yaml, list_recipes, load_recipe, with_iterations
from mr_assets.recipes.names import check_run_name
from mr_assets.recipes.yaml_files import shipped
from mr_assets_tests.recipes.conftest import DEFAULT, columns, refused


def test_shipped_recipes() -> None:
    """Nineteen recipes can be run; five bases cannot; most name a family."""
    variants = ("", "_8_a100_40gb", "_8_h100", "_length_filter", "_no_length_control")
    assert list_recipes() == [
        *(f"llama_3_8b_meta_rewarding{variant}" for variant in variants),
        *(f"llama_3_8b_self_rewarding{variant}" for variant in (*variants, "_reward_model")),
        "qwen2_5_0_5b",
        "qwen2_5_1_5b",
        "small_world_meta_rewarding",
        "small_world_meta_rewarding_length_control",
        "small_world_noise_meta_rewarding",
        "small_world_noise_self_rewarding",
        "small_world_self_rewarding",
        "smollm2_135m",
    ]
    assert [name for name, abstract in shipped().items() if abstract] == [
        "cpu",
        "llama_3_8b",
        "llama_3_8b_fsdp",
        "small_world",
        "small_world_noise",
    ]


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipe_loads(name: str) -> None:
    """It loads without a warning, survives a round trip, and shares its family's artifacts under the plain name."""
    recipe = load_recipe(name)
    assert list(checks.warnings(recipe)) == []
    assert from_yaml(recipe.dump_yaml()) == recipe
    assert family_name(recipe) == recipe.family
    assert recipe.family in shipped()
    assert check_run_name(name) == name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("small_world_meta", ["is not known", "Did you mean small_world", DEFAULT, "or a .yaml file"]),
        ("small-world-meta-rewarding", ["Did you mean small_world_meta_rewarding"]),
        ("small_world", ["base for others", DEFAULT]),
        ("no/such.yaml", ["cannot be read", "No such file"]),
        ("./", ["cannot be read"]),
        ("", ["is not known"]),
    ],
)
def test_recipe_not_found(name: str, parts: list[str]) -> None:
    """An unknown name gets the known ones and the nearest."""
    message = refused(name=name)
    for part in parts:
        assert part in message


def test_with_iterations() -> None:
    """More iterations repeat the last row, fewer leave rows out; the prompts must suffice."""
    recipe = load_recipe("llama_3_8b_meta_rewarding")
    assert columns(with_iterations(recipe, 6), "rho") == [(0.0,), (0.32,), (0.32,), (0.4,), (0.4,), (0.4,)]
    assert columns(with_iterations(recipe, 2), "keep_epoch") == [(6,), (4,)]
    assert with_iterations(recipe, 4) == recipe
    small = load_recipe(DEFAULT)
    assert family_name(with_iterations(small, 25)) == family_name(small)  # 25 x 120 = 3,000 seed prompts
    with pytest.raises(UserError, match="3120"):
        with_iterations(small, 26)
    with pytest.raises(UserError, match="1 or more"):
        with_iterations(small, 0)


def test_a_recipe_stored_before_there_were_guardrails_has_their_defaults() -> None:
    """A run that was launched then still loads; the shipped recipes spell out the same bounds."""
    recipe = load_recipe(DEFAULT)
    text = recipe.dump_yaml()
    old = text[: text.index("guardrails:")]
    assert "guardrails" not in old
    assert from_yaml(old) == recipe
    assert recipe.guardrails == load_recipe("llama_3_8b_meta_rewarding").guardrails == Guardrails()
    assert "  position_bias: {warn: 0.6, stop: 0.95}\n" in text


def test_from_yaml_names_the_origin() -> None:
    """A stored recipe that was edited by hand is refused like any other."""
    with pytest.raises(UserError, match=r"data/x/recipe.yaml: \d+ problems"):
        from_yaml("title: x", "data/x/recipe.yaml")


def test_importing_recipes_imports_nothing_heavy() -> None:
    """`mr` and the UI read recipes before anything else."""
    heavy = "torch vllm trl transformers dagster polars numpy"
    code = f"import sys, mr_assets.recipes.load; print([m for m in {heavy.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_iterations_have_a_limit() -> None:
    for count in (1001, 100_000, 10**30):
        with pytest.raises(UserError, match="at most 1,000"):
            load_recipe(DEFAULT, iterations=count)
