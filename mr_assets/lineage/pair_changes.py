"""Which preference pairs differ between two settings, or two runs, and why, with the numbers behind it.

    3f1c09aa72be  chosen changed  r1 -> r3  the top tier begins at 3.9, not 4.2: r3 (score 4, 41 characters) is in it
                                            and shorter than r1 (score 4.5, 57 characters)
    77d0b8c1e2f3  lost            r2 > r6   the chosen text has more characters than the threshold (r2 has 57, allowed
                                            are 50)

Pairs are compared by what is trained on, their texts, per prompt. Reasons of pairs that are not there are those of
the rows dropped (`mr_assets.method.dropped`).
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import polars as pl

from mr_assets.ids import prompt_of, short
from mr_assets.method.dropped import in_words
from mr_assets.tables import Selected

Outcome = Literal["same", "chosen changed", "rejected changed", "both changed", "gained", "lost", "no pair"]
OUTCOMES: tuple[Outcome, ...] = (
    *("same", "chosen changed", "rejected changed", "both changed"),
    *("gained", "lost", "no pair"),
)

_JUDGED = ("judgment_id", "judgment", "finish_reason")


@dataclass(frozen=True)
class Candidate:
    """A response or a judgment that may become one of a pair.

    worth: its mean score, or its Elo; null without a valid one. at_top, at_bottom: whether it is in the tier, or ties
    with the highest (lowest) Elo.
    """

    id: str
    text: str
    chars: int
    worth: float | None
    cut_off: bool
    at_top: bool
    at_bottom: bool


class Pair(NamedTuple):
    """The ids of a pair."""

    chosen: str
    rejected: str


@dataclass(frozen=True)
class Side:
    """The pairs that one setting gives, per prompt, and what they were taken from.

    missing: why a prompt has no pair, in words; bounds: where the top tier begins and the bottom tier ends; seed: of
    the draws between equals; by_length: whether a tier's shortest is chosen and its longest rejected.
    """

    pairs: dict[str, Pair]
    missing: dict[str, str]
    candidates: dict[str, dict[str, Candidate]]
    bounds: dict[str, tuple[float, float]]
    seed: int | str
    by_length: bool


class Change(NamedTuple):
    """A prompt whose pair differs: what became of it, the pairs before and after, and why."""

    prompt_id: str
    outcome: Outcome
    before: Pair | None
    after: Pair | None
    why: str


class Comparison(NamedTuple):
    """How many prompts have the same pair, another or none, and every difference, by prompt_id."""

    counts: dict[Outcome, int]
    changes: list[Change]


def actor_side(pairs: Selected, tiers: pl.DataFrame, seed: int | str) -> Side:
    """The side of actor pairs: `ACTOR_PAIRS` with what was dropped, and the `tiers` that they were taken from."""
    candidates: dict[str, dict[str, Candidate]] = {}
    bounds = {}
    columns = ("response_id", "response", "chars", "mean", "cut_off", "in_top", "in_bottom")
    rows = tiers.select("prompt_id", "top_from", "bottom_to", *columns).iter_rows()
    for prompt, top_from, bottom_to, *values in rows:
        candidates.setdefault(prompt, {})[values[0]] = Candidate(*values)
        if top_from is not None:
            bounds[prompt] = (top_from, bottom_to)
    reasons = _reasons(pairs.dropped)
    missing = {prompt: reasons[prompt] for prompt in candidates if prompt in reasons}
    return Side(_pairs(pairs.rows), missing, candidates, bounds, seed, by_length=True)


def judge_side(
    pairs: Selected, ratings: pl.DataFrame, judgments: pl.DataFrame, seed: int | str, tolerance: float
) -> Side:
    """The side of judge pairs: rows of `ELO_PAIRS` with what was dropped, and what they were taken from.

    ratings: response_id, judgment_ids and elo, two lists in the same order; judgments: rows of `JUDGMENTS`.
    """
    said = {i: (text, how == "length") for i, text, how in judgments.select(*_JUDGED).iter_rows()}
    reasons, candidates, missing = _reasons(pairs.dropped), {}, {}
    for response_id, ids, elo in ratings.select("response_id", "judgment_ids", "elo").iter_rows():
        prompt, high, low = prompt_of(response_id), max(elo) - tolerance, min(elo) + tolerance
        rated = {i: (*said[i], e) for i, e in zip(ids, elo, strict=True)}
        candidates[prompt] = {
            i: Candidate(i, text, len(text), e, cut_off, e >= high, e <= low) for i, (text, cut_off, e) in rated.items()
        }
        if response_id in reasons:
            missing[prompt] = reasons[response_id]
    return Side(_pairs(pairs.rows), missing, candidates, {}, seed, by_length=False)


def compare(before: Side, after: Side) -> Comparison:
    """Every prompt that either side knows: what became of its pair, and why."""
    counts: Counter[Outcome] = Counter()
    changes = []
    for prompt in sorted({*before.candidates, *after.candidates}):
        old, new = before.pairs.get(prompt), after.pairs.get(prompt)
        outcome = _outcome(_texts(before, prompt, old), _texts(after, prompt, new))
        counts[outcome] += 1
        if outcome not in ("same", "no pair"):
            why = "; ".join(_why(before, after, prompt, outcome, old, new))
            changes.append(Change(prompt, outcome, old, new, why))
    return Comparison({outcome: counts[outcome] for outcome in OUTCOMES}, changes)


def _outcome(old: tuple[str, str] | None, new: tuple[str, str] | None) -> Outcome:
    if old is None or new is None:
        return "no pair" if old == new else "gained" if old is None else "lost"
    chosen, rejected = old[0] != new[0], old[1] != new[1]
    if chosen and rejected:
        return "both changed"
    return "chosen changed" if chosen else "rejected changed" if rejected else "same"


def _texts(side: Side, prompt: str, pair: Pair | None) -> tuple[str, str] | None:
    known = side.candidates.get(prompt, {})
    return (known[pair.chosen].text, known[pair.rejected].text) if pair else None


def _why(before: Side, after: Side, prompt: str, outcome: Outcome, old: Pair | None, new: Pair | None) -> Iterator[str]:
    """The reasons of one difference, of either end that changed."""
    if new is None:
        yield after.missing.get(prompt, "there is nothing to pair")
    elif old is None:
        yield f"no longer: {before.missing.get(prompt, 'there was nothing to pair')}"
    else:
        if outcome in ("chosen changed", "both changed"):
            yield _why_other(before, after, prompt, old.chosen, new.chosen, top=True)
        if outcome in ("rejected changed", "both changed"):
            yield _why_other(before, after, prompt, old.rejected, new.rejected, top=False)


def _why_other(before: Side, after: Side, prompt: str, was: str, now: str, *, top: bool) -> str:
    """Why another candidate is the chosen (top) or the rejected one: the first thing that differs."""
    old, new = before.candidates[prompt], after.candidates[prompt]
    a, b = old[was], new[now]
    if was not in new or now not in old or new[was].text != a.text or old[now].text != b.text:
        return f"other texts: {_shown(b, after)} in place of {_shown(a, before)}"
    gone, came = new[was], old[now]
    if not after.by_length:
        return _why_elo(a, gone, came, b, after.seed, top=top)
    if (a.worth, came.worth) != (gone.worth, b.worth):
        return f"other scores: {_moved(a, gone)}, {_moved(came, b)}"
    tier, then, at = ("top", "begins", 0) if top else ("bottom", "ends", 1)
    bound = f"the {tier} tier {then} at {after.bounds[prompt][at]:.4g}, not {before.bounds[prompt][at]:.4g}"
    if not (came.at_top if top else came.at_bottom):
        longer = "shorter" if top else "longer"
        return f"{bound}: {_shown(b, after)} is in it and {longer} than {_shown(a, before)}"
    if not (gone.at_top if top else gone.at_bottom):
        extreme = "shortest" if top else "longest"
        return f"{bound}: {_shown(a, before)} is not in it, {_shown(b, after)} is the {extreme}"
    if top and a.cut_off != b.cut_off:
        which, may = (a, "may not be chosen now") if a.cut_off else (b, "may be chosen now")
        return f"{short(which.id)} was cut off at max tokens and {may}: {_shown(b, after)}, before {_shown(a, before)}"
    return f"both have {b.chars} characters: seed {after.seed} draws {short(b.id)}, not {short(a.id)}"


def _why_elo(a: Candidate, gone: Candidate, came: Candidate, b: Candidate, seed: int | str, *, top: bool) -> str:
    """The same for Elo: `a` became `gone`, `came` became `b`."""
    extreme = "highest" if top else "lowest"
    both = f"{_moved(came, b)}, {_moved(a, gone)}"
    if gone.at_top if top else gone.at_bottom:
        return f"{short(b.id)} and {short(a.id)} tie for the {extreme} Elo: seed {seed} draws {short(b.id)} ({both})"
    if (came.worth, a.worth) == (b.worth, gone.worth):
        return f"{short(a.id)} no longer ties with {short(b.id)} for the {extreme} Elo ({both})"
    return f"{short(b.id)} has the {extreme} Elo ({both})"


def _moved(was: Candidate, now: Candidate) -> str:
    """A candidate's worth, and what it was if that is another."""
    if was.worth == now.worth:
        return f"{short(now.id)} {_number(now.worth)}"
    return f"{short(now.id)} {_number(now.worth)}, before {_number(was.worth)}"


def _shown(candidate: Candidate, side: Side) -> str:
    kind = "score" if side.by_length else "Elo"
    return f"{short(candidate.id)} ({kind} {_number(candidate.worth)}, {candidate.chars} characters)"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _pairs(rows: pl.DataFrame) -> dict[str, Pair]:
    return {prompt_of(i): Pair(c, r) for i, c, r in rows.select("pair_id", "chosen_id", "rejected_id").iter_rows()}


def _reasons(dropped: pl.DataFrame) -> dict[str, str]:
    """Why each id was dropped, in words with numbers."""
    found: dict[str, str] = {}
    for i, reason, numbers in dropped.iter_rows():
        given: Mapping[str, Any] = json.loads(numbers)
        found[i] = in_words(reason, given)
    return found
