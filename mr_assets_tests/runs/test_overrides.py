"""Overrides: what may be set for one artifact, within which range, and what is in force then."""

from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.loop import LOOP
from mr_assets.recipes.recipe import SPEED_FIELDS, Recipe
from mr_assets.recipes.shaping import shaping_settings
from mr_assets.runs.overrides import Departure, as_config, departures, overridable, overrides_in, with_overrides
from mr_assets_tests.tiny import tiny_recipe


@pytest.fixture
def recipe() -> Recipe:
    return tiny_recipe("iterations.1.max_chosen_chars=90")


@pytest.mark.parametrize(
    ("asset", "names"),
    [
        ("policy", set()),
        ("evaluation", set()),
        ("prompts", {"seed", "disjoint"}),
        ("responses", {"seed", "k", "temperature", "top_p", "max_tokens"}),
        ("judgments", {"seed", "n", "temperature", "top_p", "max_tokens", "score_line"}),
        ("actor_pairs", {"seed", "rho", "max_chosen_chars", "cut_off"}),
        ("battle_matrices", {"omega_scope"}),
        ("elo_pairs", {"seed", "max_chosen_judgment_chars", "elo_ridge", "elo_tie_tolerance", "cut_off"}),
        ("dpo_dataset", {"seed", "judge_share_cap", "judge_pairs", "max_length"}),
    ],
)
def test_what_may_be_overridden(asset: str, names: set[str]) -> None:
    """The fields that shape the asset, by their own names; no template, no engine, and nothing of evaluation."""
    assert set(overridable(asset)) == names


def test_no_override_is_for_speed_and_none_has_one_value() -> None:
    speed = {f"{section}.{name}" for section, names in SPEED_FIELDS.items() for name in names}
    for asset in LOOP:
        assert not {field.path for field in overridable(asset).values()} & speed
        assert all(len(field.options) != 1 for field in overridable(asset).values())


def test_two_fields_of_one_name_are_told_apart() -> None:
    """The run's seed, and the seed model."""
    known = overridable("sft_checkpoint")
    assert (known["seed"].path, known["model_seed"].path) == ("seed", "model.seed")


def test_a_rows_learning_rate_stands_for_dpos(recipe: Recipe) -> None:
    """What a checkpoint is trained with is one number, and the recipe's is the one that is in force."""
    assert overridable("checkpoints")["learning_rate"].path == "row.learning_rate"
    assert overridable("checkpoints")["learning_rate"].in_recipe(recipe, 1) == recipe.dpo.learning_rate
    changed = with_overrides(recipe, "checkpoints", "1", {"learning_rate": 0.5})
    assert (changed.learning_rate(1), changed.learning_rate(2)) == (0.5, recipe.dpo.learning_rate)


@pytest.mark.parametrize(
    ("asset", "name", "value", "said"),
    [
        ("actor_pairs", "rho", 3, "rho = 3: expected a number >= 0 and <= 1 (length control"),
        ("actor_pairs", "rho", -0.1, "rho = -0.1: expected a number >= 0 and <= 1"),
        ("actor_pairs", "rho", float("nan"), "rho = NaN: expected a number >= 0 and <= 1"),
        ("actor_pairs", "max_chosen_chars", 0, "max_chosen_chars = 0: expected a whole number >= 1"),
        ("actor_pairs", "seed", 2**31, "seed = 2147483648: expected a whole number >= 0 and < 2147483648"),
        ("actor_pairs", "cut_off", "always", 'cut_off = "always": expected never_chosen or eligible'),
        ("responses", "k", 1, "k = 1: expected a whole number >= 2"),
        ("responses", "temperature", 2.5, "temperature = 2.5: expected a number >= 0 and <= 2"),
        ("judgments", "n", 1.5, "n = 1.5: expected a whole number >= 1"),
        ("elo_pairs", "elo_ridge", 0, "elo_ridge = 0: expected a number > 0"),
        ("meta_judgments", "sample_distinct_once", "yes", "expected true or false"),
        ("dpo_dataset", "judge_share_cap", 1, "judge_share_cap = 1: expected a number > 0 and < 1"),
        ("seed_prompts", "column", "", 'column = "": expected text that is not empty'),
    ],
)
def test_a_value_out_of_range_is_refused(recipe: Recipe, asset: str, name: str, value: object, said: str) -> None:
    """The message names field, value, range and meaning."""
    with pytest.raises(UserError) as error:
        overrides_in(recipe, asset, "1", {name: value})
    assert str(error.value).startswith(said) or said in str(error.value)
    assert "as the recipe says" in str(error.value)


