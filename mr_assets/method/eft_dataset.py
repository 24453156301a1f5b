"""The EFT dataset from rankings: what is kept of the seed model's judgments, and what is made of ranks alone.

A round is one judgment of each reply to a prompt: those with the same n. It is kept if its scores rank the replies as
people did (Yuan et al. 2024, section 3.1): no reply has a higher score than one that people ranked above it, and the
best has a higher score than the last. Of three replies, the best first:

    5, 4, 2    kept
    5, 5, 2    kept: equal scores contradict nobody
    5, 2, 4    dropped, ranks_differ
    4, 4, 4    dropped, all_scores_equal
    5, -, 2    kept, both of them; the judgment without a score is dropped by its own reason

Then the commonest score is thinned: a seeded draw keeps as many of its judgments as the next most common score has.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import polars as pl

from mr_assets.ids import eft_example
from mr_assets.judging import PAPERS_SCORING, PAPERS_VERDICTS, Scoring, Verdicts
from mr_assets.method.dropped import dropped, gathered
from mr_assets.method.judgments import with_scores
from mr_assets.method.ranked_replies import by_prompt, in_parts
from mr_assets.tables import EFT_DATASET, INSTRUCTION, JUDGMENT, META_JUDGMENT, Selected, draws
from mr_assets.templates import Template

PLACES = ("last", "near the last", "below the middle", "above the middle", "near the best", "best")
"""Where people ranked a reply, by the six levels of a scale: of the paper's, 0, 1, ... 5."""
_MADE = (
    "This judgment is made from ranks: of the replies to this question that were compared, people ranked this one {}."
    "\n\n{}: {:g}"
)
_COMPARED = (
    "This comparison is made from ranks: people's rank of the response gives the score {:g}, which {} has.\n\n{}: {}"
)
_JUDGED = {"judgment_id": pl.String, "response_id": pl.String, "judgment": pl.String, "score": pl.Float64}


class Judge(NamedTuple):
    """The judge prompt, and how a judgment gives its score."""

    template: Template
    scoring: Scoring = PAPERS_SCORING


class MetaJudge(NamedTuple):
    """The meta-judge prompt, and how a meta-judgment names the winner."""

    template: Template
    verdicts: Verdicts = PAPERS_VERDICTS


class Example(NamedTuple):
    """An example: its id and kind, the reply that it is of, what is asked and said; of a judgment its score and id."""

    example_id: str
    kind: str
    reply: Mapping[str, Any]
    prompt: str
    completion: str
    score: float | None = None
    judgment_id: str | None = None


def eft_dataset(
    replies: pl.DataFrame,
    judgments: pl.DataFrame | None,
    *,
    judge: Judge,
    meta_judge: MetaJudge,
    shares: Mapping[str, float],
    examples: int | None,
    seed: int,
) -> Selected:
    """Rows of `EFT_DATASET` with `EFT_ORIGIN`, in the order of their ids; what is held out is not looked at.

    replies: rows of `RANKED_REPLIES`; judgments: rows of `EFT_JUDGMENTS`, None to make them of the ranks.
    shares: of META_JUDGMENT and INSTRUCTION among the examples, which are made of ranks; judgments are the rest. As
    many examples are taken, at most `examples`, as give these shares.
    """
    train, _ = in_parts(replies)
    if judgments is None:
        kept, left = from_ranks(train, judge.scoring), []
    else:
        given = as_written(judgments, judge.scoring) if judge.scoring.expected else judgments
        agreed = agreeing(given, train)
        kept, left = agreed.rows, [agreed.dropped]
    thin = thinned(kept, seed)
    by_id = {row["response_id"]: row for row in train.iter_rows(named=True)}
    by_kind = {
        JUDGMENT: list(_judged(thin.rows, by_id, judge.template, sampled=judgments is not None)),
        META_JUDGMENT: list(_compared(train, judge.scoring, meta_judge, seed)),
        INSTRUCTION: [_answered(ranked[0]) for ranked in by_prompt(train)],
    }
    wanted = counts({kind: len(found) for kind, found in by_kind.items()}, shares, examples)
    rows: list[Example] = []
    surplus: list[Example] = []
    for kind, found in by_kind.items():
        order = draws([each.example_id for each in found], seed)
        drawn = [each for _, each in sorted(zip(order, found, strict=True), key=lambda pair: pair[0])]
        rows += drawn[: wanted[kind]]
        surplus += drawn[wanted[kind] :] if kind == JUDGMENT else []
    left += [thin.dropped, dropped(_frame(surplus), "example_id", "kind_share", ["kind"])]
    return Selected(_frame(rows).sort("example_id"), gathered(*left))


