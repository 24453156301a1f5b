"""Pairs to read: those that the judge got most right and most wrong, and those where you or the truth say otherwise.

Where no truth is known, the judge's own score gap and the reward margin after training stand in for it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from mr_assets.lineage.pairs import pairs, with_texts
from mr_assets.lineage.spotcheck import answers
from mr_assets.runs.estimates import number
from mr_assets.runs.run import Run

EACH = 4
"""Examples of each kind: of three kinds, so twelve."""
LONGEST = 1500
"""Characters of a text that are shown."""


@dataclass(frozen=True)
class Example:
    """A pair and why it is shown. chosen and rejected: by the run's judge; the texts may have many lines."""

    why: str
    run: str
    pair_id: str
    said: str
    prompt: str
    chosen: str
    rejected: str


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
    """At most twelve actor pairs of a run that are worth reading, none of them twice; of equal ones the latest."""
    found = pairs(run, kinds=["actor"])
    disagreed = [one.pair_id for one in answers(run) if one.agrees is False]
    yours = _Kind(_YOU, pl.col("pair_id").is_in(disagreed), "score_gap")
    why: dict[str, str] = {}
    for kind in (yours, *_TRUTH, *_NO_TRUTH):
        rest = found.filter(kind.where & ~pl.col("pair_id").is_in(list(why)))
        order = rest.sort(kind.by, pl.col("iteration").cast(pl.Int64), descending=[kind.descending, True])
        why |= dict.fromkeys(order["pair_id"].head(EACH), kind.why)
    return list(_shown(run, found, list(why.items())[: 3 * EACH]))


def _shown(run: Run, found: pl.DataFrame, chosen: Sequence[tuple[str, str]]) -> Iterator[Example]:
    """The examples with their texts; those whose texts were made again since are left out."""
    rows = with_texts(run, found.filter(pl.col("pair_id").is_in([pair_id for pair_id, _ in chosen])))
    by_id = {row["pair_id"]: row for row in rows.iter_rows(named=True)}
    for pair_id, why in chosen:
        row = by_id[pair_id]
        if None in (row["prompt"], row["chosen"], row["rejected"]):
            continue
        gaps = {"score gap": row["score_gap"], "true gap": row["true_gap"], "reward margin": row["reward_margin"]}
        said = ", ".join(f"{name} {number(gap, '+')}" for name, gap in gaps.items() if gap is not None)
        texts = (row[name][:LONGEST] + "…" * (len(row[name]) > LONGEST) for name in ("prompt", "chosen", "rejected"))
        yield Example(why, run.name, pair_id, said, *texts)
