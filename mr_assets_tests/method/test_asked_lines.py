import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.judging import PAPERS_SCORING, PAPERS_VERDICTS, Scoring
from mr_assets.method.asked_lines import (
    LINES,
    body,
    check_score_line,
    expectation,
    redecided,
    rescored,
    score_line,
    split_tokens,
    winner_line,
    with_lines,
)
from mr_assets.tables import TOKEN_IDS

LINE = score_line(PAPERS_SCORING)


def code_points(text: str) -> list[int]:
    """A tokenizer with a token per character: a number of two digits has two."""
    return [ord(c) for c in text]


def test_the_lines() -> None:
    """The label on a line of its own, and the whole numbers of the scale."""
    assert LINE.label == "\nScore:"
    assert LINE.choices == {" 0": 0, " 1": 1, " 2": 2, " 3": 3, " 4": 4, " 5": 5}
    assert list(score_line(Scoring("Note", 0.5, 2.5)).choices) == [" 1", " 2"]
    assert winner_line(PAPERS_VERDICTS).choices == {" Judgement A": "first", " Judgement B": "second"}


def test_the_tokens_of_a_line() -> None:
    """All forms share all but the digit."""
    shared, choices = split_tokens(LINE, code_points)
    assert "".join(map(chr, shared)) == "\nScore: "
    assert "".join(map(chr, choices)) == "012345"


def test_what_a_score_line_needs() -> None:
    check_score_line(Scoring(highest=9), "expectation", code_points)
    check_score_line(Scoring(highest=10), "asked_again", code_points)
    with pytest.raises(UserError, match=r"writes 10 in several tokens.*asked_again"):
        check_score_line(Scoring(highest=10), "expectation", code_points)
    for scoring in (Scoring(highest=0.5), Scoring(highest=101)):
        with pytest.raises(UserError, match="expected 2 to 101"):
            check_score_line(scoring, "asked_again", code_points)
        check_score_line(scoring, "sampled", code_points)


def test_expectation() -> None:
    """0.1 for 3 and 0.3 for 4, of 0.4 in all: (0.3 + 1.2) / 0.4 = 3.75."""
    assert expectation(LINE, [0, 0, 0, 0.1, 0.3, 0]) == 3.75


ROWS = pl.DataFrame(
    {
        "judgment_id": ["a", "b", "c"],
        "judgment": ["Score: 2", "Fine.", "Score: 9/10. More"],
        "score": [2.0, None, None],
        "invalid": [None, "no_score", "off_scale"],
        "finish_reason": ["stop", "stop", "length"],
        "token_ids": pl.Series([[1, 99], [2, 99], [3]], dtype=TOKEN_IDS),
    }
)


def lines(*rows: tuple[str, str | None, list[int] | None, float]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=pl.Schema({**LINES, "score": pl.Float64}), orient="row")


def test_lines_stand_behind_what_was_sampled() -> None:
    """The end token (99) stays the last one; a cut-off completion has none. Why there was no score is kept."""
    asked = lines(("b", "\nScore: 4", [7, 8], 4), ("c", "\nScore: 1", [7, 9], 1))
    found = with_lines(ROWS, asked, key="judgment_id", text="judgment", value="score")
    assert found["judgment"].to_list() == ["Score: 2", "Fine.\nScore: 4", "Score: 9/10. More\nScore: 1"]
    assert found["token_ids"].to_list() == [[1, 99], [2, 7, 8, 99], [3, 7, 9]]
    assert found["score"].to_list() == [2, 4, 1]
    assert found.drop("judgment", "token_ids", "score").equals(ROWS.drop("judgment", "token_ids", "score"))
    assert found.schema == ROWS.schema
    assert rescored(found, PAPERS_SCORING, "asked_again").equals(found)
    forged = found.with_columns(score=pl.Series([3.0, 5.0, 1.0]))
    assert rescored(forged, PAPERS_SCORING, "asked_again").equals(found)


def test_an_expectation_has_no_line_where_there_is_a_score() -> None:
    found = with_lines(ROWS, lines(("a", None, None, 2.4)), key="judgment_id", text="judgment", value="score")
    assert found.equals(ROWS.with_columns(score=pl.Series([2.4, None, None])))
    assert rescored(found, PAPERS_SCORING, "expectation").equals(found)
    off = found.with_columns(score=pl.Series([7.0, None, None]))  # beyond the scale: what the text says
    assert rescored(off, PAPERS_SCORING, "expectation")["score"].to_list() == [2, None, None]


def test_winners_that_were_asked_for_again_are_worked_out_again() -> None:
    fought = pl.DataFrame(
        {
            "meta_judgment": ["Winner: Judgement B", "Both are fine.\nWinner: Judgement A", "Nobody.", None],
            "winner": ["second", "first", None, None],
            "invalid": [None, "no_winner", "no_winner", "identical_battle"],
        }
    )
    assert redecided(fought, PAPERS_VERDICTS).equals(fought)


def test_the_body_of_a_completion() -> None:
    assert body([1, 2, 99], "stop") == [1, 2]
    assert body([1, 2], "length") == [1, 2]
