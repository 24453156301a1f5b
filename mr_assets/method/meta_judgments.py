r"""The meta-judgments: which battles are fought, and who wins each (section 2.2, Figure 2).

Every pair of a response's valid judgments battles in both orders. The winner is what the meta-judge's own completion
names after "Winner:":

    "... more accurate.\n\nWinner: Judgement A"          first
    "**Winner:** [Judgment B]", 'WINNER: "judgement b"'  second
    "Winner: Tie", "Judgement A is better", "Winner: A"  null, no_winner ("Winner: a tie" is not a vote for A)
    "Winner: [Judgement A | Judgement B]"                null, no_winner
    "Winner: Judgement A ... Winner: Judgement B"        null, different_winners
"""

from typing import Literal, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mr_assets.method import Frame
from mr_assets.method.claims import MARKS, SPACES, agreed, any_case, compiled, label, polars_pattern, with_agreed

F = TypeVar("F", pl.DataFrame, pl.LazyFrame)
Winner = Literal["first", "second"]

_GAP = f"[{SPACES}{MARKS}]*"
_JUDGMENT = f"{any_case('judg')}[eE]?{any_case('ment')}[{SPACES}{MARKS}-]*"
_OR = f"(?:[|/&]|{any_case('or')}|{any_case('and')})"
# A whole word after "Judgement", so that "Judgement Analysis" is no vote; and a second name, if one is added.
_CLAIM = (
    f"{label('winner')}{_JUDGMENT}[0-9A-Za-z]+"
    f"(?:{_GAP}{_OR}{_GAP}(?:{_JUDGMENT}[ab]|(?:{_JUDGMENT})?[AB])[0-9A-Za-z]*)?"
)
_FIRST_NAME = f"^[^:]*:{_GAP}{_JUDGMENT}([0-9A-Za-z]+)"
_LAST_NAME = "([0-9A-Za-z]+)$"
_CLAIM_RE, _FIRST_NAME_RE, _LAST_NAME_RE = compiled(_CLAIM), compiled(_FIRST_NAME), compiled(_LAST_NAME)
_REASONS = {"none": "no_winner", "unreadable": "no_winner", "different": "different_winners"}
_WINNERS: dict[str, Winner] = {"A": "first", "B": "second"}


def parse_winner(text: str) -> tuple[Winner | None, str | None]:
    """The winner that a meta-judgment names, or None and the reason (`mr_assets.method.dropped.REASONS`).

    Total: any text has an answer. `with_winners` does the same for a column.
    """
    return agreed([_value(claim) for claim in _CLAIM_RE.findall(text)], **_REASONS)


def with_winners(meta_judgments: F) -> F:
    """Add ``winner`` and ``invalid`` to a frame with the column ``meta_judgment``; what `parse_winner` does, streaming.

    A battle without text was not fought because the two judgments are the same: its reason is ``identical_battle``.
    """
    not_fought = pl.when(pl.col("meta_judgment").is_null()).then(pl.lit("identical_battle")).otherwise("invalid")
    parsed = with_agreed(meta_judgments, "meta_judgment", "winner", _CLAIM, _values, **_REASONS)
    return parsed.with_columns(invalid=not_fought)


def battles(selected: Frame, judgments: Frame, *, sample_distinct_once: bool = False) -> pl.DataFrame:
    """All ordered pairs of the valid judgments of each selected response; up to N(N-1) = 110 of them.

    Columns: meta_judgment_id, response_id, first_id, second_id, identical (equal texts: not sampled, nobody wins),
    copied_from (with `sample_distinct_once` the first battle of the response between the same two texts in the same
    order, whose verdict this one takes; null if it is sampled itself).
    Judgments without a score do not battle; those cut off at max tokens do.
    Sorted by response, then first, then second judgment (by n): neighbours share the longest prompt prefixes.
    """
    chosen = selected.lazy().select("response_id").collect()["response_id"].implode()
    judged = (
        judgments.lazy()
        .filter(pl.col("score").is_not_null() & pl.col("response_id").is_in(chosen))
        .select("response_id", "judgment_id", "n", "judgment")
        .collect(engine="streaming")
        .sort("response_id", "n", "judgment_id")
        .with_row_index("row")
        .with_columns(text=pl.col("row").first().over("response_id", "judgment"))
        .drop("judgment")
    )
    first, second = _ordered_pairs(judged["response_id"].rle_id().to_numpy())
    shown_first, shown_second = judged[first], judged[second]
    pairs = pl.DataFrame(
        {
            "response_id": shown_first["response_id"],
            "first_id": shown_first["judgment_id"],
            "second_id": shown_second["judgment_id"],
            "first_n": shown_first["n"],
            "second_n": shown_second["n"],
            "identical": shown_first["text"] == shown_second["text"],
        }
    ).select(
        pl.format("{}.j{}-j{}", "response_id", "first_n", "second_n").alias("meta_judgment_id"),
        "response_id",
        "first_id",
        "second_id",
        "identical",
    )
    if not sample_distinct_once:
        return pairs.with_columns(copied_from=pl.lit(None, pl.String))
    battle = pl.col("meta_judgment_id")
    original = battle.first().over(shown_first["text"], shown_second["text"])
    return pairs.with_columns(copied_from=pl.when(~pl.col("identical") & (original != battle)).then(original))


