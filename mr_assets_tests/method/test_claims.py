r"""Labels and what they claim: which texts are a label, how far a claim reaches, and when claims are of one mind."""

import re

import polars as pl
import pytest

from mr_assets.method.claims import agreed, answer, any_case, claims, grammar, label, with_parsed

SCORE = label("Score")


@pytest.mark.parametrize(
    ("text", "said"),
    {
        "Nothing to think.": "Nothing to think.",
        "<think>a</think>b": "b",
        "begun in the prompt</think>b": "b",
        "<THINKING>a</Thinking>b": "b",
        "<think>a</think>b<think>c</think>d": "d",
        "b<think>a\nand on": "b",
        "<think>a</think>b<think>c": "b",
        "<think>a": "",
        "<thinker>a</thinker>b": "<thinker>a</thinker>b",
    }.items(),
)
def test_the_answer_is_what_stands_after_the_thoughts(text: str, said: str) -> None:
    assert answer(text) == said


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("No label.", []),
        ("Score: 4", [" 4"]),
        ("Score: 4\nor Score: 5", [" 4\nor ", " 5"]),
        ("SCORE **:** 4", ["** 4"]),
        ("_score_: 4", [" 4"]),
        ("Underscore: 4", []),
        ("Score 4:", []),
        ("Score\uff1a4", []),  # the paper's labels have a plain colon
        ("\u017fcore: 4", []),  # a long s is no s
        ("<think>Score: 1</think>Score: 4", [" 4"]),
        ("Score: 4<think>Score: 1", [" 4"]),
    ],
)
def test_a_claim_reaches_from_its_label_to_the_next(text: str, found: list[str]) -> None:
    assert claims(text, SCORE) == found


@pytest.mark.parametrize(
    ("words", "text", "found"),
    [
        ("Final mark", "final \t MARK: 4", [" 4"]),
        ("Final mark", "Finalmark: 4", []),
        ("Final mark", "Final\nmark: 4", []),  # white space within a line alone
        ("Final mark", "semifinal mark: 4", []),
        ("Final mark", "Final mark\uff1a4", ["4"]),
        ("A.B", "AxB: 4 a.b: 5", [" 5"]),  # words are literal
        ("\u00dcbung", "\u00fcBUNG: 4", [" 4"]),
        ("\u00dcbung", "Frei\u00fcbung: 4", []),
        ("\u8bc4\u5206", "\u603b\u8bc4\u5206\uff1a4", ["4"]),  # such a script has no spaces between words
    ],
)
def test_a_recipes_own_words_are_a_label_too(words: str, text: str, found: list[str]) -> None:
    """White space, case and the colon may differ; a word of letters with capitals begins where a word begins."""
    assert claims(text, label(words)) == found


def test_a_character_in_any_case() -> None:
    """Sharp s is SS as a capital, which is no single character."""
    assert [any_case(c) for c in "sS4.\u00df"] == ["[Ss]", "[Ss]", "4", r"\.", "\u00df"]


def test_a_grammar_is_ascii_and_in_any_case() -> None:
    """White space in the pattern is for its reader."""
    pattern = grammar(r"score [ ] \d")
    assert pattern.fullmatch("SCORE 4")
    assert not pattern.fullmatch("score \u0664") and not pattern.fullmatch("\u017fcore 4")


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], (None, "none")),
        ([4.0], (4.0, None)),
        ([4.0, 4.0], (4.0, None)),
        ([4.0, 5.0], (None, "different")),
        ([4.0, None], (None, "different")),  # what cannot be read may be another value
        ([None, None], (None, "unreadable")),
    ],
)
def test_claims_count_if_they_have_one_value(
    values: list[float | None], found: tuple[float | None, str | None]
) -> None:
    assert agreed(values, "none", "unreadable", "different") == found


def test_a_column_is_parsed_from_the_first_label_on_and_each_text_once() -> None:
    """Equal claims behind different beginnings are one; of a text without a label, and of none, nothing is left."""
    asked: list[str] = []

    def parse(said: str) -> tuple[float | None, str | None]:
        asked.append(said)
        found = re.search(r"\d", said)
        return (float(found[0]), None) if found else (None, "no_number")

    texts = ["7 is fine. Score: 4", "Score: 4", None, "7 of 7", "<think>Score: 1</think>Score: 2", "Score: 3 Score: 5"]
    frame = pl.DataFrame({"text": texts})
    made = with_parsed(frame, "text", "value", pl.Float64, SCORE, parse)
    values = [4.0, 4.0, None, None, 2.0, 3.0]
    assert made.rows() == [
        (text, value, "no_number" if value is None else None) for text, value in zip(texts, values, strict=True)
    ]
    assert sorted(asked) == ["", "Score: 2", "Score: 3 Score: 5", "Score: 4"]
    assert with_parsed(frame.lazy(), "text", "value", pl.Float64, SCORE, parse).collect().equals(made)
