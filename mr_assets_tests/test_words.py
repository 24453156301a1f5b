"""The words in place of names of columns, figures and settings."""

import pytest

from mr_assets.words import judge_in_words, worded, worded_settings


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("true_score", "true score"),
        ("iteration.keep_epoch", "iteration: keep epoch"),
        ("judge_exact", "judge exact"),
        ("judge_spearman", "judge's rank correlation"),
        ("meta_first", "battles won by the first position"),
    ],
)
def test_a_name_in_words(name: str, words: str) -> None:
    """Some figures have words of their own."""
    assert worded(name) == words


def test_who_judged_in_words() -> None:
    """A model has its own name, underscores too."""
    assert [judge_in_words(name) for name in ("world", "seed", "my_model-4.1")] == [
        "the world's truth",
        "the seed model",
        "my_model-4.1",
    ]


def test_each_field_of_a_section_is_a_setting_of_its_own() -> None:
    """Sections in sections, too. A section without fields is shown as it is, and so is a list."""
    settings = {
        "seed": 0,
        "iteration.rho": 0.3,
        "dpo": {"learning_rate": 1e-6, "more": {"warm_up": None}},
        "engine.extra": {},
        "prompts_until": [5, 5],
    }
    assert worded_settings(settings) == {
        "seed": 0,
        "iteration: rho": 0.3,
        "dpo: learning rate": 1e-6,
        "dpo: more: warm up": None,
        "engine: extra": {},
        "prompts until": [5, 5],
    }
