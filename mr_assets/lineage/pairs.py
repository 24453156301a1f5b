"""The list of a run's pairs: what each one's gaps are, whether it was trained on, and filters over them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from mr_assets.errors import UserError
from mr_assets.ids import PAIR_ASSETS, PairKind, prompts_of, responses_of
from mr_assets.lineage.rows import margins, read
from mr_assets.lineage.staleness import Staleness
from mr_assets.method.numbers import with_pair_scores
from mr_assets.printable import excerpt
from mr_assets.runs.run import Run
from mr_assets.worlds.truth import AGREEMENTS, Agreement, checker, true_gaps, true_scores

SCHEMA = pl.Schema(
    {
        "run": pl.String(),
        "iteration": pl.String(),
        "kind": pl.String(),
        "pair_id": pl.String(),
        "prompt_id": pl.String(),
        "chosen_id": pl.String(),
        "rejected_id": pl.String(),
        "score_gap": pl.Float64(),
        "length_gap": pl.Int64(),
        "elo_gap": pl.Float64(),
        "trained_on": pl.Boolean(),
        "reward_margin": pl.Float64(),
        "true_gap": pl.Float64(),
    }
)
GAPS = {
    "score_gap": "score gap",
    "length_gap": "length gap",
    "elo_gap": "Elo gap",
    "reward_margin": "reward margin",
    "true_gap": "true gap",
}
"""What pairs are filtered and sorted by, and how a person calls it."""
SORTS = ("pair_id", *GAPS)
KINDS: tuple[PairKind, ...] = ("actor", "judge")
_SIDES = ("chosen", "rejected")
TEXTS = ("prompt", *_SIDES)
SCHEMA_WITH_TEXTS = pl.Schema({**SCHEMA, **dict.fromkeys(TEXTS, pl.String())})


@dataclass(frozen=True)
class Between:
    """Numbers from `low` to `high`, both included; None is open."""

    low: float | None = None
    high: float | None = None

    @classmethod
    def parsed(cls, text: str) -> "Between":
        """What "1..2.5", "1..", "..2.5" or "1" (from 1 on) says. Raises `UserError` if it says no range."""
        low, _, high = text.partition("..")
        try:
            return cls(float(low) if low.strip() else None, float(high) if high.strip() else None)
        except ValueError:
            raise UserError(
                f"'{excerpt(text, 80)}' is no range. Expected from..to, like 1..2.5, 1.. or ..-20."
            ) from None

    def holds(self, column: str) -> pl.Expr:
        """Whether a column lies between; what is null does not."""
        value = pl.col(column)
        found = value.is_not_null()
        found = found if self.low is None else found & (value >= self.low)
        return found if self.high is None else found & (value <= self.high)


def pairs(run: Run, iterations: Sequence[str] | None = None, kinds: Sequence[PairKind] = KINDS) -> pl.DataFrame:
    """Every pair of a run: columns of `SCHEMA`, sorted by iteration and pair_id.

    score_gap: score of chosen less rejected (of judge pairs the scores that the two judgments give; null if the
    judgments were re-materialized since); length_gap: the same in characters; elo_gap: null for actor pairs;
    trained_on: whether the DPO dataset has it, null if that was not made of these pairs; reward_margin: after the
    training on it, null without one; true_gap: as `mr_assets.worlds.truth` says, null where no world knows the
    truth of its texts.
    """
    staleness, found = Staleness(run), [pl.DataFrame(schema=SCHEMA)]
    for t in iterations or run.iterations:
        for kind in kinds:
            if staleness.record((PAIR_ASSETS[kind], t)) and run.path(PAIR_ASSETS[kind], t).exists():
                rows = _scores_of_actor(run, t) if kind == "actor" else _scores_of_judge(staleness, t)
                rows = _with_margins(staleness, kind, t, _with_true_gaps(staleness, kind, t, rows))
                rows = rows.with_columns(
                    _in_dataset(staleness, kind, t),
                    run=pl.lit(run.name),
                    iteration=pl.lit(t),
                    kind=pl.lit(kind),
                    prompt_id=prompts_of("pair_id"),
                    length_gap=pl.col("chosen_chars") - pl.col("rejected_chars"),
                )
                found.append(rows.select(list(SCHEMA)).cast(SCHEMA).sort("pair_id"))
    return pl.concat(found)


Listed = Callable[[Run, Sequence[str] | None, Sequence[PairKind]], pl.DataFrame]
"""What gives the pairs of a run, as `pairs` does."""


def _scores_of_actor(run: Run, t: str) -> pl.DataFrame:
    return read(run, "actor_pairs", t).with_columns(
        score_gap=pl.col("chosen_score") - pl.col("rejected_score"), elo_gap=pl.lit(None, pl.Float64)
    )


def _scores_of_judge(staleness: Staleness, t: str) -> pl.DataFrame:
    columns = ("pair_id", *(f"{side}_{what}" for side in _SIDES for what in ("id", "elo", "chars")))
    rows = read(staleness.run, "elo_pairs", t, columns)
    rows = rows.with_columns(elo_gap=pl.col("chosen_elo") - pl.col("rejected_elo"))
    if not staleness.made_of(("elo_pairs", t), ("judgments", t)):
        unknown = pl.lit(None, pl.Float64)
        return rows.with_columns(score_gap=unknown, chosen_score=unknown, rejected_score=unknown)
    wanted = pl.concat([rows["chosen_id"], rows["rejected_id"]]).unique()
    among = pl.col("judgment_id").is_in(wanted.implode())
    scores = read(staleness.run, "judgments", t, ["judgment_id", "score"], among)
    scored = with_pair_scores(rows, scores)
    return scored.with_columns(score_gap=pl.col("chosen_score") - pl.col("rejected_score")).collect()


def _in_dataset(staleness: Staleness, kind: PairKind, t: str) -> pl.Expr:
    path = staleness.run.path("dpo_dataset", t)
    if not (staleness.made_of(("dpo_dataset", t), (PAIR_ASSETS[kind], t)) and path.exists()):
        return pl.lit(None, pl.Boolean).alias("trained_on")
    taken = read(staleness.run, "dpo_dataset", t, ["pair_id"])["pair_id"]
    return pl.col("pair_id").is_in(taken.implode()).alias("trained_on")


def _with_margins(staleness: Staleness, kind: PairKind, t: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The reward margins of the model that was trained on these pairs; null if none was, or none are recorded."""
    dataset, model = ("dpo_dataset", t), ("checkpoints", t)
    if not (staleness.made_of(model, dataset) and staleness.made_of(dataset, (PAIR_ASSETS[kind], t))):
        return rows.with_columns(reward_margin=pl.lit(None, pl.Float64))
    found = margins(staleness.run, t).select("pair_id", "reward_margin")
    return rows.join(found, on="pair_id", how="left", maintain_order="left")


