"""What the guardrails measure: a number of a table, the rows it was made of, and how it came about in words.

    parsed("judgments", "score")(tables).came      43.1%: 431 of 1,000, the others 569 no_score

A measure takes tables by name. It gives None where there is nothing to measure.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from mr_assets.judging import Scoring
from mr_assets.method import Frame
from mr_assets.method.dropped import REASONS
from mr_assets.method.numbers import score_counts, score_entropy, win_shares
from mr_assets.method.reliability import reliability
from mr_assets.tables import Table

Tables = Mapping[str, Frame]
PREVIOUS = "responses of the iteration before"  # a name beside those of the tables


class Measured(NamedTuple):
    """A number to hold against the bounds, the rows that it was made of, and how it came about.

    interval: what the number may be, from the one end to the other, where that is known (95%).
    cause: what it most likely comes of, as a sentence; why: what lies behind it (`Background.why`); departed: whether
    that is a departure from the recipe. They are shown where the check does not pass.
    """

    value: float
    rows: int
    came: str
    numbers: dict[str, float | int]
    cause: str = ""
    why: str = ""
    departed: bool = False
    interval: tuple[float, float] | None = None


Measure = Callable[[Tables], Measured | None]


def counted_rows(count: int) -> str:
    """Rows in words: "1,000 rows"."""
    return f"{count:,} row{'s' if count != 1 else ''}"


def collect(frame: Frame, *columns: Any) -> pl.DataFrame:
    """These columns or expressions of a frame, computed in one pass."""
    return frame.lazy().select(*columns).collect(engine="streaming")


def _share(part: int, whole: int, what: str, of: str, more: str = "") -> Measured | None:
    """`part` of `whole` as a measured share; None of nothing."""
    if not whole:
        return None
    came = f"{100 * part / whole:.3g}%: {part:,} of {whole:,}{more}"
    return Measured(part / whole, whole, came, {what: part, of: whole})


# ------------------------------------------------------------------------------------------------------- any table


def empty(name: str) -> Measure:
    """Whether a table has no rows: 1 or 0."""

    def measure(tables: Tables) -> Measured:
        rows = collect(tables[name], pl.len()).item()
        return Measured(float(rows == 0), 1, counted_rows(rows), {"rows": rows})

    return measure


def duplicates(table: Table) -> Measure:
    """The share of rows whose id another row has too."""

    def measure(tables: Tables) -> Measured | None:
        key = pl.col(table.key)
        rows, ids = collect(tables[table.name], pl.len().alias("rows"), key.n_unique().alias("ids")).row(0)
        return _share(rows - ids, rows, "repeated ids", "rows")

    return measure


def orphans(name: str, columns: Sequence[str], parents: Sequence[str], key: str) -> Measure:
    """The share of rows that name, in one of `columns`, an id that is not in column `key` of any of `parents`."""

    def measure(tables: Tables) -> Measured | None:
        known = pl.concat([collect(tables[parent], key) for parent in parents])[key]
        named = collect(tables[name], *columns)
        lost = named.select(pl.any_horizontal(~pl.col(c).is_in(known.implode()) for c in columns).sum()).item()
        return _share(int(lost), named.height, "rows with an unknown id", "rows")

    return measure


# -------------------------------------------------------------------------------------------- judge and meta-judge


WRITTEN = pl.col("finish_reason").is_not_null() & pl.col("copied_from").is_null()
"""The battles that the meta-judge wrote of: neither copied nor skipped."""


def parsed(name: str, value: str) -> Measure:
    """The share of judgments, or of sampled meta-judgments, that give a `value`, and why the others give none."""

    def measure(tables: Tables) -> Measured | None:
        frame = tables[name].lazy()
        if name == "meta_judgments":
            frame = frame.filter(WRITTEN)
        reasons = frame.group_by("invalid").agg(rows=pl.len(), given=pl.col(value).count()).collect(engine="streaming")
        rows, given = (int(reasons[c].sum()) for c in ("rows", "given"))
        without = reasons.with_columns(rows=pl.col("rows") - pl.col("given")).filter(pl.col("rows") > 0)
        why = without.filter(pl.col("invalid").is_in(list(REASONS))).sort("rows", "invalid", descending=[True, False])
        others = ", ".join(f"{n:,} {reason}" for reason, n in why.select("invalid", "rows").iter_rows())
        return _share(given, rows, f"with a {value}", "all", f", the others {others}" if others else "")

    return measure


NEAR = 0.8  # of max_tokens: where completions that end are so long, others that need a little more are likely


def cut_off(name: str) -> Measure:
    """The share of sampled completions that were cut off at max_tokens, and what that most likely comes of."""

    def measure(tables: Tables) -> Measured | None:
        frame = tables[name].lazy()
        columns = frame.collect_schema()
        if "finish_reason" not in columns:
            return None
        if name == "meta_judgments":
            frame = frame.filter(WRITTEN)
        tokens = pl.col("tokens") if "tokens" in columns else pl.col("token_ids").list.len()
        took = [getattr(tokens, figure)().cast(pl.Int64).alias(figure) for figure in ("max", "median")]
        found = {
            how: (rows, longest, median)
            for how, rows, longest, median in frame.group_by("finish_reason").agg(pl.len(), *took).collect().iter_rows()
        }
        cut, limit, _ = found.get("length", (0, 0, 0))
        ended, longest, median = found.get("stop", (0, 0, 0))
        share = _share(cut, cut + ended, "cut off", "all")
        if share is None or not cut:
            return share
        if not ended:
            return share._replace(
                came=f"{share.came}, after {limit:,} tokens, and none ended by itself",
                cause="If they go on after all is said, the model does not write the end token of its chat template: "
                f"more tokens help nothing, it needs a template that it knows. If they break off midway, "
                f"{name}.max_tokens = {limit} is too few.",
            )
        return share._replace(
            came=f"{share.came}, after {limit:,} tokens; those that ended took {median:,}, {longest:,} at most",
            numbers={**share.numbers, "tokens at most": limit, "longest that ended": longest},
            cause=f"Many need nearly all of their tokens: raise {name}.max_tokens."
            if longest >= NEAR * limit
            else f"They run on without an end, and more than {name}.max_tokens = {limit} would hardly help: a model "
            "that repeats itself was trained too far, or is sampled too hot.",
        )

    return measure


def entropy(scoring: Scoring) -> Measure:
    """The entropy of the scores of all judgments, bits."""

    def measure(tables: Tables) -> Measured | None:
        scores = score_counts(tables["judgments"], scoring)
        if scores.is_empty():
            return None
        entropy, total = score_entropy(scores["n"]), int(scores["n"].sum())
        score, most = scores.sort("n", "score", descending=True).row(0)
        came = f"{entropy:.3g} bits: {most:,} of {total:,} scores are {score:g}"
        return Measured(entropy, total, came, {"bits": entropy, "scores": total, "different scores": scores.height})

    return measure


def top_scores(scoring: Scoring) -> Measure:
    """The share of scores that are the highest of the scale."""

    def measure(tables: Tables) -> Measured | None:
        scores = score_counts(tables["judgments"], scoring)
        top = int(scores.filter(pl.col("score") == scoring.highest)["n"].sum())
        return _share(top, int(scores["n"].sum()), "top scores", "scores")

    return measure


ENOUGH = 0.7  # the reliability that is usually asked of a mean score where groups of them are compared


def score_reliability(tables: Tables) -> Measured | None:
    """The reliability of a response's mean score among the responses of a prompt, and what more judgments would do."""
    columns = collect(tables["judgments"], "response_id", "score")
    apart, overall = reliability(columns, "prompt"), reliability(columns, "all")
    if apart is None or overall is None:
        return None
    low, high = apart.mean_interval
    came = (
        f"{apart.mean:.2g} (95% interval {low:.2g} to {high:.2g}) for the mean of {apart.n:.3g} judgments, "
        f"{apart.single:.2g} for one; over all prompts {overall.mean:.2g} and {overall.single:.2g}"
    )
    numbers: dict[str, float | int] = {
        "one judgment": apart.single,
        "one judgment, over all prompts": overall.single,
        "mean, at least": low,
        "mean, at most": high,
        "judgments per response": apart.n,
    }
    cause = "As far as can be told the scores are noise: two judgments of one response differ as much as those of two "
    cause += "responses. The mean of more of them is noise, too."
    if needed := apart.needed(ENOUGH):
        numbers[f"judgments for {ENOUGH}"] = needed
        if low > 0:
            cause = f"With {needed:,} judgments per response the mean would have {ENOUGH}."
    if apart.mean < ENOUGH <= overall.mean:
        cause += " The scores tell prompts apart, and hardly the responses of a prompt."
    return Measured(apart.mean, apart.responses, came, numbers, cause, interval=(low, high))


