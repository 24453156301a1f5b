import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.method.responses import mark_duplicates, responses
from mr_assets.tables import RESPONSES
from mr_assets_tests.method.tables import COMPLETIONS, Answer, shuffled, tables


def marked(*rows: tuple[str, str, int, str]) -> list[str | None]:
    frame = pl.DataFrame(list(rows), schema=["response_id", "prompt_id", "k", "response"], orient="row")
    return mark_duplicates(frame)["duplicate_of"].to_list()


def test_duplicates_point_to_the_first_by_k() -> None:
    """Identical responses to a prompt go no further (3.1); k = 2 is first here though it comes last."""
    assert marked(("r10", "p", 10, "x"), ("r3", "p", 3, "y"), ("r2", "p", 2, "x")) == ["r2", None, None]


def test_equal_texts_of_different_prompts_are_no_duplicates() -> None:
    """Duplicates are within a prompt."""
    assert marked(("a", "p", 0, "x"), ("b", "q", 0, "x")) == [None, None]


def test_texts_that_differ_in_white_space_are_different() -> None:
    """Identical means identical."""
    assert marked(("a", "p", 0, "x"), ("b", "p", 1, "x "), ("c", "p", 2, "X")) == [None, None, None]


@given(st.lists(st.text("ab", max_size=2), min_size=1, max_size=8), st.integers(0, 99))
def test_row_order_does_not_matter(texts: list[str], seed: int) -> None:
    """Each distinct text keeps exactly one unmarked row, whatever the order; all K rows stay."""
    frame, _ = tables({"p": [Answer(text, []) for text in texts]})
    other = mark_duplicates(shuffled(frame, seed)).sort("k")
    assert other.equals(frame)
    assert frame.filter(pl.col("duplicate_of").is_null())["response"].to_list() == list(dict.fromkeys(texts))


def test_lazy_frames_stay_lazy() -> None:
    """Tables may be scanned."""
    frame, _ = tables({"p": [Answer("x", []), Answer("x", [])]})
    assert mark_duplicates(frame.lazy()).collect()["duplicate_of"].to_list() == [None, "1.p.r0"]


def test_responses_of_completions() -> None:
    """A completion has the iteration, the id of its prompt and its sample index; the second "x" is a duplicate."""
    completions = [("p", 0, "x", "stop", [7]), ("p", 1, "y", "length", [8, 9]), ("p", 2, "x", "stop", [7])]
    rows = responses(pl.DataFrame(completions, schema=COMPLETIONS, orient="row").lazy(), 3)
    RESPONSES.check(rows)
    assert rows.rows() == [
        ("3.p.r0", "p", 0, "x", "stop", None, [7]),
        ("3.p.r1", "p", 1, "y", "length", None, [8, 9]),
        ("3.p.r2", "p", 2, "x", "stop", "3.p.r0", [7]),
    ]
