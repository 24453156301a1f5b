r"""The judgments: the score that each one gives (section 2.1), and the mean and variance of a response's scores.

A score is what follows "Score:" in the judge's own answer, if that is plainly one number out of 5:

    "... well organized.\n\nScore: 4"                   4.0
    "**Score:** <4.75>", "Score: 4. It is clear."       4.75, 4.0
    "Score: 4/5", "score: [4] out of a possible 5"      4.0
    "Score: 4 ... Final score: 4"                       4.0
    "Score: five", "I give it a 4", "Score: about 4"    null, no_score
    "Score: 50", "-1", "4/10", "3-4", "1 + 1 = 2"       null, off_scale
    "Score: 4 out of ten", "4 1/2", "4 (previously 3)"  null, off_scale
    "Score: 4 ... Score: 5"                             null, different_scores

The grammar of a claim, from the label to the end of its line; anything else has no value:

    claim    = label, marks, number, [scale], [repeat], end
    label    = "Score", marks, ":"                          any case; marks: brackets, quotes, emphasis, tags, spaces
    number   = ["+"], digits, ["." digits] | "." digits     from 0 to 5; "<" in front asks for ">" behind
    scale    = unit | [unit], of five, [unit]               may be in brackets
    unit     = "point(s)", "pt(s)", "star(s)"
    of five  = "/5", "of 5", "out of 5", "out of a possible (maximum, total of) 5", "on a scale of 0 (1) to 5",
               "on a 5-point (0-5) scale", "max 5"; also "five", "5.0", and the slashes U+2044, U+2215, U+FF0F
    repeat   = "(", the same number, [scale], ")"
    end      = marks and sentence punctuation, then the end of the line; or
               a mark, punctuation, a dash or "because", "since", "as", "due", "given", then plain prose to the end
    prose    = Latin letters, spaces, marks and punctuation; no digit, no number in words, no word of a scale or of
               reckoning; it does not begin with a doubt ("or", "maybe")

With other words and another scale (`Scoring`) it reads the same, its highest number in place of 5; to 100 also "%".
Where the words are not the paper's, the colon and what ends a sentence may be those of other scripts, too.

A number that stands on a line below the label has no prose beside it: "Score:" over a list of criteria is a heading.
Nor does the next line go on with the sum or the scale: "+ 1", "= 4", "/10", "out of 10", another number of a list.
"""

import re
from functools import lru_cache, partial
from typing import TypeVar

import polars as pl

from mr_assets.ids import judgment_ids
from mr_assets.judging import PAPERS_SCORING, Scoring
from mr_assets.method import DECIMALS, Frame
from mr_assets.method.claims import (
    LINE_END,
    MARKS,
    SPACE,
    SPOKEN,
    STOPS,
    TAG,
    WIDE_STOPS,
    agreed,
    answer,
    claims,
    grammar,
    label,
    with_parsed,
)
from mr_assets.tables import JUDGMENTS

F = TypeVar("F", pl.DataFrame, pl.LazyFrame)


_GAP = f"[{SPACE}{MARKS}]*"
_NUMBER = r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_END_OF_NUMBER = r"(?![0-9A-Za-z]|[.,][0-9])"
_UNIT = r"(?:total\s+)?(?:point|pt|star)s?\b(?:\s+(?:in\s+)?total\b)?"
_IN_WORDS = dict(enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"])) | {
    **{20: "twenty", 50: "fifty", 100: r"(?:(?:a|one)\s+)?hundred"},
}

# Whether a number follows the label at all, whatever becomes of it.
_GIVEN = grammar(rf"(?: [{SPACE}\r\n{MARKS}<>~\u2248\u2264\u2265] | {TAG} )* [+\u2212\u2013\u2014-]? \.? [0-9]")


def _end_of_scale(value: float) -> str:
    """The pattern of an end of the scale as judges write it: "5", "5.0", "five"."""
    digits = re.escape(f"{value:.10g}") + (r"(?:\.0+)?" if value == int(value) else "0*")
    return f"(?:{digits}|{_IN_WORDS[int(value)]})" if value in _IN_WORDS else f"(?:{digits})"