def probe(name: str, *, unit: str = "", of_scale: bool = False) -> Callable[[Scoring], Measure]:
    """A figure of `scoring_shift`, by its name; of_scale: its size, whatever its sign, as a share of the scale."""

    def by_scale(scoring: Scoring) -> Measure:
        def measure(tables: Tables) -> Measured | None:
            from mr_assets.method.scoring_shift import (
                scoring_shift_numbers,
            )  # takes numpy, as who reads findings does not

            found = scoring_shift_numbers(tables["scoring_shift"], scoring, (name,))
            value, low, high = (found.get(f"{name}{end}") for end in ("", "_low", "_high"))
            if value is None or low is None or high is None:
                return None
            came = f"{value:.3g}{unit} (95% interval {low:.3g} to {high:.3g}) on {found['responses']:,} responses"
            numbers = {name: value, "at least": low, "at most": high}
            held = abs(value) / (scoring.highest - scoring.lowest) if of_scale else value
            return Measured(held, int(found["responses"] or 0), came, numbers)

        return measure

    return by_scale


def position(tables: Tables) -> Measured | None:
    """The share of decisive battles won by the position that wins more (section 2.2, Table 5)."""
    shares = _verdicts(tables)
    first, decided = shares["first position wins"], shares["decisive battles"]
    if first is None:
        return None
    where, favoured = ("first", first) if first >= 0.5 else ("second", 1 - first)
    came = f"{100 * favoured:.3g}% for the {where} position in {decided:,} decisive battles"
    return Measured(favoured, int(decided or 0), came, {k: v for k, v in shares.items() if v is not None})


