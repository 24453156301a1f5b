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

import polars as pl

from mr_assets.method import Frame
from mr_assets.method.claims import MARKS, SPACES, agreed, agreed_columns, any_case, compiled, label, polars_pattern

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
    text = pl.col("meta_judgment")
    winner, reason = agreed_columns(text, _CLAIM, _values, **_REASONS)
    not_fought = pl.when(text.is_null()).then(pl.lit("identical_battle")).otherwise(reason)
    return meta_judgments.with_columns(winner=winner.cast(pl.String), invalid=not_fought)


def battles(selected: Frame, judgments: Frame, *, sample_distinct_once: bool = False) -> pl.DataFrame:
    """All ordered pairs of the valid judgments of each selected response; up to N(N-1) = 110 of them.

    Columns: meta_judgment_id, response_id, first_id, second_id, identical (equal texts: not sampled, nobody wins),
    copied_from (with `sample_distinct_once` the first battle of the response between the same two texts in the same
    order, whose verdict this one takes; null if it is sampled itself).
    Judgments without a score do not battle; those cut off at max tokens do.
    Sorted by response, then first, then second judgment (by n): neighbours share the longest prompt prefixes.
    """
    judged = (
        judgments.lazy()
        .filter(pl.col("score").is_not_null())
        .join(selected.lazy().select("response_id"), on="response_id", how="semi")
        .select("response_id", "judgment_id", "n", "judgment")
        .collect(engine="streaming")
        .sort("response_id", "n", "judgment_id")
        .with_columns(text=pl.col("judgment_id").first().over("response_id", "judgment"))
        .drop("judgment")
    )
    shown = [pl.col("response_id"), *(pl.col(c).alias(f"first_{c}") for c in ("judgment_id", "n", "text"))]
    pairs = (
        judged.select(shown)
        .join(judged, on="response_id", how="inner", maintain_order="left_right")
        .filter(pl.col("first_judgment_id") != pl.col("judgment_id"))
        .select(
            meta_judgment_id=pl.format("{}.j{}-j{}", "response_id", "first_n", "n"),
            response_id="response_id",
            first_id="first_judgment_id",
            second_id="judgment_id",
            identical=pl.col("first_text") == pl.col("text"),
            first_text="first_text",
            second_text="text",
        )
    )
    battle = pl.col("meta_judgment_id")
    original = battle.first().over("first_text", "second_text")
    copied = pl.when(pl.lit(sample_distinct_once) & ~pl.col("identical") & (original != battle)).then(original)
    return pairs.with_columns(copied_from=copied).drop("first_text", "second_text")


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
