"""What is listed of a recipe's fields: every key with a range, whatever its type; one value where rows are alike."""

import pytest

from mr_assets.recipes.fields import described
from mr_assets.recipes.load import list_recipes, load_recipe
from mr_assets.recipes.sets import PATHS
from mr_assets_tests.tiny import NAME


@pytest.mark.parametrize("name", list_recipes())
def test_every_key_has_its_range_and_meaning(name: str) -> None:
    found = described(load_recipe(name))
    assert {each.key for each in found} == set(PATHS)
    assert len({each.key for each in found}) == len(found)
    for each in found:
        assert each.meaning
        assert each.is_section or each.allowed


def test_values_of_rows_are_one_where_all_are_alike() -> None:
    recipe = load_recipe(NAME, ["iterations.all.prompts=7", "iterations.2.rho=0.25"])
    shown = {each.key: each.shown for each in described(recipe)}
    assert shown["iterations.*.prompts"] == "7"
    assert shown["iterations.*.rho"] == ", ".join(str(row.rho) for row in recipe.iterations)
    assert "0.25" in shown["iterations.*.rho"]


def test_a_long_value_is_whole() -> None:
    path = "a_folder/" * 12 + "prompts.jsonl"
    shown = {each.key: each.shown for each in described(load_recipe(NAME, [f"prompts.source={path}"]))}
    assert shown["prompts.source"] == f'"{path}"'
    assert shown["model.chat_template_kwargs"].startswith("{")