def win_shares(battles: Frame, scores: Frame) -> dict[str, float | None]:
    """Shares of decisive battles won by the first position and by the higher score (Table 5); None of no battles.

    battles: first_id, second_id, winner; scores: judgment_id, score. How many battles are behind the shares is there
    too: all decisive ones, and those between different scores.
    """
    given = scores.lazy().select("judgment_id", "score")
    fought = (
        battles.lazy()
        .filter(pl.col("winner").is_not_null())
        .join(given.rename({"judgment_id": "first_id", "score": "a"}), on="first_id")
        .join(given.rename({"judgment_id": "second_id", "score": "b"}), on="second_id")
        .select(first=pl.col("winner") == "first", same=pl.col("a") == pl.col("b"), lower=pl.col("a") < pl.col("b"))
    )
    first, different = pl.col("first"), ~pl.col("same")
    return (
        fought.select(
            first.mean().alias("first position wins"),
            first.filter("same").mean().alias("first position wins, same score"),
            first.filter(different).mean().alias("first position wins, different score"),
            (first != pl.col("lower")).filter(different).mean().alias("higher score wins"),
            pl.len().cast(pl.Int64).alias("decisive battles"),
            different.sum().cast(pl.Int64).alias("decisive battles, different score"),
        )
        .collect(engine="streaming")
        .row(0, named=True)
    )


def meta_judgment_numbers(meta_judgments: pl.DataFrame, judgments: Frame) -> dict[str, float | int | None]:
    """The figures of an iteration's meta-judgments (`META_JUDGMENTS`); `judgments` has judgment_id and score.

    Copied verdicts count as battles and nowhere else. Invalid ones are counted by reason.
    """
    sampled = meta_judgments.filter(pl.col("copied_from").is_null())
    written = sampled.filter(pl.col("meta_judgment").is_not_null())
    invalid = written.group_by("invalid").len().drop_nulls().sort("invalid").iter_rows()
    return {
        **win_shares(sampled, judgments),
        "parse rate": written["winner"].count() / written.height if written.height else None,
        "mean characters": written["meta_judgment"].str.len_chars().mean(),
        "cut off": written.filter(pl.col("finish_reason") == "length").height,
        "battles": meta_judgments.height,
        **{f"without a winner: {reason}": n for reason, n in invalid},
    }


def _ordered_pairs(groups: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions (first, second) of all ordered pairs within groups; `groups` are sorted group numbers."""
    start = np.searchsorted(groups, groups, side="left")
    size = np.searchsorted(groups, groups, side="right") - start
    first = np.repeat(np.arange(len(groups)), size)
    within = np.arange(len(first)) - np.repeat(np.cumsum(size) - size, size)
    second = start[first] + within
    return first[first != second], second[first != second]


def _value(claim: str) -> Winner | None:
    first, last = _FIRST_NAME_RE.search(claim), _LAST_NAME_RE.search(claim)
    assert first and last, "the pattern of a claim ends in a name"
    name, other = first[1].upper(), last[1].upper()
    return None if other in _WINNERS and other != name else _WINNERS.get(name)


def _values(claims: pl.Expr) -> pl.Expr:
    name = claims.str.extract(polars_pattern(_FIRST_NAME), 1).str.to_uppercase()
    other = claims.str.extract(polars_pattern(_LAST_NAME), 1).str.to_uppercase()
    one = other.is_in(list(_WINNERS)).not_() | (other == name)
    return pl.when(one).then(name.replace_strict(_WINNERS, default=None, return_dtype=pl.String))