@lru_cache
def _claim(scoring: Scoring) -> re.Pattern[str]:
    """The grammar of a claim (see the module's text) on that scale."""
    top, bottom = _end_of_scale(scoring.highest), _end_of_scale(scoring.lowest)
    low, high = rf"(?:0|1|zero|one|{bottom})", rf"{top}{_END_OF_NUMBER}"
    percent = rf"| (?: % | per\s?cent \b ) (?: \s+ out\s+of\s+ {high} %? )?" if scoring.highest == 100 else ""
    of_top = rf"""(?:
        [/\u2044\u2215\uff0f] {_GAP} {high}
      | (?:out\s+)? of\s+ (?:(?:a|the)\s+)? (?:(?:possible|maximum|max|total)\s+)? (?:of\s+)? {_GAP} {high}
      | on\s+(?:a|the)\s+scale\s+(?:of|from)\s+ {low} \s*(?:to|-|\u2013)\s* {high}
      | on\s+(?:a|the)\s+ (?: {top}[ -]point | {low}(?:-|\u2013|\s+to\s+){top} ) \s+scale\b
      | max(?:imum)?(?:\s+of)? :?[ ]? {high}
      {percent}
    )"""
    scale = f"(?: {_GAP} {_UNIT} )? (?: {_GAP} {of_top} (?: {_GAP} {_UNIT} )? )?"
    stops = STOPS if scoring.words == PAPERS_SCORING.words else STOPS + WIDE_STOPS
    return grammar(rf"""
        (?P<lead> (?: [{SPACE}\r\n{MARKS}] | {TAG} )* )
        (?P<open> < {_GAP} )?
        \+? (?P<number> {_NUMBER} ) {_END_OF_NUMBER}
        {scale}
        (?(open) {_GAP} > {scale} )
        (?: [{SPACE}]* \( {_GAP} (?P<again> {_NUMBER} ) {_END_OF_NUMBER} {scale} {_GAP} \) {_GAP} )?
        (?P<end>
            (?: [{SPACE}{MARKS}{stops}] | {TAG} )*
          | (?P<prose>
                (?: [{SPACE}]* (?: [{MARKS}{stops}\u2013\u2014] | {TAG} | -+(?=[{SPACE}]) )
                  | [{SPACE}]+ (?=(?:because|since|as|due|given|the|this|it|overall)\b) )
                (?: {TAG} | [{SPOKEN}] )*+ )
        )
        {LINE_END}
    """)


_NUMBER_WORD = r"""(?: zero | one | two | three | four | five | six | seven | eight | nine | ten | eleven | twelve
    | dozen | \w+teen | (?:twen|thir|for|fif|six|seven|eigh|nine)ty | hundred | thousand | half | halves | quarters?
    | thirds | fifths | tenths )\b"""
_HIDDEN = grammar(
    rf"\b(?: {_NUMBER_WORD} | (?: percent\w* | per\s+cent | scale | max | maximum | plus | minus | equals )\b )"
)
_DOUBT = grammar(r"""
    [^\w.!;]* \b(?: or | maybe | perhaps | possibly | probably | approximately | roughly | about
    | around | almost | nearly | at\s+(?:least|most) | if )\b""")
_MARGIN = rf"[\s\u00a0{MARKS}]*+"
_GOES_ON = grammar(rf"""
    {_MARGIN} (?: \+ | = (?!=) | -> | [/\u2044\u2215\uff0f\u00d7\u2192%~\u2248]
      | (?: out\s+of | of | on | to | or | and | plus | minus | max | maximum | scale )\b
        [^\r\n]* (?: \d | \b{_NUMBER_WORD} )
      | [0-9.,]++ [{SPACE}{MARKS}]*+ {LINE_END} )
""")
_LIST_GOES_ON = grammar(rf"{_MARGIN} [+\u2022\u2013-]? {_MARGIN} [0-9]")
_TOTAL_BELOW = grammar(rf"[\r\n] [{SPACE}{MARKS}]*+ (?: = (?!=) | (?:total|sum)\b [^\r\n:=]* [:=] )")

_REASONS = {"none": "no_score", "unreadable": "off_scale", "different": "different_scores"}


def to_judge(responses: Frame, prompts: Frame) -> pl.LazyFrame:
    """What is judged: response_id, prompt, response, of every response that is no duplicate, in their order."""
    return (
        responses.lazy()
        .filter(pl.col("duplicate_of").is_null())
        .join(prompts.lazy(), on="prompt_id", how="left", maintain_order="left")
        .select("response_id", "prompt", "response")
    )


