r"""The meta-judgments: which battles are fought, and who wins each (section 2.2, Figure 2).

Every pair of a response's valid judgments battles in both orders. The winner is what follows "Winner:" in the
meta-judge's own answer, if that plainly names one:

    "... more accurate.\n\nWinner: Judgement A"            first
    "**Winner:** [Judgment B]", 'WINNER: "judgement b"'    second
    "Winner: Judgement A is better than Judgement B"       first
    "Winner: Judgement A. Judgement B is vague."           first
    "Winner: Tie", "Judgement A is better", "Winner: A"    null, no_winner ("Winner: a tie" is not a vote for A)
    "Winner: [Judgement A | Judgement B]", "A and B"       null, no_winner
    "Winner: Judgement A (tie with Judgement B)"           null, no_winner
    "Winner: Judgement A ... Winner: Judgement B"          null, different_winners

The grammar of a claim, from the label to the end of its line; anything else has no value:

    claim  = label, marks, name, [won], [over], end
    label  = "Winner", marks, ":"                          any case; marks: brackets, quotes, emphasis, tags, spaces
    name   = "Judgement" or "Judgment", "A" or "B"
    won    = "wins", "is (clearly, slightly, much, by far) (the) better, best, stronger, superior, winner,
             more accurate" and the like
    over   = "over", "than", "rather than", "instead of", "not", and the other name
    end    = marks and sentence punctuation, then the end of the line; or
             a mark, punctuation, a dash or "because", "since", "as", "for", "due", "with", "by", "and", then prose
    prose  = Latin letters, digits, spaces, marks and punctuation to the end of the line. No word of a tie or a doubt
             ("tie", "both", "equal", "neither", "or Judgement B", "no difference", ...). The other name stands only
             behind "than", "over", "because", "since", "as", "while", "whereas", "unlike", "of", "not", or at the
             beginning of a sentence, and is not said to be better

With other words and names (`Verdicts`) it reads the same, their common words in place of "Judgement". Words of a tie
or a doubt are those of English.

A name on a line below the label has no prose beside it, and the next line does not go on with a tie or a name alone. A
label that is followed by a word of a tie claims that nobody wins; beside a winner that is a different claim.
"""

import re
from functools import lru_cache, partial
from itertools import takewhile
from typing import Literal, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mr_assets.ids import battle_ids
from mr_assets.judging import PAPERS_VERDICTS, Verdicts
from mr_assets.method import Frame
from mr_assets.method.claims import (
    LINE_END,
    MARKS,
    SPACE,
    SPOKEN,
    STOPS,
    TAG,
    WIDE_STOPS,
    agreed,
    any_case,
    claims,
    grammar,
    label,
    with_parsed,
)
from mr_assets.tables import META_JUDGMENTS

F = TypeVar("F", pl.DataFrame, pl.LazyFrame)
Winner = Literal["first", "second"]


_MARGIN = f"(?: {TAG} | [{SPACE}\r\n{MARKS}<>] )*+"
_BETWEEN = f"[{SPACE}\r\n{MARKS}<>-]*"
_TIE = r"""\b(?: ties? | tied | tying | draws? | drawn | equal\w* | same | neither | nor | none | nobody | both | either
    | inconclusive | undecided | undetermined | unclear | comparable | equivalent | indistinguishable | identical
    | no\s+(?:clear\s+|real\s+)?(?:winner|difference|preference)
    | (?:cannot|can't)\s+(?:be\s+)?(?:say|tell|decide|choose)
    | toss | vs | versus | 50\s*[/-]\s*50 | as\s+\w+\s+as | along\s+with | together | depends )\b"""
_BETTER = r"(?:better|best|stronger|strongest|superior|preferred|preferable|winner|winning|more\s+\w+|most\s+\w+)"
_HOW = r"(?:(?:clearly|slightly|much|far|by\s+far|a\s+(?:bit|little)|the|a|overall|judge?ment|one)\s+)*"
_END_OF_NAME = r"(?![0-9A-Za-z])"
_SIDES: tuple[Winner, Winner] = ("first", "second")


def _other(side: Winner) -> Winner:
    return "second" if side == "first" else "first"


def _words(name: str) -> list[str]:
    """The words of a name without brackets, quotes and emphasis, which may stand anywhere."""
    return [word for part in name.split() if (word := re.sub(f"^[{MARKS}]+|[{MARKS}]+$", "", part))]


def _literal(word: str) -> str:
    return "".join(re.escape(c) if c.isascii() else any_case(c) for c in word)


def _spelt(word: str) -> str:
    """A word of a name; a lone "A" is in capitals, as "a" may be the article; "Judgement" is "Judgment", too."""
    if word.lower() in ("judgement", "judgment"):
        return "judge?ment"
    return rf"(?: (?-i:A) | a (?= [{MARKS}.]* {LINE_END} ) )" if word in ("A", "a") else _literal(word)


