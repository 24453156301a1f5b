"""The fields of a recipe that shape an artifact; what follows from them for a run is in runs/test_settings.py."""

from mr_assets.recipes.load import load_recipe
from mr_assets.recipes.shaping import shaping_settings
from mr_assets_tests.recipes.conftest import DEFAULT
from mr_assets_tests.tiny import tiny_recipe


def test_fields_of_the_iterations_row_are_of_that_iteration() -> None:
    """By their paths; what only another row says is not among them."""
    recipe = tiny_recipe("seed=7", "iterations.2.rho=0.3", "iterations.2.max_chosen_chars=90")
    first = {"seed": 7, "iteration.rho": 0.0, "iteration.max_chosen_chars": None, "switches.cut_off": "never_chosen"}
    assert shaping_settings(recipe, "actor_pairs", "1") == first
    second = first | {"iteration.rho": 0.3, "iteration.max_chosen_chars": 90}
    assert shaping_settings(recipe, "actor_pairs", "2") == second


def test_a_row_without_a_learning_rate_has_dpos() -> None:
    recipe = tiny_recipe("dpo.learning_rate=0.5", "iterations.2.learning_rate=0.25")
    found = [shaping_settings(recipe, "checkpoints", t)["iteration.learning_rate"] for t in "12"]
    assert found == [0.5, 0.25]


def test_prompts_are_shaped_by_the_draws_up_to_theirs() -> None:
    """A later draw takes nothing away from an earlier one."""
    recipe = tiny_recipe("iterations.2.prompts=6")
    assert [shaping_settings(recipe, "prompts", t)["prompts_until"] for t in "12"] == [[5], [5, 6]]


def test_a_section_is_among_them_without_its_fields_for_speed() -> None:
    recipe = tiny_recipe("dpo.micro_batch_size=8", "sft.save_steps=5")
    dpo, sft = (shaping_settings(recipe, a, p) for a, p in (("checkpoints", "1"), ("sft_checkpoint", None)))
    assert dpo["dpo"]["beta"] == 0.1 and "micro_batch_size" not in dpo["dpo"]
    assert "keep_epoch" in sft["sft"] and "save_steps" not in sft["sft"]


def test_of_a_section_that_the_recipe_does_not_have_a_field_is_null() -> None:
    found = [
        shaping_settings(load_recipe(name), "seed_prompts", None) for name in (DEFAULT, "llama_3_8b_meta_rewarding")
    ]
    assert [settings["world.name"] for settings in found] == ["letters", None]


def test_what_the_recipe_holds_is_not_handed_out() -> None:
    """Who changes an answer changes neither the recipe nor the next answer; also of a judge that is not trained."""
    recipe = load_recipe(DEFAULT)
    (off := shaping_settings(tiny_recipe(), "elo_pairs", "2"))["iteration.judge_training"] = True
    shaping_settings(recipe, "checkpoints", "1")["dpo"]["beta"] = -1
    assert shaping_settings(tiny_recipe(), "elo_pairs", "2") != off
    assert shaping_settings(recipe, "checkpoints", "1")["dpo"]["beta"] == recipe.dpo.beta