def _with_true_gaps(staleness: Staleness, kind: PairKind, t: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The true gaps of pairs whose texts lie there as they were, if the recipe's world knows them."""
    run, check, pairs_of = staleness.run, checker(staleness.run.recipe), (PAIR_ASSETS[kind], t)
    there = all(run.path(asset, t).exists() for asset in ("prompts", "responses"))
    if check is None or not there or staleness.broken(pairs_of, ("responses", t)):
        return rows.with_columns(true_gap=pl.lit(None, pl.Float64))
    wanted = pl.concat([rows.select(responses_of(f"{side}_id").alias("response_id")) for side in _SIDES]).unique()
    among = pl.col("response_id").is_in(wanted["response_id"].implode())
    texts = read(run, "responses", t, ["response_id", "prompt_id", "response"], among)
    return true_gaps(kind, rows, true_scores(check, read(run, "prompts", t), texts))


def with_texts(run: Run, found: pl.DataFrame) -> pl.DataFrame:
    """Add prompt, chosen and rejected: the texts, null where they were re-materialized since the pair."""
    staleness, parts = Staleness(run), []
    sources = {"actor": ("responses", "response_id", "response"), "judge": ("judgments", "judgment_id", "judgment")}
    for (t, kind), rows in found.group_by("iteration", "kind", maintain_order=True):
        asset, key, text = sources[str(kind)]
        made_by = (PAIR_ASSETS[str(kind)], str(t))
        prompts = _texts(staleness, made_by, "prompts", "prompt_id", "prompt", rows["prompt_id"])
        rows = rows.join(prompts, on="prompt_id", how="left", maintain_order="left")
        wanted = pl.concat([rows["chosen_id"], rows["rejected_id"]]).unique()
        said = _texts(staleness, made_by, asset, key, text, wanted)
        for side in _SIDES:
            named = said.rename({key: f"{side}_id", text: side})
            rows = rows.join(named, on=f"{side}_id", how="left", maintain_order="left")
        parts.append(rows)
    return pl.concat([pl.DataFrame(schema=SCHEMA_WITH_TEXTS), *parts])


def texts_of(runs: Sequence[Run], shown: pl.DataFrame) -> pl.DataFrame:
    """Pairs of several runs with their texts (`with_texts`), in the order that they have."""
    texts = [with_texts(run, found) for run in runs if (found := shown.filter(pl.col("run") == run.name)).height]
    said = pl.concat([pl.DataFrame(schema=SCHEMA_WITH_TEXTS), *texts]).select("run", "pair_id", *TEXTS)
    return shown.join(said, on=["run", "pair_id"], how="left", maintain_order="left")


def _texts(
    staleness: Staleness, made_by: tuple[str, str], asset: str, key: str, text: str, wanted: pl.Series
) -> pl.DataFrame:
    """The texts of some rows of a table, if the pairs were made of what lies there; else none.

    A prompt's id is a hash of its text, so that it cannot be another.
    """
    path, place = staleness.run.path(asset, made_by[1]), (asset, made_by[1])
    if not path.exists() or not (asset == "prompts" or staleness.made_of(made_by, place)):
        return pl.DataFrame(schema={key: pl.String, text: pl.String})
    return read(staleness.run, *place, [key, text], pl.col(key).is_in(wanted.implode()))


def containing(found: pl.DataFrame, text: str) -> pl.DataFrame:
    """The pairs of `with_texts` whose prompt, chosen or rejected text contains `text`, in any case."""
    there = [pl.col(name).str.to_lowercase().str.contains(text.lower(), literal=True) for name in TEXTS]
    return found.filter(pl.any_horizontal(there).fill_null(False))


@dataclass(frozen=True)
class Query:
    """Which pairs to list.

    gaps: by column of `GAPS`; text: what a prompt, chosen or rejected text must contain; truth: what the truth says of
    them, if a world knows it; prompt: the id of their prompt.
    """

    iteration: str | None = None
    kinds: tuple[PairKind, ...] = KINDS
    text: str | None = None
    gaps: Mapping[str, Between] = field(default_factory=dict)
    truth: Agreement | None = None
    prompt: str | None = None

    @classmethod
    def parsed(
        cls,
        iteration: str | None,
        kind: str | None,
        text: str | None,
        truth: str | None = None,
        **gaps: str | None,
    ) -> "Query":
        """The query of a command line. Raises `UserError` if a gap is no range, or truth none of `AGREEMENTS`."""
        kinds: tuple[PairKind, ...] = tuple(each for each in KINDS if kind in (None, each))
        said = next((each for each in AGREEMENTS if each == truth), None)
        if truth is not None and said is None:
            raise UserError(f"truth is '{excerpt(truth, 80)}', expected one of {', '.join(AGREEMENTS)}.")
        return cls(iteration, kinds, text, {name: Between.parsed(gap) for name, gap in gaps.items() if gap}, said)

    def answer(
        self, runs: Sequence[Run], sort: str = "pair_id", limit: int = 0, *, skipped: int = 0, ascending: bool = False
    ) -> tuple[pl.DataFrame, int]:
        """The first `limit` of the pairs that match (0: all) with their texts, and how many match.

        skipped: pairs to leave out at the beginning. sort, ascending and errors as of `ordered`.
        """
        order = self.ordered(runs, sort, ascending=ascending)
        return texts_of(runs, order.slice(skipped, limit or None)), order.height

    def ordered(
        self, runs: Sequence[Run], sort: str = "pair_id", *, ascending: bool = False, listed: Listed | None = None
    ) -> pl.DataFrame:
        """Every pair that matches: columns of `SCHEMA`.

        sort: one of `SORTS`; of a gap the largest first, or with `ascending` the smallest; of pair_id the order is that
        of iterations. listed: what gives the pairs of a run, `pairs` unless somebody has kept them. Raises `UserError`
        if no run has the iteration.
        """
        having = [run for run in runs if self.iteration is None or self.iteration in run.iterations]
        if runs and not having:
            raise UserError(f"--iteration {self.iteration}: {', '.join(r.name for r in runs)} has no such iteration.")
        order = pl.concat([pl.DataFrame(schema=SCHEMA), *(self._of(run, listed or pairs) for run in having)])
        if sort != "pair_id":
            order = order.sort(sort, descending=not ascending, nulls_last=True, maintain_order=True)
        return order

    def _of(self, run: Run, listed: Listed) -> pl.DataFrame:
        found = listed(run, [self.iteration] if self.iteration else None, self.kinds)
        found = found.filter(*(gap.holds(name) for name, gap in self.gaps.items()))
        found = found.filter(prompts_of("pair_id") == self.prompt) if self.prompt else found
        found = found.filter(AGREEMENTS[self.truth](pl.col("true_gap"))) if self.truth else found
        return containing(with_texts(run, found), self.text).select(list(SCHEMA)) if self.text else found
