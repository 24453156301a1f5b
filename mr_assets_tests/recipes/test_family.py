"""Which runs share seed prompts, EFT data and M_0, and the name that they share them under."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from mr_assets.loop import LOOP
from mr_assets.recipes.family import family_name, family_settings
from mr_assets.recipes.load import list_recipes, load_recipe
from mr_assets.recipes.recipe import Recipe
from mr_assets.recipes.shaping import shaping_settings
from mr_assets.section import Section, section_of
from mr_assets_tests.recipes.conftest import DEFAULT, written


@pytest.mark.parametrize(
    "sets",
    [["seed=1"], ["sft.keep_epoch=2", "sft.schedule_epochs=2"], ["sft=null"], ["prompts.count=700"],
     ["model.seed=other"], ["world.judge_noise=0.3"], ["eft.examples=5"], ["judgments.template=mine.txt"]],
)  # fmt: skip
def test_what_shapes_the_shared_artifacts_has_a_family_of_its_own(sets: list[str]) -> None:
    """Runs that would make other seed prompts, EFT data or M_0 share them only with a baseline changed alike."""
    changed, plain = load_recipe(DEFAULT, sets), load_recipe(DEFAULT)
    assert re.fullmatch(r"small_world_[0-9a-f]{6}", family_name(changed))
    assert family_settings(changed) != family_settings(plain)
    assert family_name(load_recipe("small_world_self_rewarding", sets)) == family_name(changed)


@pytest.mark.parametrize(
    "sets",
    [["beta=0.2"], ["iterations.all.prompts=20"], ["responses.k=3"], ["judgments.n=5"], ["prompts.disjoint=false"],
     ["sft.micro_batch_size=8"], ["model.allow_hub=true"], ["engine.max_num_seqs=8"], ["evaluation=null"],
     ["guardrails.min_count=1"]],
)  # fmt: skip
def test_what_does_not_shape_them_shares_the_family(sets: list[str]) -> None:
    """A variant of the loop starts from the same M_0."""
    assert family_name(load_recipe(DEFAULT, sets)) == "small_world"


def test_family_without_a_shipped_base(tmp_path: Path) -> None:
    """Where no base defines the plain name, the hash is always there, so that two such families cannot collide."""
    path = written(tmp_path, f"extends: {DEFAULT}\nfamily: mine\n")
    assert re.fullmatch(r"mine_[0-9a-f]{6}", family_name(load_recipe(path)))


def test_family_names_differ_by_seed() -> None:
    """Five seeds, five families."""
    assert len({family_name(load_recipe(DEFAULT, [f"seed={i}"])) for i in range(5)}) == 5


@pytest.mark.parametrize(
    ("name", "sets", "family"),
    [
        (DEFAULT, ["seed=1"], "small_world_80c865"),
        (DEFAULT, ["judgments.template=mine.txt"], "small_world_fe3a97"),
        (DEFAULT, ["eft.source=open_assistant:trees.jsonl"], "small_world_6700ee"),
        ("smollm2_135m", ["seed=1"], "smollm2_135m_b6fad1"),
        ("llama_3_8b_meta_rewarding", ["sft=null"], "llama_3_8b_186918"),
    ],
)
def test_a_family_keeps_its_name_from_version_to_version(name: str, sets: list[str], family: str) -> None:
    """Else what lies under it would be made again. The shipped numbers are in it: who changes one changes this."""
    assert family_name(load_recipe(name, sets)) == family


GENERATED = ("prompts.source=generated", "generation.max_tokens=64")
RANKED = ("eft.source=open_assistant:trees.jsonl",)
FILE = ("eft.source=mine.jsonl", "evaluation=null", "world=null", "human_agreement=null", "prompts.source=mine.txt")
VALUES = (None, True, False, 1, 2, 7, 0.25, 0.5, 1.5, "other", "world", "2024-01-01", "open_assistant:mine", {"a": 1})
"""One of them is another valid value of any field that is no closed choice."""


@pytest.mark.slow  # every field of every family, ten seconds
@pytest.mark.parametrize(
    ("name", "sets"),
    [
        *((name, ()) for name in {load_recipe(name).family: name for name in list_recipes()}.values()),
        (DEFAULT, ("sft=null",)),
        (DEFAULT, FILE),
        (DEFAULT, GENERATED),
        (DEFAULT, (*GENERATED, "prompts.generator=another")),
        (DEFAULT, (*GENERATED, "prompts.generator=http://127.0.0.1:1", "generation.model=another")),
        (DEFAULT, (*GENERATED, *RANKED)),
        (DEFAULT, RANKED),
        (DEFAULT, (*RANKED, "sft=null")),
        (DEFAULT, (*RANKED, "eft.judged_by=ranks")),
        (DEFAULT, (*RANKED, "eft.judged_by=ranks", "eft.meta_judgment_share=0.2")),
    ],
)
def test_a_family_is_another_where_and_only_where_what_it_shares_is(name: str, sets: tuple[str, ...]) -> None:
    """Each field of a recipe in turn: what shapes seed prompts, EFT data or M_0 by their rows names the family.

    Else two runs would share an artifact under one name that each makes otherwise.
    """
    plain = load_recipe(name, sets)
    named, shared = family_settings(plain), shaping(plain)
    changed = list(others(plain))
    assert len({path for path, _ in changed}) > 100
    wrong = [path for path, r in changed if (family_settings(r) != named) != (shaping(r) != shared)]
    assert sorted(set(wrong)) == []
    assert {path for path, recipe in changed if shaping(recipe) != shared} >= {"seed", "model.seed"}


def shaping(recipe: Recipe) -> dict[str, Any]:
    """What shapes the artifacts that a family shares, by their names; those that the recipe does not have."""
    return {asset: shaping_settings(recipe, asset, None) for asset in LOOP.of(recipe).per("family")}


def others(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """Recipes with one field at another valid value, or one section without any, by its path.

    What must hold between fields is not asked for.
    """
    for path, section, name in fields_of(Recipe, recipe.model_dump(), ()):
        options = get_args(section.model_fields[name].annotation)
        for value in (*VALUES, *(option for option in options if isinstance(option, str))):
            data = recipe.model_dump()
            at(data, path)[name] = value
            with suppress(ValidationError):
                made = Recipe.model_validate(data)
                if made != recipe:
                    yield ".".join(map(str, (*path, name))), made


def fields_of(
    section: type[Section], data: Mapping[str, Any], path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], type[Section], str]]:
    """Every field that a recipe has: the path of its section, the section and its name."""
    for name, field in section.model_fields.items():
        yield path, section, name
        inner = section_of(field.annotation)
        if inner is not None and data[name] is not None:
            row: tuple[str | int, ...] = (0,) if name == "iterations" else ()
            yield from fields_of(inner, at(data, (name, *row)), (*path, name, *row))


def at(data: Any, path: tuple[str | int, ...]) -> Any:
    """What lies at a path."""
    return reduce(lambda value, key: value[key], path, data)