def judgments(completions: pl.LazyFrame, scoring: Scoring = PAPERS_SCORING) -> pl.LazyFrame:
    """The judgments with their scores, lazily: columns of `JUDGMENTS`.

    completions: request_id (of the response judged), sample, text, finish_reason, token_ids.
    """
    rows = completions.select(
        judgment_id=judgment_ids("request_id", "sample"),
        response_id="request_id",
        n=pl.col("sample").cast(pl.Int32),
        judgment="text",
        finish_reason="finish_reason",
        token_ids="token_ids",
    )
    return with_scores(rows, scoring).select(list(JUDGMENTS.columns))


def parse_score(text: str, scoring: Scoring = PAPERS_SCORING) -> tuple[float | None, str | None]:
    """The score that a judgment gives on the scale, or None and the reason (`mr_assets.method.dropped.REASONS`).

    Total: any text has an answer. `with_scores` does the same for a column.
    """
    found = [_value(claim, scoring) for claim in claims(text, label(scoring.words)) if _GIVEN.match(claim)]
    return agreed(found, **_REASONS)


def with_scores(judgments: F, scoring: Scoring = PAPERS_SCORING) -> F:
    """Add ``score`` and ``invalid`` to a frame with the column ``judgment``; what `parse_score` does, streaming."""
    parse = partial(parse_score, scoring=scoring)
    return with_parsed(judgments, "judgment", "score", pl.Float64, label(scoring.words), parse)


def response_scores(responses: Frame, judgments: Frame) -> pl.LazyFrame:
    """One row per response that is not a duplicate, sorted by response_id; lazy, so that unused columns are not read.

    Columns: response_id, prompt_id, k, judgments (sampled), valid (those with a score), mean (the reward: mean of the
    valid scores, null if there is none), variance (ddof 0, null if fewer than two are valid), chars (length of the
    response in characters), finish_reason, response. Mean and variance are rounded to `DECIMALS`.
    """
    score = pl.col("score")
    given = (
        judgments.lazy()
        .group_by("response_id")
        .agg(
            judgments=pl.len().cast(pl.Int64),
            valid=score.count().cast(pl.Int64),
            mean=score.mean().round(DECIMALS),
            variance=pl.when(score.count() >= 2).then(score.var(ddof=0).round(DECIMALS)),
        )
    )
    return (
        responses.lazy()
        .filter(pl.col("duplicate_of").is_null())
        .select("response_id", "prompt_id", "k", "finish_reason", "response")
        .join(given, on="response_id", how="left")
        .select(
            "response_id",
            "prompt_id",
            "k",
            pl.col("judgments", "valid").fill_null(0),
            "mean",
            "variance",
            pl.col("response").str.len_chars().cast(pl.Int64).alias("chars"),
            "finish_reason",
            "response",
        )
        .sort("response_id")
    )


def number_at(text: str, scoring: Scoring = PAPERS_SCORING) -> int | None:
    """Where in a judgment the first number stands that gives its score; None where it gives none."""
    if parse_score(text, scoring)[0] is None:
        return None
    said, read = answer(text), _claim(scoring)
    before = text.rindex(said)
    for found in re.finditer(label(scoring.words), said, re.ASCII):
        claim = read.match(said[found.end() :])
        if claim is not None:
            return before + found.end() + claim.start("number")
    return None


def _value(claim: str, scoring: Scoring) -> float | None:
    """The number that a claim gives, or None if it is not plainly one on the scale."""
    read = _claim(scoring).match(claim)
    if read is None:
        return None
    value, again, below = float(read["number"]), read["again"], claim[read.end() :]
    heading, remark = "\n" in read["lead"] or "\r" in read["lead"], read["prose"] is not None
    if not scoring.lowest <= value <= scoring.highest:
        return None
    if (again is not None and float(again) != value) or (heading and remark):
        return None
    if _HIDDEN.search(read["end"]) or _DOUBT.match(read["end"]):
        return None
    if _GOES_ON.match(below) or _TOTAL_BELOW.search(below) or ((heading or remark) and _LIST_GOES_ON.match(below)):
        return None
    return value
