"""Small tables written by hand, and Hypothesis strategies for larger ones."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl
from hypothesis import strategies as st

from mr_assets.method.responses import mark_duplicates
from mr_assets.tables import JUDGMENTS, META_JUDGMENTS, RESPONSES, TOKEN_IDS

SCORES = st.sampled_from([None, 0.0, 1.0, 2.0, 2.5, 3.0, 4.0, 4.5, 4.75, 4.9, 5.0])


COMPLETIONS: dict[str, type[pl.DataType] | pl.DataType] = {
    "request_id": pl.String(),
    "sample": pl.Int32(),
    "text": pl.String(),
    "finish_reason": pl.String(),
    "token_ids": TOKEN_IDS,
}
"""The columns of what an engine samples."""


class Answer(NamedTuple):
    """A response and the scores of its judgments; None is an invalid one."""

    text: str
    scores: Sequence[float | None]
    finish_reason: str = "stop"


def tables(prompts: Mapping[str, Sequence[Answer]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`RESPONSES` and `JUDGMENTS` of iteration 1: response k of prompt p is "1.p.rk", its judgment n "1.p.rk.jn".

    Every judgment has a text of its own; token ids are the code points of the text.
    """
    responses, judgments = [], []
    for prompt, answers in prompts.items():
        for k, answer in enumerate(answers):
            response_id = f"1.{prompt}.r{k}"
            responses.append((response_id, prompt, k, answer.text, answer.finish_reason, None, ids(answer.text)))
            for n, score in enumerate(answer.scores):
                text = f"judgment {n} of {response_id}"
                judgments.append((f"{response_id}.j{n}", response_id, n, text, score, None, "stop", ids(text)))
    answered = pl.DataFrame(responses, schema=RESPONSES.schema, orient="row")
    judged = pl.DataFrame(judgments, schema=JUDGMENTS.schema, orient="row")
    return mark_duplicates(answered).select(list(RESPONSES.schema)), judged


def meta_judgments(battles: Sequence[tuple[str, int, int, str | None]]) -> pl.DataFrame:
    """`META_JUDGMENTS` of (response_id, n of the first, n of the second, winner)."""
    rows = [
        (f"{r}.j{m}-j{n}", r, f"{r}.j{m}", f"{r}.j{n}", "text", winner, None, None, "stop", [1])
        for r, m, n, winner in battles
    ]
    return pl.DataFrame(rows, schema=META_JUDGMENTS.schema, orient="row")


def ids(text: str) -> list[int]:
    """Stand-in token ids that a reader can check: code points."""
    return [ord(c) for c in text]


def shuffled(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The same rows in another order."""
    return frame.sample(fraction=1, shuffle=True, seed=seed)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Responses and judgments of up to four prompts, with duplicates, invalid scores and cut-off responses."""
    answer = st.builds(
        Answer,
        text=st.text("ab", min_size=0, max_size=4),
        scores=st.lists(SCORES, max_size=4),
        finish_reason=st.sampled_from(["stop", "stop", "length"]),
    )
    prompts = draw(st.dictionaries(st.sampled_from("pqrs"), st.lists(answer, min_size=1, max_size=5), min_size=1))
    return tables(prompts)


# fmt: off
_PIECES = [
    "Score", "score", "SCORE", "\u017fcore", "\uff33core", ":Score:", ":", "::", "4", "5", "50", "-1", "+4",
    "4.5", ".5", "5.", "4,5", "/5", "/", "out", "of", "points", "to", "10", "\u0664", "\u00b2", "\u00bd",
    "\u2212", "\u2013", "%", "=", "Winner", "winner", "W\u0131nner", "Judgement", "judgment", "Judgement\u0301",
    "A", "B", "a", "b", "AB", "C", "|", "or", "and", "&", "*", "**", "_", "__", "(", ")", "[", "]", "<", ">",
    "{", "}", "$", "'", '"', "\u201c", "\u201d", "\u0301", "~", "<|eot_id|>", "\\boxed{", "<total", "\x00",
]
# fmt: on
NASTY = st.lists(
    st.one_of(
        st.sampled_from(_PIECES),
        st.sampled_from([" ", "\n", "\t", "\u00a0", "\u2028", "\x1c", "\r\n", "Score: 5", "Winner: Judgement B"]),
        st.sampled_from(["Score: 4", "Score: ", "Winner: Judgement A", "Winner: "]),
        st.text(max_size=3),
    ),
    max_size=12,
).map("".join)
"""Texts made of what labels, values and hostile insertions are made of."""
