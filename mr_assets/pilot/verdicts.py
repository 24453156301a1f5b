"""What a pilot says of each stage: would the checks of a run warn or stop there, how sure is that, what to change.

    judgments   stops the run   2 of 448 with a score, 0.4% (0.1% to 1.6%), where 50% are needed

The measures and the bounds are those of the run's own checks. A share of few rows has its 95% interval: a run may be
stopped where one end of it is beyond the bound, and is for certain where both are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl

from mr_assets.bounds import Guardrails
from mr_assets.ids import prompts_of
from mr_assets.method.dropped import setting_behind
from mr_assets.method.guardrails import CHECKS, Check, Finding, Level
from mr_assets.method.intervals import Interval, share_interval
from mr_assets.method.judgments import response_scores
from mr_assets.method.measures import Measured
from mr_assets.method.numbers import score_counts
from mr_assets.method.reliability import Reliability, reliability
from mr_assets.pilot.pilot import Pilot
from mr_assets.runs.run import Run
from mr_assets.tables import TABLES, found_dropped, scan_dropped

STAGES = ("responses", "judgments", "actor_pairs", "meta_judgments", "elo_pairs", "dpo_dataset")
JUDGE_STAGES = ("meta_judgments", "elo_pairs")
SAMPLED = {"responses": "response", "judgments": "judgment", "meta_judgments": "meta_judgment"}
"""The stages that the model writes, and the column of their texts."""
VALUES = {"judgments": "score", "meta_judgments": "winner"}
"""Those that are read for a value, and its column. `invalid` also says why a line was asked for again."""

Verdict = Literal["fine", "nothing to judge", "warns", "may stop the run", "stops the run"]
WORSE: tuple[Verdict, ...] = ("fine", "nothing to judge", "warns", "may stop the run", "stops the run")
LEVELS: tuple[Level, ...] = ("passed", "warning", "harmful")
RELIABLE = 0.7
"""A reliability that is called good; how many judgments would give it is said."""
OF_THE_WHOLE = ("not_empty", "duplicate_ids", "orphan_ids")  # say nothing of the model

CHANGE: dict[tuple[str, str], tuple[str, ...]] = {
    ("judgments", "parse_rate"): ("eft.source", "judgments.template", "judgments.score_line"),
    ("judgments", "score_entropy"): ("eft.source", "judgments.template"),
    ("judgments", "score_reliability"): ("judgments.n", "eft.source", "judgments.template"),
    ("judgments", "top_score_share"): ("eft.source", "judgments.template"),
    ("actor_pairs", "pair_yield"): ("responses.temperature", "judgments.n"),
    ("actor_pairs", "chosen_length"): ("rho", "max_chosen_chars"),
    ("meta_judgments", "parse_rate"): ("eft.source", "meta_judgments.template", "meta_judgments.winner_line"),
    ("meta_judgments", "position_bias"): ("judge_training",),
    ("meta_judgments", "score_bias"): ("max_chosen_judgment_chars",),
    ("elo_pairs", "pair_yield"): ("judgments.n", "max_chosen_judgment_chars"),
    ("elo_pairs", "chosen_length"): ("max_chosen_judgment_chars",),
}
"""By asset and check: the fields of the recipe to change, as --set takes them. A cut-off's is the max_tokens."""


@dataclass(frozen=True)
class Held:
    """What one check measured, held against the run's own bounds.

    finding: at what was measured; interval: its two ends, None if it has none; best, worst: the levels at the two ends;
    change: the fields to change, as --set takes them; said: what was expected, what came, and what it comes of.
    """

    finding: Finding
    interval: tuple[float, float] | None
    best: Level
    worst: Level
    change: tuple[str, ...]
    said: str

    @property
    def verdict(self) -> Verdict:
        """Whether a check would stop the run, for certain or perhaps; else whether it warns at what was measured."""
        if self.worst == "harmful":
            return "stops the run" if self.best == "harmful" else "may stop the run"
        return "fine" if self.finding.passed else "warns"


@dataclass(frozen=True)
class Text:
    """A completion that gives no score or no winner, with the reason (`mr_assets.method.dropped.REASONS`)."""

    id: str
    reason: str
    text: str


