"""What the tests of recipes share: a recipe's file, the message with which one is refused, columns of its rows."""

from pathlib import Path
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.recipes.load import load_recipe
from mr_assets.recipes.recipe import Recipe

DEFAULT = "small_world_meta_rewarding"


def refused(*sets: str, name: str | Path = DEFAULT) -> str:
    """The message with which a recipe is refused."""
    with pytest.raises(UserError) as error:
        load_recipe(name, sets)
    return str(error.value)


def written(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def columns(recipe: Recipe, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(row, name) for name in names) for row in recipe.iterations]
