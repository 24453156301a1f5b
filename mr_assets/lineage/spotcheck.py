"""Your own eyes on the judge: pairs shown blind, your answers, and how often the judge agrees with you.

    data/RUN/spotcheck.jsonl
    {"pair_id": "2.3f1c09aa72be.actor", "version": "5d0e...", "a": "rejected", "answer": "b", "at": "2026-11-29T..."}

The answer above prefers the chosen side. Pairs come in an order, and with their sides, as drawn from their ids: nobody
can tell from either what the judge preferred. An answer counts as long as its pair is of the same version.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import polars as pl

from mr_assets.errors import UserError, shown
from mr_assets.files import full_disk_told
from mr_assets.ids import PAIR_ASSETS, PairKind, iteration_of, kind_of_pair, response_of
from mr_assets.lineage.pairs import pairs, with_texts
from mr_assets.lineage.rows import read
from mr_assets.method.intervals import Z, wilson
from mr_assets.runs.object_store import store_of
from mr_assets.runs.run import Run
from mr_assets.tables import draws

Key = Literal["a", "b", "tie", "skip"]
Side = Literal["chosen", "rejected"]
SIDES: tuple[Side, Side] = ("chosen", "rejected")


@dataclass(frozen=True)
class Answer:
    """One line of the file. version: of the table that the pair is in; a: the side shown as A; at: when, ISO, UTC."""

    pair_id: str
    version: str
    a: Side
    answer: Key
    at: str

    @property
    def agrees(self) -> bool | None:
        """Whether the side that a person preferred is the chosen one; None for a tie and a skip."""
        return None if self.answer in ("tie", "skip") else (self.answer == "a") == (self.a == "chosen")


@dataclass(frozen=True)
class Blind:
    """A pair as it is shown: texts without a word on which one was chosen. prompt and texts may have many lines."""

    pair_id: str
    iteration: str
    version: str
    a: Side
    prompt: str
    first: str
    second: str


@dataclass(frozen=True)
class Agreement:
    """How often a person preferred the chosen side, of one iteration.

    share: agree / (agree + disagree), with its 95% Wilson interval; None of no answer that decides. needed: further
    decided answers until the interval would leave 1/2, if the share stays; 0 if it has, None at a share of 1/2.
    """

    iteration: str
    agree: int
    disagree: int
    ties: int
    skipped: int
    share: float | None
    low: float | None
    high: float | None
    needed: int | None


def file_of(run: Run) -> Path:
    """Where a run's answers are appended; with an object store, it alone has that file, whichever host asks."""
    return run.folder / "spotcheck.jsonl"


def answers(run: Run) -> list[Answer]:
    """All answers, in their order; the last one to a pair counts. A line that a kill cut short is no answer.

    Raises `UserError` for a line within the file that is none.
    """
    path, store = file_of(run), store_of(run.folder)
    text = store.seen(path)[0] if store else path.read_text(encoding="utf-8") if path.exists() else ""
    place = store.address(path) if store else str(path)
    found: dict[tuple[str, str], Answer] = {}
    lines = text.split("\n")
    for number, line in enumerate(lines[:-1] if not text.endswith("\n") else lines, start=1):
        if line.strip():
            one = _parsed(place, number, line)
            found[one.pair_id, one.version] = one
    return list(found.values())