def as_written(judgments: pl.DataFrame, scoring: Scoring) -> pl.DataFrame:
    """Judgments whose scores are expectations, with those that their texts give: the texts are what is trained on."""
    return with_scores(judgments.drop("score", "invalid"), scoring)


def agreeing(judgments: pl.DataFrame, replies: pl.DataFrame) -> Selected:
    """The judgments of the rounds that rank the replies as people did: judgment_id, response_id, judgment, score.

    judgments: response_id, n, judgment_id, judgment, score, invalid; replies: response_id, tree_id, rank.
    Every other judgment is dropped, with the scores of its round from the best reply to the last.
    """
    known = replies.select("response_id", "tree_id", "rank")
    given = judgments.join(known, on="response_id").sort("tree_id", "n", "rank")
    kept: list[tuple[str, str, str, float]] = []
    out: list[dict[str, Any]] = []
    for _, round_ in groupby(given.iter_rows(named=True), key=lambda row: (row["tree_id"], row["n"])):
        rows = list(round_)
        scores = [row["score"] for row in rows]
        fault = _fault([score for score in scores if score is not None])
        for row in rows:
            if row["score"] is not None and fault is None:
                kept.append((row["judgment_id"], row["response_id"], row["judgment"], row["score"]))
            else:
                reason = row["invalid"] if row["score"] is None else fault
                out.append({"id": row["judgment_id"], "reason": reason, "scores": scores})
    schema: dict[str, Any] = {"id": pl.String, "reason": pl.String, "scores": pl.List(pl.Float64)}
    return Selected(
        pl.DataFrame(kept, schema=_JUDGED, orient="row"),
        dropped(pl.DataFrame(out, schema=schema), "id", pl.col("reason"), ["scores"]),
    )


def _fault(scores: Sequence[float]) -> str | None:
    """Why scores, of the best reply first, do not rank as people did; None if they do."""
    if len(scores) < 2:
        return "only_score"
    if any(worse > better for better, worse in pairwise(scores)):
        return "ranks_differ"
    return "all_scores_equal" if scores[0] == scores[-1] else None


def thinned(judgments: pl.DataFrame, seed: int) -> Selected:
    """The judgments, of the commonest score no more than of the next most common; a seeded draw says which.

    Columns in: judgment_id, score. Where two scores are the commonest, or there is one score alone, nothing is dropped.
    """
    count = judgments.group_by("score").len().sort("len", "score", descending=True)
    if count.height < 2:
        return Selected(judgments, gathered())
    (commonest, most), (_, next_most) = count.head(2).iter_rows()
    drawn = judgments.with_columns(draw=pl.Series(draws(judgments["judgment_id"], seed), dtype=pl.Int64))
    place = pl.col("draw").rank("ordinal").over("score")
    out = drawn.filter((pl.col("score") == commonest) & (place > next_most)).with_columns(
        count=pl.lit(most), next=pl.lit(next_most)
    )
    rows = judgments.join(out, on="judgment_id", how="anti", maintain_order="left")
    return Selected(rows, dropped(out, "judgment_id", "commonest_score", ["score", "count", "next"]))


def score_of(place: int, replies: int, scoring: Scoring = PAPERS_SCORING) -> float:
    """The score of a reply's place among so many: the best the highest, the last the lowest, others evenly between.

    In whole steps from the highest down. From 0 to 5 and of three replies 5, 3, 0; of four 5, 4, 2, 0.
    """
    if place == replies - 1:
        return scoring.lowest
    return scoring.highest - (scoring.highest - scoring.lowest) * place // (replies - 1)


