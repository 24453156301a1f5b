"""What to read: where the last model's answer is most better and most worse than the seed model's, and pairs on which
you or the truth disagree with the judge, or on which training went against it.

Answers are those to held-out prompts, by the scores of the judge that decides the win rates, or by a world's truth.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from mr_assets.ids import model_id
from mr_assets.lineage.pairs import pairs, with_texts
from mr_assets.lineage.spotcheck import answers
from mr_assets.runs.estimates import number
from mr_assets.runs.run import Run
from mr_assets.words import judge_in_words

EACH, ALL = 4, 12
"""Examples of each kind, and of all."""
LONGEST = 1500
"""Characters of a text that are shown."""


@dataclass(frozen=True)
class Example:
    """Two answers to a prompt, by what each is called, and why they are shown; the texts may have many lines.

    pair_id: of a pair of the run; "" for answers to a held-out prompt.
    """

    why: str
    run: str
    pair_id: str
    said: str
    prompt: str
    sides: dict[str, str]


@dataclass(frozen=True)
class _Kind:
    """Pairs worth reading: those for which `where` holds, by a column from its largest value, or from its smallest."""

    why: str
    where: pl.Expr
    by: str
    descending: bool = True


_YOU = "you disagree with the judge"
_TRUTH = (
    _Kind("the judge errs: the chosen one is truly worse, and by the most", pl.col("true_gap") < 0, "true_gap", False),
    _Kind("the judge errs where it was most sure", pl.col("true_gap") < 0, "score_gap"),
    _Kind("the judge is right: the chosen one is truly better, and by the most", pl.col("true_gap") > 0, "true_gap"),
)
_NO_TRUTH = (
    _Kind("the largest gap by the judge", pl.col("score_gap") > 0, "score_gap"),
    _Kind("training went against the judge", pl.col("reward_margin") < 0, "reward_margin", False),
    _Kind("training followed the judge most", pl.col("reward_margin") > 0, "reward_margin"),
)


def examples(run: Run) -> list[Example]:
    """At most twelve, none of them twice; of equal ones the latest."""
    changed = _gains_and_losses(run)
    found = pairs(run, kinds=["actor"])
    disagreed = [one.pair_id for one in answers(run) if one.agrees is False]
    yours = _Kind(_YOU, pl.col("pair_id").is_in(disagreed), "score_gap")
    why: dict[str, str] = {}
    for kind in (yours, *_TRUTH, *_NO_TRUTH):
        rest = found.filter(kind.where & ~pl.col("pair_id").is_in(list(why)))
        order = rest.sort(kind.by, pl.col("iteration").cast(pl.Int64), descending=[kind.descending, True])
        why |= dict.fromkeys(order["pair_id"].head(EACH), kind.why)
    return [*changed, *_shown(run, found, list(why.items())[: ALL - len(changed)])]


def _gains_and_losses(run: Run) -> list[Example]:
    """The held-out prompts to which the last model answers most better, and most worse, than the seed model did."""
    if "held_out_responses" not in run.loop:
        return []
    places = {key: run.path("held_out_responses", key) for key in run.models if run.record("held_out_responses", key)}
    answered = {key: pl.read_parquet(path, glob=False) for key, path in places.items() if path.exists()}
    if "seed" not in answered or len(answered) < 2:
        return []
    last, new = list(answered.items())[-1]
    before = answered["seed"].select("response_id", "response", "true_score")
    both, judge = new.join(before, on="response_id", suffix="_before"), "the truth"
    if "win_rates" in run.loop and run.record("win_rates", last) and run.path("win_rates", last).exists():
        judged = pl.read_parquet(run.path("win_rates", last), glob=False)
        scores = judged.select("response_id", "judge", after="score", before="seed_score")
        both, judge = both.join(scores, on="response_id"), next(iter(judged["judge"]), judge)
    else:
        both = both.with_columns(after="true_score", before="true_score_before")
    both = both.with_columns(gain=pl.col("after") - pl.col("before")).sort("gain", "response_id")
    gains, losses = both.filter(pl.col("gain") > 0).tail(EACH).reverse(), both.filter(pl.col("gain") < 0).head(EACH)
    return [
        Example(
            f"{why} by {judge_in_words(judge)}",
            run.name,
            "",
            f"score {number(row['before'])} to {number(row['after'])}",
            _cut(row["prompt"]),
            {model_id(last): _cut(row["response"]), "seed": _cut(row["response_before"])},
        )
        for why, rows in (("a best gain", gains), ("a worst loss", losses))
        for row in rows.iter_rows(named=True)
    ]


def _shown(run: Run, found: pl.DataFrame, chosen: Sequence[tuple[str, str]]) -> Iterator[Example]:
    """The pairs with their texts; those whose texts were re-materialized since are left out."""
    rows = with_texts(run, found.filter(pl.col("pair_id").is_in([pair_id for pair_id, _ in chosen])))
    by_id = {row["pair_id"]: row for row in rows.iter_rows(named=True)}
    for pair_id, why in chosen:
        row = by_id[pair_id]
        if None in (row["prompt"], row["chosen"], row["rejected"]):
            continue
        gaps = {"score gap": row["score_gap"], "true gap": row["true_gap"], "reward margin": row["reward_margin"]}
        said = ", ".join(f"{name} {number(gap, '+')}" for name, gap in gaps.items() if gap is not None)
        sides = {side: _cut(row[side]) for side in ("chosen", "rejected")}
        yield Example(why, run.name, pair_id, said, _cut(row["prompt"]), sides)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