def _parsed(path: str, number: int, line: str) -> Answer:
    try:
        said = json.loads(line)
        one = Answer(**{name: said[name] for name in Answer.__dataclass_fields__})
        if one.a in SIDES and one.answer in get_args(Key):
            return one
    except (ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{path}, line {number} is no answer of a spot check. Mend or remove the line.")


def append(run: Run, answer: Answer) -> None:
    """Add an answer to the run's file: on the disk, or in the object store, when this returns."""
    path, line = file_of(run), json.dumps(asdict(answer), ensure_ascii=False) + "\n"
    if store := store_of(run.folder):
        store.append(path, line)
        return
    with full_disk_told(path):
        kept = path.read_bytes() if path.exists() else b""
        if not kept.endswith(b"\n") and kept:  # what a kill cut short
            os.truncate(path, kept.rfind(b"\n") + 1)
        with open(path, "a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def answered(run: Run, pair_id: str, version: str, key: Key, at: str, seed: int = 0) -> bool:
    """Add the answer to a pair as `to_ask` with this seed showed it; False, and nothing added, if it has one.

    Raises `UserError` if the run has no such pair, or made its table again since.
    """
    t, kind = iteration_of(pair_id), kind_of_pair(pair_id)
    record = run.record(PAIR_ASSETS[kind], t) if t in run.iterations else None
    if record is None or read(run, PAIR_ASSETS[kind], t, ["pair_id"], pl.col("pair_id") == pair_id).is_empty():
        raise UserError(f"run {run.name} has no pair {shown(pair_id)}. Nothing was written.")
    if record.version != version:
        raise UserError(
            f"{PAIR_ASSETS[kind]} of iteration {t} were re-materialized since {pair_id} was shown. Nothing was "
            "written: look at the pair as it is now."
        )
    if any((one.pair_id, one.version) == (pair_id, version) for one in answers(run)):
        return False
    append(run, Answer(pair_id, version, shown_as_a(pair_id, seed), key, at))
    return True


def shown_as_a(pair_id: str, seed: int) -> Side:
    """The side of a pair that is shown as A."""
    return SIDES[0] if draws([pair_id], f"spotcheck side|{seed}")[0] % 2 else SIDES[1]


def to_ask(
    run: Run, kind: PairKind = "actor", iterations: Sequence[str] | None = None, seed: int = 0
) -> Iterator[Blind]:
    """The pairs that have no answer yet, in an order drawn from their ids and `seed`, those of all iterations mixed.

    Raises `UserError` if there is no pair.
    """
    found = pairs(run, iterations, [kind])
    if found.is_empty():
        raise UserError(f"run {run.name} has no {kind} pairs yet. `mr status {run.name}` says what is there.")
    versions = {t: record.version for t in run.iterations if (record := run.record(PAIR_ASSETS[kind], t))}
    there = {(one.pair_id, one.version) for one in answers(run)}
    drawn = found.with_columns(draw=pl.Series(draws(found["pair_id"], f"spotcheck|{seed}"), dtype=pl.Int64))
    for row in drawn.sort("draw", "pair_id").iter_rows(named=True):
        version = versions[row["iteration"]]
        if (row["pair_id"], version) in there:
            continue
        [pair] = with_texts(run, found.filter(pl.col("pair_id") == row["pair_id"])).iter_rows(named=True)
        a = shown_as_a(row["pair_id"], seed)
        b = SIDES[1 - SIDES.index(a)]
        asked = pair["prompt"] if kind == "actor" else _judged(run, row["iteration"], pair)
        if asked is not None and pair[a] is not None and pair[b] is not None:
            yield Blind(row["pair_id"], row["iteration"], version, a, asked, pair[a], pair[b])


def _judged(run: Run, t: str, pair: Mapping[str, Any]) -> str | None:
    """The prompt and the response that two judgments are of; None if they are there no more."""
    identity = response_of(pair["chosen_id"])
    found = read(run, "responses", t, ["response"], pl.col("response_id") == identity)["response"].to_list()
    if pair["prompt"] is None or not found:
        return None
    return f"{pair['prompt']}\n\nThe response judged:\n\n{found[0]}"


def agreement(run: Run, kind: PairKind = "actor") -> list[Agreement]:
    """The judge's agreement with the answers, by iteration; iterations without an answer are left out."""
    said = answers(run)
    found = []
    for t in run.iterations:
        record = run.record(PAIR_ASSETS[kind], t)
        mine = [
            one
            for one in said
            if record
            and one.version == record.version
            and (iteration_of(one.pair_id), kind_of_pair(one.pair_id)) == (t, kind)
        ]
        if mine:
            found.append(_counted(t, mine))
    return found


def _counted(t: str, said: Sequence[Answer]) -> Agreement:
    agree, disagree = (sum(one.agrees is side for one in said) for side in (True, False))
    ties, skipped = (sum(one.answer == key for one in said) for key in ("tie", "skip"))
    decided = agree + disagree
    if not decided:
        return Agreement(t, agree, disagree, ties, skipped, None, None, None, None)
    share = agree / decided
    return Agreement(t, agree, disagree, ties, skipped, share, *wilson(share, decided), needed(share, decided))


def needed(share: float, decided: int) -> int | None:
    """Further answers until Wilson's interval of `share` leaves 1/2, which it does above Z^2 / (4 (share - 1/2)^2)."""
    if share == 0.5:
        return None
    return max(0, math.floor(Z**2 / (4 * (share - 0.5) ** 2)) + 1 - decided)