class _Grammar:
    """What says which verdicts are valid (see the module's text)."""

    def __init__(self, verdicts: Verdicts) -> None:
        words = {side: _words(verdicts._asdict()[side]) for side in _SIDES}
        pairs = zip(words["first"][:-1], words["second"][:-1], strict=False)  # what tells them apart is at least a word
        common = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
        noun = "".join(f"{_spelt(word)} {_BETWEEN} " for word in words["first"][:common])
        alone = {side: rf"(?:\b|(?=\W)) {_BETWEEN.join(map(_spelt, words[side][common:]))}" for side in _SIDES}
        proper = {side: noun + _BETWEEN.join(map(_literal, words[side][common:])) for side in _SIDES} if noun else alone
        named = {side: rf"(?: {proper[side]} | {alone[side]} ){_END_OF_NAME}" for side in _SIDES}
        either, rest = f"(?: {named['first']} | {named['second']} )", {side: named[_other(side)] for side in _SIDES}
        stops = STOPS if verdicts.words == PAPERS_VERDICTS.words else STOPS + WIDE_STOPS
        # Whether the label is followed by a name at all, or by a word that says that nobody won.
        letter = "[0-9a-z]" if (verdicts.first + verdicts.second).isascii() else r"[^\x00-\x2f\x3a-\x60\x7b-\x7f]"
        a_name = rf"{noun} {letter}" if common else either
        self.given = grammar(rf"{_MARGIN} (?: (?: {a_name} ) | (?:a\s+)? {_TIE} )")
        self.claim = grammar(rf"""
            (?P<lead> {_MARGIN} )
            (?: (?P<first> {proper["first"]} ) | (?P<second> {proper["second"]} ) ){_END_OF_NAME} (?!['\u2019]s\b)
            (?: [{SPACE}{MARKS}>]+ (?: wins | won | (?:is|was) \s+ {_HOW} {_BETTER} (?: \s+ (?:judge?ment|one) )? )\b )?
            (?: ,? [{SPACE}{MARKS}]+ (?: over | (?:rather\s+)?than | instead\s+of | (?:and\s+)?not ) \s+
                (?: the\s+other\b | {either} ) )?
            (?P<end>
                (?: [{SPACE}{MARKS}>{stops}] | {TAG} )*
              | (?P<prose>
                    (?: [{SPACE}]* (?: [{MARKS}>{STOPS}\u2013\u2014] | {TAG} | -+(?=[{SPACE}]) )
                      | [{SPACE}]+ (?=(?:because|since|as|for|due|with|by|and)\b) )
                    (?: {TAG} | [0-9{SPOKEN}] )*+ )
            )
            {LINE_END}
        """)
        self.doubt = grammar(rf"""
            {_TIE} | \b(?: or \s+ (?: {either} | the\s+other )
            | not\s+(?:the\s+|a\s+)?{_BETTER} | (?:worse|weaker|poorer|inferior)\s+(?:than|to)
            | actually | wait | correction | sorry | instead (?!\s+of) | rather (?!\s+than) )\b
        """)
        # Where the other name may stand; what is left of it after these are taken away is a second winner.
        self.passing = {
            side: grammar(rf"""
                [.!]\s+ [{MARKS}]* {other} (?= [{MARKS}]* \s+ \w )
              | \b(?: than | over | because | since | as | while | whereas | unlike | of | not )\s+ [{MARKS}]* {other}
            """)
            for side, other in rest.items()
        }
        self.rival = {
            side: grammar(rf"""
                {other} [{MARKS}]* \s+ (?:\w+\s+)?
                (?: wins | won | (?: is | was | seems | should | would | deserves )\b [^.;\r\n]{{0,60}} {_BETTER} )\b
            """)
            for side, other in rest.items()
        }
        self.other = {side: grammar(other) for side, other in rest.items()}
        self.goes_on = grammar(rf"""
            [\s{MARKS}\u00a0\u2022-]*+ (?: [=+|/&~\u2248] | {_TIE}
              | (?: and | or | vs | versus | nor | but | no | not | a )\b [^\r\n]* (?: {either} | {_TIE} )
              | (?: {proper["first"]} | {proper["second"]} ) [{SPACE}{MARKS}.:,]* (?: {LINE_END} | [0-9] ) )
        """)

    def winner(self, claim: str) -> Winner | None:
        """The one that a claim names, or None if it does not plainly name one winner."""
        read = self.claim.match(claim)
        if read is None:
            return None
        side, end, below = _SIDES[read["first"] is None], read["end"], claim[read.end() :]
        heading = "\n" in read["lead"] or "\r" in read["lead"]
        if (heading and read["prose"] is not None) or self.doubt.search(end) or self.goes_on.match(below):
            return None
        if self.rival[side].search(end) or self.other[side].search(self.passing[side].sub(" ", end)):
            return None
        return side


_grammar = lru_cache(_Grammar)
_REASONS = {"none": "no_winner", "unreadable": "no_winner", "different": "different_winners"}


