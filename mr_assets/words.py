"""What a person calls the columns and settings of a run: words in place of names like judge_exact or dpo.beta."""

from collections.abc import Mapping
from typing import Any

FIGURES = {
    "judge_spearman": "judge's rank correlation",
    "judge_exact": "judge exact",
    "meta_accuracy": "meta-judge right",
    "meta_first": "battles won by the first position",
}

JUDGES = {"world": "the world's truth", "seed": "the seed model"}


def judge_in_words(name: str) -> str:
    """Who decided, as a recipe or a results file names it: "the seed model", "gpt-4.1"."""
    return JUDGES.get(name, name)


def worded(name: str) -> str:
    """The name of a column, figure or setting in words: "true score", "iteration: keep epoch"."""
    return FIGURES.get(name) or name.replace(".", ": ").replace("_", " ")


def worded_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their names in words, each field of a section by itself: "dpo: learning rate"."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            found |= {f"{worded(name)}: {field}": each for field, each in worded_settings(value).items()}
        else:
            found[worded(name)] = value
    return found
