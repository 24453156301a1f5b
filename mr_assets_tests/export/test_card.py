"""The card of an exported folder: what a recipe is held against, and what the Markdown says of records by hand."""

from pathlib import Path

import pytest
import yaml

from mr_assets.export.card import LIMITS, card, departures, method_differences, paper_of
from mr_assets.recipes.load import load_recipe
from mr_assets.recipes.sets import with_sets
from mr_assets.runs.run import Run
from mr_assets_tests.report.conftest import measure
from mr_assets_tests.tiny import complete, tiny_recipe, tiny_run

META, SELF = "llama_3_8b_meta_rewarding", "llama_3_8b_self_rewarding"


@pytest.mark.parametrize("name", [META, SELF])
def test_the_papers_recipes_depart_from_nothing(name: str) -> None:
    recipe = load_recipe(name)
    assert (paper_of(recipe), departures(recipe)) == (name, [])


def test_one_iteration_that_trains_the_judge_makes_it_meta_rewarding() -> None:
    """The tiny run trains it in the first of two."""
    assert paper_of(tiny_recipe()) == META
    assert paper_of(with_sets(tiny_recipe(), ["judge_training=false"])) == SELF


def test_what_is_not_the_method_makes_no_difference() -> None:
    """Neither names and the seed nor what changes speed alone; a field of the method does."""
    recipe = tiny_recipe()
    same = with_sets(recipe, ["title=Other", "seed=9", "engine.max_num_seqs=7", "guardrails.min_count=99"])
    assert method_differences(recipe, same) == []
    [found] = method_differences(recipe, with_sets(same, ["dpo.beta=0.25"]))
    assert found == ("dpo.beta", 0.1, 0.25)


def parts(said: str) -> dict[str, str]:
    """The sections of a card by their titles."""
    return {title: rest for title, _, rest in (part.partition("\n\n") for part in said.split("\n## ")[1:])}


def a_card(run: Run, **front: object) -> str:
    return card(run, "M1 of tiny", "A model.", [("checkpoints", "1")], front)


def test_a_card_says_what_is_in_the_folder_and_of_what_it_was_made(tmp_path: Path) -> None:
    """Versions of inputs are cut to twelve characters; what the hub reads stands in front."""
    run = tiny_run(tmp_path)
    complete(run, "dpo_dataset", "1", version="abcdefghijklmnop")
    complete(run, "checkpoints", "1", version="w1")
    said = a_card(run, library_name="transformers", license="mit")
    front, _, rest = said.removeprefix("---\n").partition("---\n")
    assert yaml.safe_load(front) == {
        "license": "mit",
        "tags": ["meta-rewarding", "mr_assets"],
        "library_name": "transformers",
    }
    assert rest.startswith(f"\n# M1 of tiny\n\nA model.\n\n## Recipe\n\n{run.recipe.title}\n\n")
    found = parts(said)
    assert list(found) == ["Recipe", "Departures from the paper", "Lineage", "Limits"]
    assert found["Lineage"].strip().splitlines() == [
        "| artifact | version | made of | made at |",
        "| --- | --- | --- | --- |",
        "| checkpoints of iteration 1 | `w1` | dpo_dataset `abcdefghijkl`, policy `` | 2024-07-28T00:00:00+00:00 |",
    ]
    assert found["Limits"] == "".join(f"- {limit}\n" for limit in LIMITS)


def test_departures_are_a_table_that_no_value_breaks(tmp_path: Path) -> None:
    sets = ("world=null", "evaluation=null", "eft.source=e.jsonl", "prompts.source=a|b.jsonl")
    run = tiny_run(tmp_path, *sets)
    complete(run, "checkpoints", "1")
    found = parts(a_card(run))["Departures from the paper"]
    assert found.startswith(f"Held against the recipe `{META}` (Wu et al. 2024).\n\n| field | paper | here |\n")
    [source] = [line for line in found.splitlines() if line.startswith("| `prompts.source` |")]
    assert source.endswith('| "a\\|b.jsonl" |')
    assert "`seed`" not in found and "`title`" not in found


def test_the_papers_own_recipe_has_no_departures_on_its_card(tmp_path: Path) -> None:
    run = Run("paper", load_recipe(META), tmp_path)
    complete(run, "checkpoints", "1")
    assert list(parts(a_card(run))) == ["Recipe", "Lineage", "Limits"]


def test_what_was_measured_is_a_row_for_each_model_that_was(tmp_path: Path) -> None:
    """Figures by name; one that a model lacks is a dash."""
    run = tiny_run(tmp_path)
    complete(run, "checkpoints", "1")
    measure(run, "evaluation", "seed", {"true_score": 2.5, "true_score_low": 2.25, "true_score_high": 2.75})
    measure(run, "evaluation", "1", {"true_score": 3.0, "accuracy": 0.5})
    assert parts(a_card(run))["Evaluation"].splitlines()[2:6] == [
        "| model | accuracy | true_score |",
        "| --- | --- | --- |",
        "| seed | - | 2.50 (2.25 to 2.75) |",
        "| M1 | 0.50 | 3 |",
    ]


def test_what_is_stale_is_said_before_all_else(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    complete(run, "dpo_dataset", "1")
    complete(run, "checkpoints", "1")
    assert "Stale" not in a_card(run)
    complete(run, "dpo_dataset", "1", version="v2")
    said = "**Stale** when it was exported: checkpoints of iteration 1 (dpo_dataset of iteration 1 changed)."
    assert f"A model.\n\n{said}\n\n## Recipe" in a_card(run)