def parse_winner(text: str, verdicts: Verdicts = PAPERS_VERDICTS) -> tuple[Winner | None, str | None]:
    """The winner that a meta-judgment names, or None and the reason (`mr_assets.method.dropped.REASONS`).

    Total: any text has an answer. `with_winners` does the same for a column.
    """
    read = _grammar(verdicts)
    return agreed([read.winner(c) for c in claims(text, label(verdicts.words)) if read.given.match(c)], **_REASONS)


def with_winners(meta_judgments: F, verdicts: Verdicts = PAPERS_VERDICTS) -> F:
    """Add ``winner`` and ``invalid`` to a frame with the column ``meta_judgment``; what `parse_winner` does, streaming.

    A battle without text was not fought because the two judgments are the same: its reason is ``identical_battle``.
    """
    not_fought = pl.when(pl.col("meta_judgment").is_null()).then(pl.lit("identical_battle")).otherwise("invalid")
    parse = partial(parse_winner, verdicts=verdicts)
    parsed = with_parsed(meta_judgments, "meta_judgment", "winner", pl.String, label(verdicts.words), parse)
    return parsed.with_columns(invalid=not_fought)


def battles(selected: Frame, judgments: Frame, *, sample_distinct_once: bool = False) -> pl.DataFrame:
    """All ordered pairs of the valid judgments of each selected response; up to N(N-1) = 110 of them.

    Columns: meta_judgment_id, response_id, first_id, second_id, identical (equal texts: not sampled, nobody wins),
    copied_from (with `sample_distinct_once` the first battle of the response between the same two texts in the same
    order, whose verdict this one takes; null if it is sampled itself).
    Judgments without a score do not battle; those cut off at max tokens do.
    Sorted by response, then first, then second judgment (by n): neighbours share the longest prompt prefixes.
    """
    selected_ids = selected.lazy().select("response_id").collect()["response_id"].implode()
    judged = (
        judgments.lazy()
        .filter(pl.col("score").is_not_null() & pl.col("response_id").is_in(selected_ids))
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
        battle_ids("response_id", "first_n", "second_n").alias("meta_judgment_id"),
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


def to_sample(fought: pl.DataFrame, prompts: Frame, responses: Frame, judgments: Frame) -> pl.DataFrame:
    """What the meta-judge is asked of the battles that are sampled, in the order of `fought`.

    Columns: meta_judgment_id, prompt, response, judgment_a (the first one shown), judgment_b.
    """
    answers = responses.lazy().select("response_id", "prompt_id", "response")
    first, second = (
        judgments.lazy().select(pl.col("judgment_id").alias(key), pl.col("judgment").alias(shown))
        for key, shown in (("first_id", "judgment_a"), ("second_id", "judgment_b"))
    )
    return (
        fought.lazy()
        .filter(~pl.col("identical") & pl.col("copied_from").is_null())
        .join(answers, on="response_id", how="left", maintain_order="left")
        .join(prompts.lazy(), on="prompt_id", how="left", maintain_order="left")
        .join(first, on="first_id", how="left", maintain_order="left")
        .join(second, on="second_id", how="left", maintain_order="left")
        .select("meta_judgment_id", "prompt", "response", "judgment_a", "judgment_b")
        .collect()
    )


def meta_judgments(
    fought: pl.DataFrame, completions: pl.LazyFrame, verdicts: Verdicts = PAPERS_VERDICTS
) -> pl.LazyFrame:
    """Every battle with its meta-judgment, lazily: columns of `META_JUDGMENTS`, in the order of the battles.

    It was sampled, or is copied from the battle with the same texts in the same order, or is none.
    fought: as `battles` gives them. completions: request_id (of the battle), text, finish_reason, token_ids.
    """
    sampled = with_winners(completions.rename({"request_id": "meta_judgment_id", "text": "meta_judgment"}), verdicts)
    source = pl.coalesce("copied_from", "meta_judgment_id")
    unsampled = pl.when("identical").then(pl.lit("identical_battle")).otherwise(pl.lit("prompt_too_long"))
    return (
        fought.lazy()
        .with_columns(source=source)
        .join(
            sampled.select("meta_judgment_id", "meta_judgment", "winner", "invalid", "finish_reason", "token_ids"),
            left_on="source",
            right_on="meta_judgment_id",
            how="left",
            maintain_order="left",
        )
        .with_columns(invalid=pl.when(pl.col("meta_judgment").is_null()).then(unsampled).otherwise("invalid"))
        .select(list(META_JUDGMENTS.columns))
    )


def _ordered_pairs(groups: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions (first, second) of all ordered pairs within groups; `groups` are sorted group numbers."""
    start = np.searchsorted(groups, groups, side="left")
    size = np.searchsorted(groups, groups, side="right") - start
    first = np.repeat(np.arange(len(groups)), size)
    within = np.arange(len(first)) - np.repeat(np.cumsum(size) - size, size)
    second = start[first] + within
    return first[first != second], second[first != second]
