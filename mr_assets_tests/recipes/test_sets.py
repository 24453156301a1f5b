"""--set: a full path or a name, any value of YAML, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr_assets.recipes.load import load_recipe
from mr_assets.recipes.sets import PATHS
from mr_assets_tests.recipes.conftest import DEFAULT, columns, refused, written


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("dpo.beta=0.2", "dpo.beta", 0.2),
        ("beta=0.2", "dpo.beta", 0.2),  # the only field of that name
        ("dpo.learning_rate=5e-6", "dpo.learning_rate", 5e-6),  # a string in YAML 1.1
        ("dpo.learning_rate=1E-5", "dpo.learning_rate", 1e-5),
        ("k=3", "responses.k", 3),
        ("seed=7", "seed", 7),  # a full path, though model.seed has the name too
        ("model.seed=seeds/other", "model.seed", "seeds/other"),
        ("sft=null", "sft", None),
        ("judge_share_cap=0.15", "switches.judge_share_cap", 0.15),
        ("engine.extra.max_logprobs=3", "engine.extra", {"max_logprobs": 3}),
        ("judgments.template=my=odd.txt", "judgments.template", "my=odd.txt"),
        (" beta = 0.2 ", "dpo.beta", 0.2),
        ("title=no", "title", "no"),  # false in YAML 1.1
    ],
)
def test_set(text: str, path: str, value: Any) -> None:
    """A full path, or the name of a field that occurs once; values are YAML."""
    found: Any = load_recipe(DEFAULT, [text])
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value and type(found) is type(value)


def test_set_rows() -> None:
    """Rows count from 1; all is every row; later settings win."""
    recipe = load_recipe(
        DEFAULT, ["iterations.all.rho=0.3", "iterations.4.rho=0.4", "iterations.2={rho: 0.1, prompts: 9}"]
    )
    assert columns(recipe, "rho", "prompts") == [(0.3, 120), (0.1, 9), (0.3, 120), (0.4, 120)]


def test_set_of_one_row_leaves_a_row_with_the_same_anchor(tmp_path: Path) -> None:
    """Rows that share a YAML anchor are still rows of their own."""
    row = "{prompts: 5, rho: 0, max_chosen_chars: 9, judge_training: true, max_chosen_judgment_chars: 9, keep_epoch: 1}"
    path = written(tmp_path, f"extends: small_world\ntitle: t\ndescription: d\niterations:\n  - &r {row}\n  - *r\n")
    assert columns(load_recipe(path, ["iterations.2.rho=0.5"]), "rho") == [(0.0,), (0.5,)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("keep_epoch=1", ["several fields", "sft.keep_epoch", "iterations.1.keep_epoch", "iterations.all.keep_epoch"]),
        (
            "learning_rate=1e-5",
            ["several fields", "sft.learning_rate", "dpo.learning_rate", "iterations.1.learning_rate"],
        ),
        ("lerning_rate=1e-5", ["no field", "Did you mean learning_rate"]),
        ("dpo.betta=0.2", ["no field", "Did you mean dpo.beta"]),
        ("iterations.2.roh=0", ["no field", "Did you mean iterations.2.rho"]),
        ("iterations.5.rho=0", ["no iteration 5", "1 to 4, or all"]),
        ("iterations.0.rho=0", ["no iteration 0"]),
        ("iterations.2=3", ["iterations.2 is a section", "iterations.2.rho"]),
        ("prompts=20", ["prompts is a section", "iterations.all.prompts", "evaluation.prompts", "prompts.count"]),
        ("dpo.beta", ["expected key=value"]),
        ("=3", ["expected key=value"]),
        ("dpo.beta=[1", ["--set dpo.beta=[1", "line 1", "','"]),
        ("sft={keep_epoch: 1, keep_epoch: 2}", ["'keep_epoch' occurs twice"]),
        ("zzz=1", ["no field"]),
        ("abstract=true", ["no field"]),
        ("extends=small_world", ["no field"]),
    ],
)
def test_set_refused(text: str, parts: list[str]) -> None:
    """The message names the key and what could have been meant."""
    message = refused(text)
    assert text.partition("=")[0] in message
    for part in parts:
        assert part in message


@settings(deadline=None, max_examples=30)
@given(st.floats(min_value=1e-12, max_value=0.999, exclude_min=True))
def test_set_takes_any_spelling_of_a_number(number: float) -> None:
    """A number that Python prints, with or without an exponent, arrives as that very number."""
    for text in (repr(number), f"{number:.17e}", f"{number:.17E}"):
        assert load_recipe(DEFAULT, [f"dpo.learning_rate={text}"]).dpo.learning_rate == number


@settings(deadline=None, max_examples=30)
@given(st.integers(min_value=1, max_value=10**12))
def test_set_takes_any_count(count: int) -> None:
    """A count arrives as it was written."""
    assert load_recipe(DEFAULT, [f"dpo.save_steps={count}"]).dpo.save_steps == count


@pytest.mark.parametrize("path", [p for p in PATHS if "*" not in p])
def test_set_accepts_every_path(path: str) -> None:
    """No path of the schema is unknown to --set: a value that cannot be is refused for what it is."""
    message = refused(f"{path}=[[]]")
    assert "no field" not in message and "several" not in message
