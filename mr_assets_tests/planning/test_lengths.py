"""How long texts are assumed to be."""

import pytest

from mr_assets.planning.lengths import Lengths, assumed_lengths, pieces_of
from mr_assets.recipes.load import load_recipe
from mr_assets.templates import Template, judge_template, meta_judge_template


def test_the_papers_prompts(lengths: Lengths) -> None:
    """1,575 characters of the judge prompt are 315 tokens, 10 of the chat template, 60 of the prompt, 450 of the
    response; the meta-judge's 1,754 characters are 351, and there are two judgments of 120."""
    assert lengths.judge_prompt == pytest.approx(1575 / 5 + 10 + 60 + 450)
    assert lengths.meta_judge_prompt == pytest.approx(1754 / 5 + 10 + 60 + 450 + 240)


def test_nothing_is_longer_than_the_recipe_allows() -> None:
    recipe = load_recipe("small_world_meta_rewarding")
    found = assumed_lengths(recipe, judge_template(), meta_judge_template())
    assert (found.response, found.judgment, found.meta_judgment) == (48, 64, 120 + 8)


def test_a_templates_pieces_in_order() -> None:
    """A field may stand twice, and at an end."""
    template = Template("mine", "12345{b}1234567890{a}{b}", ("a", "b"))
    assert pieces_of(template) == (("", 1.0), ("b", 0.0), ("", 2.0), ("a", 0.0), ("", 0.0), ("b", 0.0), ("", 0.0))