@dataclass(frozen=True)
class StageVerdict:
    """What a pilot says of one asset.

    rows: of its table; held: its checks; shares: those that have an interval, by name; figures: other numbers by name;
    reasons: how many were dropped or invalid, by reason; expected: pairs of the whole iteration, with the interval;
    seconds: it took; unparsed: some that gave no value.
    """

    asset: str
    rows: int
    held: tuple[Held, ...]
    shares: Mapping[str, Interval] = field(default_factory=dict)
    figures: Mapping[str, float | int | None] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    expected: tuple[float, float, float] | None = None
    seconds: float = 0.0
    unparsed: tuple[Text, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst of its checks'. Without rows there is nothing to judge, but a run stops without responses."""
        if not self.rows and self.asset in ("responses", "judgments"):
            return "stops the run"
        if not self.held:
            return "nothing to judge"
        return max((held.verdict for held in self.held), key=WORSE.index)

    @property
    def change(self) -> tuple[str, ...]:
        """The fields to change, of all checks that are not fine, and of what was too long."""
        fields = [name for held in self.held if held.verdict != "fine" for name in held.change]
        if self.reasons.get("prompt_too_long"):
            fields.append(setting_behind(self.asset, "prompt_too_long") or "")
        return tuple(dict.fromkeys(filter(None, fields)))


def stage_verdicts(pilot: Pilot, texts: int = 3) -> list[StageVerdict]:
    """What a made pilot says of each stage, in the order of the loop; the judge's side only where it is trained.

    texts: how many of those that gave no value.
    """
    judged = pilot.run.recipe.row(1).judge_training
    return [_of(pilot, asset, texts) for asset in STAGES if judged or asset not in JUDGE_STAGES]


def judges(stages: Sequence[StageVerdict]) -> bool:
    """Whether the judge judges: not if none of its texts gives a score, or a run would stop for certain for too few."""
    (judgments,) = (stage for stage in stages if stage.asset == "judgments")
    parsing = [held for held in judgments.held if held.finding.name == "parse_rate"]
    read = judgments.shares.get("parse_rate")
    return read is not None and read.share > 0 and all(held.best != "harmful" for held in parsing)


def ways_out(pilot: Pilot) -> Iterator[str]:
    """What to do where the judge does not judge, a sentence each."""
    recipe, t = pilot.of.recipe, pilot.iteration
    form = "eft.judged_by = ranks makes judgments of people's ranks, which needs no judge and teaches the form"
    if recipe.sft is None:
        yield (
            "Teach it: sft is null, so that M0 is the seed model. Give sft a section, and eft.source a file of judged "
            f"examples or open_assistant:FILE; there {form}."
        )
    elif pilot.model == "seed" and recipe.seed_judges:
        yield f"Teach it: eft.judged_by = seed_model makes the EFT data of the seed's own judgments. First, {form}."
    elif pilot.model == "seed":
        yield (
            f"Teach it: SFT on eft.source = {recipe.eft.source} makes M0, which judges in iteration {t}, and is not "
            f"made yet. Materialize sft_checkpoint (mr run makes it first), then give this command again."
        )
    else:
        yield f"Teach it more or otherwise: M0 learnt from eft.source = {recipe.eft.source}; look at sft and eft."
    yield (
        "Ask otherwise: judgments.template names a prompt of your own, such as one with an example, or on a scale that "
        "the model knows (lowest_score, highest_score, score_words); judgments.score_line = asked_again asks for the "
        "line that is missing; judgments.max_tokens, if judgments are cut off."
    )
    yield "Take another model: model.seed. Small models rarely judge by the paper's prompt without SFT."


def worst(stages: Sequence[StageVerdict]) -> Verdict:
    """Of all stages."""
    return max((stage.verdict for stage in stages), key=WORSE.index)


def _of(pilot: Pilot, asset: str, texts: int) -> StageVerdict:
    run = pilot.run
    record = run.record(asset, "1")
    if record is None:  # what it would have been made of is not there
        return StageVerdict(asset, 0, ())
    shares = {name: found for name, found in _shares(run, asset) if found is not None}
    ends = {name: (found.low, found.high) for name, found in shares.items()}
    reliable = reliability(_table(run, asset)) if asset == "judgments" else None
    if reliable is not None:
        ends["score_reliability"] = reliable.mean_interval
    limits = pilot.of.recipe.guardrails.model_copy(update={"min_count": 1})  # the intervals say what few rows are worth
    held = tuple(
        _held(check, Measured(**{f: given[f] for f in Measured._fields if f in given}), ends.get(check.name), limits)
        for check in CHECKS
        if check.asset == asset and check.name not in OF_THE_WHOLE and (given := record.checks.get(check.name))
    )
    expected = None
    if (found := shares.get("pair_yield")) is not None:
        prompts = pilot.of.recipe.row(pilot.iteration).prompts
        # Of the judge's side at most one response of each prompt is selected, as many as in the pilot.
        candidates = prompts * found.rows / pilot.prompts
        expected = (found.share * candidates, found.low * candidates, found.high * candidates)
    return StageVerdict(
        asset,
        record.rows or 0,
        held,
        shares,
        {**dict(_figures(run, asset)), **_reliability_figures(reliable)},
        _reasons(run, asset),
        expected,
        record.seconds,
        _unparsed(run, asset, texts),
    )


def _held(check: Check, measured: Measured, interval: tuple[float, float] | None, limits: Guardrails) -> Held:
    finding = check.judge(measured, limits)
    ends = (measured.value, *(interval or ()))
    levels = sorted((check.judge(measured._replace(value=end), limits).level for end in ends), key=LEVELS.index)
    own = (f"{check.asset}.max_tokens",) if check.name == "cut_off" else ()
    came = f"{check.expected(limits)}, came {measured.came}."
    said = " ".join(filter(None, (came, measured.cause, measured.why)))
    return Held(finding, interval, levels[0], levels[-1], own or CHANGE.get((check.asset, check.name), ()), said)


# --------------------------------------------------------------------------------------- shares and their intervals


def _table(run: Run, asset: str) -> pl.LazyFrame:
    return TABLES[asset].scan(run.path(asset, "1"))


Rows = Callable[[Run], Interval | None]


def _share(asset: str, hit: pl.Expr, among: pl.Expr | None = None, key: str = "") -> Rows:
    """The share of an asset's rows for which `hit` is true; rows of one prompt belong together."""

    def found(run: Run) -> Interval | None:
        frame = _table(run, asset)
        return share_interval(frame if among is None else frame.filter(among), hit, prompts_of(key))

    return found


def _yield(pairs: str, of: str, column: str) -> Rows:
    """The share of the values of a column of table `of` that gave a pair."""

    def found(run: Run) -> Interval | None:
        candidates = _table(run, of).select(column).unique()
        paired = _table(run, pairs).select(column, paired=pl.lit(value=True))
        joined = candidates.join(paired, on=column, how="left")
        return share_interval(joined, pl.col("paired"), pl.col(column))

    return found


def _favoured(run: Run) -> Interval | None:
    """The share of decisive battles won by the position that wins more; the interval ends at a half."""
    decisive = pl.col("winner").is_not_null() & pl.col("copied_from").is_null()
    first = _share("meta_judgments", pl.col("winner") == "first", decisive, "response_id")(run)
    if first is None or first.share >= 0.5:
        return first and first._replace(low=max(first.low, 0.5))
    return first._replace(share=1 - first.share, low=max(1 - first.high, 0.5), high=1 - first.low)


def _top_scores(run: Run) -> Interval | None:
    """Of the scores, those that are the highest of the scale."""
    top = pl.col("score") == run.recipe.judgments.highest_score
    return _share("judgments", top, pl.col("score").is_not_null(), "judgment_id")(run)


_CUT = pl.col("finish_reason") == "length"
_SAMPLED = pl.col("meta_judgment").is_not_null() & pl.col("copied_from").is_null()
SHARES: dict[tuple[str, str], Rows] = {
    ("responses", "cut_off"): _share("responses", _CUT, key="response_id"),
    ("judgments", "cut_off"): _share("judgments", _CUT, key="judgment_id"),
    ("judgments", "parse_rate"): _share("judgments", pl.col("score").is_not_null(), key="judgment_id"),
    ("judgments", "top_score_share"): _top_scores,
    ("actor_pairs", "pair_yield"): _yield("actor_pairs", "responses", "prompt_id"),
    ("meta_judgments", "cut_off"): _share("meta_judgments", _CUT, _SAMPLED, "response_id"),
    ("meta_judgments", "parse_rate"): _share("meta_judgments", pl.col("winner").is_not_null(), _SAMPLED, "response_id"),
    ("meta_judgments", "position_bias"): _favoured,
    ("elo_pairs", "pair_yield"): _yield("elo_pairs", "battle_matrices", "response_id"),
}
"""By asset and check: the rows that its share is of."""


def _shares(run: Run, asset: str) -> Iterator[tuple[str, Interval | None]]:
    yield from ((name, rows(run)) for (of, name), rows in SHARES.items() if of == asset)


# ------------------------------------------------------------------------------------------------- figures and texts


def _figures(run: Run, asset: str) -> Iterator[tuple[str, float | int | None]]:
    """Those of the asset's record that a pilot is read for, and a few of its table."""
    record = run.record(asset, "1")
    numbers = record.numbers if record else {}
    if asset in SAMPLED:
        tokens = pl.col("token_ids").list.len()
        figures = [tokens.mean().alias("mean"), tokens.quantile(0.95).alias("most"), tokens.max().alias("longest")]
        mean, most, longest = _table(run, asset).select(figures).collect().row(0)
        yield "mean tokens", mean
        yield "95% have at most so many tokens", most
        yield "longest, tokens", longest
        yield "tokens per second", numbers.get("tokens per second")
    kept = {
        "responses": ("duplicates", "blank"),
        "judgments": ("mean score", "score entropy"),
        "actor_pairs": ("pairs", "mean score gap", "mean chosen characters", "mean rejected characters"),
        "meta_judgments": ("decisive battles", "first position wins", "higher score wins"),
        "elo_pairs": ("pairs", "mean Elo gap", "mean chosen characters", "mean rejected characters"),
        "dpo_dataset": ("pairs", "actor pairs", "judge pairs"),
    }
    yield from ((name, numbers.get(name)) for name in kept[asset])
    if asset == "judgments":
        yield from _spread(run)


def _spread(run: Run) -> Iterator[tuple[str, float | int | None]]:
    """How the scores differ: between judgments of one response, and between responses to one prompt."""
    judgments = _table(run, "judgments")
    scores = response_scores(_table(run, "responses"), judgments).select("prompt_id", "mean", "variance").collect()
    yield "standard deviation within a response", _root(scores["variance"].mean())
    apart = scores.drop_nulls("mean").group_by("prompt_id").agg(pl.col("mean").var(ddof=0))
    yield "standard deviation between the responses to a prompt", _root(apart["mean"].mean())
    yield "responses whose scores are all equal", int((scores["variance"] == 0).sum())
    equal = scores.drop_nulls("mean").group_by("prompt_id", "mean").len()
    pairs = equal.group_by("prompt_id").agg(
        same=(pl.col("len") * (pl.col("len") - 1)).sum(), n=pl.col("len").sum().cast(pl.Int64)
    )
    same, every = pairs.select(pl.col("same").sum(), (pl.col("n") * (pl.col("n") - 1)).sum()).row(0)
    yield "ties among the responses to a prompt", same / every if every else None
    counts = score_counts(judgments, run.recipe.judgments.scoring)
    yield from ((f"score {score:g}", n) for score, n in counts.iter_rows())


def _reliability_figures(found: Reliability | None) -> dict[str, float | int | None]:
    """Of one score and of the mean of a response's, among the responses to a prompt; what more judgments would buy."""
    if found is None:
        return {}
    low, high = found.mean_interval
    return {
        "reliability of one score": found.single,
        "reliability of the mean score": found.mean,
        "reliability of the mean score, at least": low,
        "reliability of the mean score, at most": high,
        f"judgments needed for {RELIABLE}": found.needed(RELIABLE),
    }


def _root(value: Any) -> float | None:
    return None if value is None else float(value) ** 0.5


def _reasons(run: Run, asset: str) -> dict[str, int]:
    """How many were dropped for each reason, the most frequent first; of prompts and responses without a pair, prompts.

    Of what the model wrote: how many gave no value, too.
    """
    parts = []
    if found_dropped(run.path(asset, "1")):
        rows = scan_dropped(run.path(asset, "1"))
        if asset == "actor_pairs":  # responses without a score are beside the point
            rows = rows.filter(pl.col("id") == prompts_of("id"))
        parts.append(rows.select("reason"))
    if asset in VALUES:
        parts.append(_table(run, asset).filter(pl.col(VALUES[asset]).is_null()).select(reason="invalid").drop_nulls())
    if not parts:
        return {}
    counts = pl.concat(parts).group_by("reason").len().sort("len", "reason", descending=[True, False]).collect()
    return dict(counts.iter_rows())


def _unparsed(run: Run, asset: str, count: int) -> tuple[Text, ...]:
    """Texts that gave no value: the first of each reason, the most frequent one first, then the second of each."""
    if asset not in VALUES:
        return ()
    key, text = TABLES[asset].key, SAMPLED[asset]
    rows = _table(run, asset).filter(pl.col(VALUES[asset]).is_null() & pl.col(text).is_not_null())
    found = (
        rows.select(key, "invalid", text)
        .sort(key)
        .with_columns(nth=pl.int_range(pl.len()).over("invalid"), of=pl.len().over("invalid"))
        .sort("nth", "of", "invalid", descending=[False, True, False])
        .select(key, "invalid", text)
        .head(count)
        .collect()
    )
    return tuple(Text(*row) for row in found.iter_rows())