def higher_score(tables: Tables) -> Measured | None:
    """The share of decisive battles, of judgments with different scores, that the higher score wins (Table 5)."""
    shares = _verdicts(tables)
    higher, battles = shares["higher score wins"], int(shares["decisive battles, different score"] or 0)
    if higher is None:
        return None
    came = f"{100 * higher:.3g}% in {battles:,} decisive battles between different scores"
    return Measured(higher, battles, came, {"higher score wins": higher, "battles": battles})


def _verdicts(tables: Tables) -> dict[str, float | None]:
    sampled = tables["meta_judgments"].lazy().filter(pl.col("copied_from").is_null())
    return win_shares(sampled, tables["judgments"])


# ------------------------------------------------------------------------------------------------ pairs and lengths


def pair_yield(pairs: str, of: str, column: str) -> Measure:
    """The share of the candidates, the distinct values of a column of table `of`, that gave a pair."""

    def measure(tables: Tables) -> Measured | None:
        count = collect(tables[pairs], pl.len()).item()
        return _share(count, collect(tables[of], pl.col(column).n_unique()).item(), "pairs", "candidates")

    return measure


def growth(tables: Tables) -> Measured | None:
    """The mean characters of a response, as a multiple of the iteration before."""
    length = pl.col("response").str.len_chars()
    now, rows = collect(tables["responses"], length.mean(), pl.len().alias("rows")).row(0)
    before = collect(tables[PREVIOUS], length.mean()).item()
    if not before or now is None:
        return None
    came = f"{now / before:.3g} times: {now:,.0f} characters after {before:,.0f}"
    return Measured(now / before, rows, came, {"mean characters": now, "mean characters before": before})


def chosen_length(name: str) -> Measure:
    """The mean characters of a chosen completion, as a multiple of a rejected one's."""

    def measure(tables: Tables) -> Measured | None:
        chars = [pl.col("chosen_chars").mean(), pl.col("rejected_chars").mean()]
        chosen, rejected, rows = collect(tables[name], *chars, pl.len().alias("rows")).row(0)
        if not rejected:
            return None
        came = f"{chosen / rejected:.3g} times: {chosen:,.0f} characters chosen, {rejected:,.0f} rejected"
        return Measured(chosen / rejected, rows, came, {"chosen characters": chosen, "rejected characters": rejected})

    return measure


def _texts(tables: Tables) -> pl.DataFrame:
    """prompt, chosen and rejected of the DPO dataset as plain texts."""
    columns = ("prompt", "chosen", "rejected")
    last = [pl.col(c).list.last().struct.field("content").alias(c) for c in columns]
    return collect(tables["dpo_dataset"], *last)


def identical(tables: Tables) -> Measured | None:
    """The share of pairs whose chosen and rejected texts are equal."""
    pairs = _texts(tables)
    return _share(pairs.filter(pl.col("chosen") == pl.col("rejected")).height, pairs.height, "identical pairs", "pairs")


def contradictory(tables: Tables) -> Measured | None:
    """The share of pairs that another pair of the same prompt turns round."""
    pairs = _texts(tables)
    turned = pairs.select("prompt", chosen="rejected", rejected="chosen").filter(pl.col("chosen") != pl.col("rejected"))
    both = pairs.join(turned, on=["prompt", "chosen", "rejected"], how="semi")
    return _share(both.height, pairs.height, "contradictory pairs", "pairs")


# --------------------------------------------------------------------------------------------------------- training


def not_finite(tables: Tables) -> Measured | None:
    """The share of optimizer steps whose loss is not finite, and which the first one is."""
    log = tables["training_log"].lazy().collect()
    bad = log.filter(~pl.col("loss").is_finite().fill_null(False))
    where = f"; the first is {bad['loss'][0]} at step {bad['step'][0]}" if bad.height else ""
    return _share(bad.height, log.height, "steps without a finite loss", "steps", where)
