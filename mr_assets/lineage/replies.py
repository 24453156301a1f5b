"""The lineage of EFT data that is made of people's rankings: a ranked reply, its judgments, and what was made of it.

eft.77b0c2d4e5f6.r1            the reply that people ranked second: its tree, message, rank and prompt
eft.77b0c2d4e5f6.r1.j10        the seed model's judgment 10 of it: kept, or dropped and why
eft.77b0c2d4e5f6.r1.answer     an example that was made of it
"""

import json
from collections.abc import Iterator
from typing import Any

import polars as pl

from mr_assets.ids import Id, reply_of
from mr_assets.lineage.facts import Dropped, EftJudgment, Example, Provenance, Reply
from mr_assets.lineage.rows import dropped, has_row, read
from mr_assets.lineage.staleness import Staleness
from mr_assets.loop import Place
from mr_assets.method.dropped import REASONS, in_words
from mr_assets.runs.run import Run

REPLIES: Place = ("ranked_replies", None)
JUDGMENTS: Place = ("eft_judgments", None)
DATASET: Place = ("eft_dataset", None)


def has_reply(run: Run, found: Id) -> bool:
    """Whether a run has a ranked reply of that id, or one that an id of a judgment or an example is of and that itself.

    What was dropped counts: why it is no example can be answered.
    """
    if not _there(run, REPLIES) or not has_row(run, *REPLIES, reply_of(found.text)):
        return False
    if found.kind == "reply":
        return True
    among = [place for place in (JUDGMENTS, DATASET) if _there(run, place) and has_row(run, *place, found.text)]
    return bool(among) or (_there(run, DATASET) and not dropped(run, *DATASET, pl.col("id") == found.text).is_empty())


def reply(staleness: Staleness, identity: str) -> Reply:
    """A ranked reply by its id, with the judgments and examples that were made of it as it is now."""
    run, found = staleness.run, reply_of(identity)
    row = read(run, *REPLIES, where=pl.col("response_id") == found).row(0, named=True)
    whole = staleness.made_of(DATASET, REPLIES) and _there(run, DATASET)
    examples = tuple(_examples(staleness, found)) if whole else ()
    out = tuple(_dropped(staleness, found)) if whole else ()
    judged = _there(run, JUDGMENTS) and staleness.made_of(JUDGMENTS, REPLIES)
    why_not = {each.id: each for each in out}
    kept = {each.id for each in examples}
    return Reply(
        id=found,
        tree_id=row["tree_id"],
        message_id=row["message_id"],
        rank=row["rank"],
        replies=row["replies"],
        held_out=row["held_out"],
        prompt=row["prompt"],
        text=row["response"],
        judgments=tuple(_judgments(staleness, found, kept, why_not)) if judged else (),
        examples=examples,
        dropped=out,
        provenance=_provenance(staleness, REPLIES),
    )


def _there(run: Run, place: Place) -> bool:
    return place[0] in run.loop and run.record(*place) is not None and run.path(*place).exists()


def _provenance(staleness: Staleness, place: Place) -> Provenance:
    record = staleness.record(place)
    assert record is not None, place
    return Provenance.of(record)


def _below(key: str, identity: str) -> pl.Expr:
    return pl.col(key).str.starts_with(f"{identity}.")


def _examples(staleness: Staleness, identity: str) -> Iterator[Example]:
    by = _provenance(staleness, DATASET)
    for row in read(staleness.run, *DATASET, where=_below("example_id", identity)).iter_rows(named=True):
        texts = row["prompt"][0]["content"], row["completion"][0]["content"]
        yield Example(row["example_id"], row["kind"], *texts, row["score"], row["judgment_id"], by)


def _dropped(staleness: Staleness, identity: str) -> Iterator[Dropped]:
    by = _provenance(staleness, DATASET)
    for each, reason, numbers in dropped(staleness.run, *DATASET, _below("id", identity)).iter_rows():
        given: dict[str, Any] = json.loads(numbers)
        yield Dropped(each, reason, in_words(reason, given), given, by)


def _judgments(
    staleness: Staleness, identity: str, kept: set[str], why_not: dict[str, Dropped]
) -> Iterator[EftJudgment]:
    by, columns = _provenance(staleness, JUDGMENTS), ("judgment_id", "n", "judgment", "score", "invalid")
    rows = read(staleness.run, *JUDGMENTS, columns, pl.col("response_id") == identity).sort("n")
    for judgment, n, text, score, invalid in rows.iter_rows():
        unread = score is None and invalid is not None  # one that was asked again keeps why it had none
        why = REASONS.get(invalid, invalid) if unread else why_not[judgment].why if judgment in why_not else None
        yield EftJudgment(judgment, n, text, score, judgment in kept, why, by)