def test_what_is_the_recipes_own_is_no_override(recipe: Recipe) -> None:
    """Null, nothing, and the value that the recipe has anyway; 0 is 0.0."""
    config: dict[str, Any] = {"rho": 0, "seed": None, "max_chosen_chars": 90, "without": []}
    assert overrides_in(recipe, "actor_pairs", "1", config) == {}
    assert overrides_in(recipe, "actor_pairs", "2", config) == {"max_chosen_chars": 90}  # iteration 2 has no limit


def test_null_is_set_by_name(recipe: Recipe) -> None:
    """No limit in iteration 1, which has one of 90; in iteration 2 there is none anyway."""
    config = {"without": ["max_chosen_chars"]}
    assert overrides_in(recipe, "actor_pairs", "1", config) == {"max_chosen_chars": None}
    assert overrides_in(recipe, "actor_pairs", "2", config) == {}
    made = with_overrides(recipe, "actor_pairs", "1", {"max_chosen_chars": None})
    assert [row.max_chosen_chars for row in made.iterations] == [None, None]
    assert overrides_in(recipe, "actor_pairs", "1", {"max_chosen_chars": 90, **config}) == {"max_chosen_chars": None}
    with pytest.raises(UserError, match="rho is none of max_chosen_chars"):
        overrides_in(recipe, "actor_pairs", "1", {"without": ["rho"]})


def test_an_override_is_in_force_in_its_iteration_alone(recipe: Recipe) -> None:
    made = with_overrides(recipe, "actor_pairs", "2", {"rho": 0.3, "seed": 7})
    assert [row.rho for row in made.iterations] == [0.0, 0.3]
    assert shaping_settings(made, "actor_pairs", "2") == {
        "seed": 7,
        "iteration.rho": 0.3,
        "iteration.max_chosen_chars": None,
        "switches.cut_off": "never_chosen",
    }
    assert with_overrides(recipe, "actor_pairs", "2", {}) is recipe


@pytest.mark.parametrize(
    ("asset", "made", "said"),
    [
        ("checkpoints", {"keep_epoch": 4}, "iterations.1.keep_epoch = 4: the schedule has dpo.schedule_epochs = 3"),
        ("checkpoints", {"batch_size": 33}, "dpo.batch_size = 33: should be a multiple"),
        ("judgments", {"n": 1}, "judgments.n = 1: judge training compares judgments"),
        ("judgments", {"temperature": 0.0}, "no judge pairs; raise it"),
        ("responses", {"temperature": 0.0}, "no pairs; raise it"),
        ("responses", {"max_tokens": 512}, "leaves no room for a prompt"),
        ("seed_prompts", {"count": 9}, "prompts.count = 9: the iterations need 5 + 5 = 10"),
    ],
)
def test_fields_must_agree_with_each_other(recipe: Recipe, asset: str, made: dict[str, Any], said: str) -> None:
    """The checks of a recipe hold for the one that is in force, too."""
    with pytest.raises(UserError) as error:
        with_overrides(recipe, asset, "1", made)
    assert said in str(error.value)
    assert "Set other values" in str(error.value)


def test_the_judges_side_of_an_actors_iteration_has_no_override(recipe: Recipe) -> None:
    """Iteration 2 trains no judge: its empty table is what it is, whatever a backfill over both says."""
    assert overrides_in(recipe, "elo_pairs", "1", {"elo_ridge": 1.0}) == {"elo_ridge": 1.0}
    assert overrides_in(recipe, "elo_pairs", "2", {"elo_ridge": 1.0}) == {}


def test_a_section_that_is_null_has_no_override() -> None:
    with pytest.raises(UserError, match="the recipe has sft: null"):
        overrides_in(tiny_recipe("sft=null"), "sft_checkpoint", None, {"keep_epoch": 1})


def test_departures_name_both_values(recipe: Recipe) -> None:
    made = {"rho": 0.3, "max_chosen_chars": None, "seed": 0}
    assert departures(recipe, "actor_pairs", "1", made) == [
        Departure("rho", 0.3, 0.0),
        Departure("max_chosen_chars", None, 90),
    ]


def test_overrides_can_be_launched_again(recipe: Recipe) -> None:
    made = {"rho": 0.3, "max_chosen_chars": None}
    assert as_config(made) == {"rho": 0.3, "without": ["max_chosen_chars"]}
    assert overrides_in(recipe, "actor_pairs", "1", as_config(made)) == made
