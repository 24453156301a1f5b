"""The table of rows: which of them a recipe has, what shapes each, and how an artifact is called."""

import pytest

from mr_assets.loop import LOOP, Asset, Loop, iteration_of, titled
from mr_assets.recipes.load import load_recipe
from mr_assets.recipes.recipe import Recipe
from mr_assets_tests.tiny import tiny_recipe

NAME = "small_world_meta_rewarding"
RANKED = "eft.source=open_assistant:trees.jsonl"
GENERATED = ("prompts.source=generated", "generation.max_tokens=64")
SEED_MODEL = {"model.seed", "model.revision", "model.date", "model.chat_template_kwargs"}


def with_k_of(*counts: int) -> Asset:
    """A row of recipes that sample so many responses."""
    return Asset("some", code=("ids",), when=lambda recipe: recipe.responses.k in counts)


def test_titles() -> None:
    assert titled("actor_pairs", "2") == "actor_pairs of iteration 2"
    assert titled("sft_checkpoint", None) == "sft_checkpoint"
    assert [titled("evaluation", m) for m in ("seed", "0", "3")] == [
        "evaluation of seed",
        "evaluation of M0",
        "evaluation of M3",
    ]


@pytest.mark.parametrize(
    ("asset", "partition", "row"),
    [("actor_pairs", "2", 2), ("checkpoints", "11", 11), ("sft_checkpoint", None, 1), ("evaluation", "3", 1)],
)
def test_an_iteration_goes_by_its_own_row_and_all_else_by_the_first(asset: str, partition: str, row: int) -> None:
    """The partition "3" of an evaluation is a model, and no iteration."""
    assert iteration_of(asset, partition) == row


def test_a_recipe_has_the_rows_that_are_for_it_in_their_order() -> None:
    """A row without a condition is every recipe's."""
    always = Asset("always", code=("ids",)), Asset("last", code=("ids",))
    loop = Loop(always[0], with_k_of(4, 5), always[1])
    recipes = {k: tiny_recipe(f"responses.k={k}") for k in (4, 6)}
    assert {k: list(loop.of(recipe)) for k, recipe in recipes.items()} == {
        4: ["always", "some", "last"],
        6: ["always", "last"],
    }
    assert loop.of(recipes[6])["last"] is always[1]


@pytest.mark.parametrize(
    ("sets", "more", "less"),
    [
        ((), set(), set()),
        (GENERATED, {"generated_prompts"}, set()),
        ((RANKED,), {"ranked_replies", "eft_judgments"}, set()),
        ((RANKED, "eft.judged_by=ranks"), {"ranked_replies"}, set()),
        (("evaluation=null", "human_agreement=null"), set(), {"evaluation", "human_agreement"}),
        (("labelled_pairs={source: world, pairs: 6}",), {"labelled_pairs"}, set()),
    ],
    ids=lambda names: str(sorted(names)),
)
def test_assets_that_some_recipes_have(sets: tuple[str, ...], more: set[str], less: set[str]) -> None:
    """Against those of the small world as it is shipped: sixteen."""
    plain = set(LOOP.of(load_recipe(NAME)))
    assert len(plain) == 16
    assert set(LOOP.of(load_recipe(NAME, sets))) == (plain | more) - less


def test_what_there_is_one_of_for_what() -> None:
    """In the order of the rows, and each once."""
    loop = LOOP.of(load_recipe(NAME))
    assert loop.per("family") == ("seed_prompts", "eft_dataset", "sft_checkpoint")
    assert loop.per("model") == ("evaluation", "human_agreement")
    assert loop.per("iteration")[:3] == ("policy", "prompts", "responses")
    assert sum(len(loop.per(what)) for what in ("family", "iteration", "model")) == len(loop) == 16


def test_what_shapes_a_row_in_some_recipes() -> None:
    """Beside what shapes it in all, in this order; what shapes it less is taken out of both."""

    def more(recipe: Recipe) -> tuple[str, ...]:
        return ("judgments", "engine") if recipe.responses.k == 5 else ()

    def less(recipe: Recipe) -> tuple[str, ...]:
        return ("seed", "engine") if recipe.judgments.n == 3 else ()

    row = Asset("one", code=("ids",), shaped_by=("seed", "dpo"), shaped_too=more, shaped_less=less)
    assert row.shaping(tiny_recipe("judgments.n=2")) == ("seed", "dpo")
    assert row.shaping(tiny_recipe("judgments.n=2", "responses.k=5")) == ("seed", "dpo", "judgments", "engine")
    assert row.shaping(tiny_recipe("responses.k=5")) == ("dpo", "judgments")
    assert Asset("two", code=("ids",)).shaping(tiny_recipe()) == ()


@pytest.mark.parametrize(
    ("generator", "without"),
    [
        ((), set()),
        (("prompts.generator=models/big",), SEED_MODEL),
        (("prompts.generator=http://127.0.0.1:1/v1", "generation.model=m"), SEED_MODEL | {"engine"}),
    ],
    ids=["the seed model", "another", "an endpoint"],
)
def test_prompts_are_shaped_by_the_model_that_makes_them(generator: tuple[str, ...], without: set[str]) -> None:
    """An endpoint is not sampled by the engine."""
    row = LOOP["generated_prompts"]
    assert {"seed", "engine", "prompts.generator", *SEED_MODEL} < set(row.shaped_by)
    recipe = load_recipe(NAME, (*GENERATED, *generator))
    assert set(row.shaped_by) - set(row.shaping(recipe)) == without


@pytest.mark.parametrize(
    ("sets", "words", "template"),
    [((), False, False), ((RANKED,), True, False), ((RANKED, "eft.meta_judgment_share=0.25"), True, True)],
    ids=["the world's", "ranked", "with meta-judgments"],
)
def test_examples_of_rankings_are_shaped_by_the_judges_words(
    sets: tuple[str, ...], words: bool, template: bool
) -> None:
    """The world's have a text and no more; the meta-judge's template counts where a share of them is for it."""
    recipe = load_recipe(NAME, sets)
    shaping = LOOP["eft_dataset"].shaping(recipe)
    assert ("judgments.score_words" in shaping, "meta_judgments.first_name" in shaping) == (words, words)
    assert ("meta_judgments.template" in shaping) is template
    assert ("meta_judgments.template" in LOOP["sft_checkpoint"].shaping(recipe)) is template
