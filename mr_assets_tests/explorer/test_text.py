"""What differs between two texts."""

from hypothesis import given
from hypothesis import strategies as st

from mr_assets.explorer.text import COMPARED, Part, difference

WORDS = st.lists(st.sampled_from(["a", "b", "it is", "\n", ".", "<b>"]), max_size=12).map(" ".join)


def test_a_difference_by_words() -> None:
    """What is replaced between two equal parts is one change, blanks in it included."""
    assert difference("Right, without a sentence. Score: 3", "Correct and to the point. Score: 5") == [
        Part("rejected", "Right, without a sentence"),
        Part("chosen", "Correct and to the point"),
        Part("both", ". Score:"),
        Part("rejected", " 3"),
        Part("chosen", " 5"),
    ]
    assert difference("a b", "a b c") == [Part("both", "a b"), Part("chosen", " c")]


@given(WORDS, WORDS)
def test_a_difference_holds_both_texts(rejected: str, chosen: str) -> None:
    """Without what only the other has, each text is there, to the letter."""
    parts = difference(rejected, chosen)
    assert parts is not None
    for side, text in (("rejected", rejected), ("chosen", chosen)):
        assert "".join(part.text for part in parts if part.of in ("both", side)) == text


def test_long_texts_are_not_compared() -> None:
    assert difference("word" + " word" * (COMPARED - 1), "word") is not None
    assert difference("word " * (COMPARED + 1), "word") is None