def from_ranks(replies: pl.DataFrame, scoring: Scoring = PAPERS_SCORING) -> pl.DataFrame:
    """A judgment of each reply made of its rank: judgment_id, response_id, judgment, score; it says that it is made."""
    rows = [
        (eft_example(reply["response_id"], "rank"), reply["response_id"], _made(score, scoring), score)
        for reply, score in _scored(replies, scoring)
    ]
    return pl.DataFrame(rows, schema=_JUDGED, orient="row")


def _made(score: float, scoring: Scoring) -> str:
    level = (score - scoring.lowest) / (scoring.highest - scoring.lowest) * (len(PLACES) - 1)
    return _MADE.format(PLACES[round(level)], scoring.words, score)


def shares_of(meta_judgments: float, instructions: float) -> dict[str, float]:
    """The shares of the kinds beside JUDGMENT, by kind."""
    return {META_JUDGMENT: meta_judgments, INSTRUCTION: instructions}


def counts(there: Mapping[str, int], shares: Mapping[str, float], most: int | None) -> dict[str, int]:
    """How many examples of each kind are taken: the shares, and as many in all as what is there allows.

    there: examples by kind; shares: of the kinds beside JUDGMENT, which is the rest; most: of all kinds together.
    """
    rest = {kind: share for kind, share in shares.items() if share}
    whole = {**rest, JUDGMENT: 1 - sum(rest.values())}
    total = min(there[kind] / share for kind, share in whole.items())
    total = int(min(total + 1e-9, total if most is None else most))
    taken = {kind: min(there[kind], round(share * total)) for kind, share in rest.items()}
    return {**dict.fromkeys(there, 0), **taken, JUDGMENT: min(there[JUDGMENT], total - sum(taken.values()))}


def _scored(replies: pl.DataFrame, scoring: Scoring) -> Iterator[tuple[dict[str, Any], float]]:
    for ranked in by_prompt(replies):
        for place, reply in enumerate(ranked):
            yield reply, score_of(place, len(ranked), scoring)


def _judged(
    judgments: pl.DataFrame, replies: Mapping[str, Mapping[str, Any]], judge: Template, *, sampled: bool
) -> Iterator[Example]:
    for judgment, response, text, score in judgments.select(list(_JUDGED)).iter_rows():
        asked = judge.fill({name: replies[response][name] for name in judge.fields})
        yield Example(judgment, JUDGMENT, replies[response], asked, text, score, judgment if sampled else None)


def _compared(replies: pl.DataFrame, scoring: Scoring, meta_judge: MetaJudge, seed: int) -> Iterator[Example]:
    """Of each reply the judgment made of its rank against those of the other levels; a draw says which is first."""
    template, verdicts = meta_judge
    levels = dict.fromkeys(score_of(place, len(PLACES), scoring) for place in range(len(PLACES)))
    for reply, right in _scored(replies, scoring):
        for wrong in (level for level in levels if level != right):
            example = eft_example(reply["response_id"], f"meta{wrong:g}")
            first = draws([example], f"order {seed}")[0] % 2 == 0
            a, b = (right, wrong) if first else (wrong, right)
            values = {
                **{name: reply[name] for name in ("prompt", "response")},
                "judgment_a": _made(a, scoring),
                "judgment_b": _made(b, scoring),
            }
            winner = verdicts.first if first else verdicts.second
            said = _COMPARED.format(right, winner, verdicts.words, winner)
            yield Example(example, META_JUDGMENT, reply, template.fill(values), said)


def _answered(best: Mapping[str, Any]) -> Example:
    """An instruction: the prompt, and the reply that people ranked best."""
    return Example(eft_example(best["response_id"], "answer"), INSTRUCTION, best, best["prompt"], best["response"])


def _frame(examples: Sequence[Example]) -> pl.DataFrame:
    rows = [
        (
            each.example_id,
            [{"role": "user", "content": each.prompt}],
            [{"role": "assistant", "content": each.completion}],
            each.kind,
            *(each.reply[name] for name in ("tree_id", "message_id", "rank")),
            each.judgment_id,
            each.score,
        )
        for each in examples
    ]
    return pl.DataFrame(rows, schema=EFT_DATASET.whole_schema, orient="row")
