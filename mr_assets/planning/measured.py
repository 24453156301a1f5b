"""What an earlier run, or a pilot, tells a plan: lengths, shares of the upper bounds, and rates; how far off a plan is.

    measured(run).rates     {"responses": 3120.5, "judgments": 5210.0, ..., "checkpoints": 6890.1} tokens per second

Rates are those of the machine that the run was on: of sampling while the engine sampled, of training with the trainer's
start.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import polars as pl

from mr_assets.errors import UserError
from mr_assets.planning.lengths import Lengths
from mr_assets.planning.stages import BoundShares, Sampling, Stage, stages
from mr_assets.runs.record import Record
from mr_assets.runs.run import Run

ACTOR = pl.col("kind") == "actor"


@dataclass(frozen=True)
class Measured:
    """What a run measured, or its pilot.

    rates: tokens per second by asset, of sampled ones or of those that were trained on; lengths_of: the texts whose
    length was measured, the others' are assumed. on: the machine, as `made_on` names it. unlike: in what its model is
    another one than the planned one, in words; then there are no rates.
    """

    run: str
    lengths: Lengths
    shares: BoundShares
    rates: dict[str, float]
    pilot: bool = False
    lengths_of: tuple[str, ...] = ()
    on: str | None = None
    unlike: str = ""

    @property
    def origin(self) -> str:
        """Where it was measured: "run rho_03", "the pilot of rho_03"."""
        return f"the pilot of {self.run}" if self.pilot else f"run {self.run}"


def measured(run: Run, assumed: Lengths, *, pilot: bool = False) -> Measured:
    """What the artifacts of a run that are there tell; what none of them tells stays as `assumed`.

    pilot: whether the run is the pilot of one. Raises `UserError` if no iteration has responses: then it tells nothing.
    """
    if not any(run.record("responses", t) for t in run.iterations):
        raise UserError(
            f"--from {run.name}: it has no responses yet, so that nothing was measured. Name a run of which an "
            "iteration is done, or give it an iteration first: mr run."
        )
    means = _lengths(run, assumed)
    lengths = replace(assumed, **cast(dict[str, Any], means))
    shares = dict(_shares(run))
    work: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for stage in stages(run.recipe, lengths, shares):
        record = run.record(stage.asset, stage.partition)
        if record is not None and record.seconds > 0 and (done := work_of(stage) * _done_here(record)):
            work[stage.asset] = work.get(stage.asset, 0.0) + done
            seconds[stage.asset] = seconds.get(stage.asset, 0.0) + _seconds(record, done)
    return Measured(
        run.name, lengths, shares, {asset: work[asset] / seconds[asset] for asset in work}, pilot, tuple(means)
    )


def _seconds(record: Record, tokens: float) -> float:
    """What a stage took; of sampling what the engine took for its tokens, without its start, if that was noted."""
    rate = record.numbers.get("tokens per second")
    return tokens / rate if rate else record.seconds


@dataclass(frozen=True)
class Off:
    """By how much something is other than a plan takes it: tokens, shares, or tokens per second."""

    what: str
    assumed: float
    measured: float


def how_far_off(assumed: Lengths, found: Measured, predicted: Mapping[str, float]) -> list[Off]:
    """What is assumed without a run, against what was measured: lengths, shares of the upper bounds, rates.

    predicted: the rates of the same work by a GPU's data sheet; none where no GPU is known.
    """
    lengths = [
        Off(f"tokens of a {name.replace('_', '-')}", getattr(assumed, name), getattr(found.lengths, name))
        for name in found.lengths_of
    ]
    shares = [Off(f"share of {asset}", 1.0, share) for asset, share in found.shares.items()]
    rates = [Off(f"tokens/s, {a}", rate, found.rates[a]) for a, rate in predicted.items() if a in found.rates]
    return [*lengths, *shares, *rates]


def work_of(stage: Stage) -> int:
    """What a rate is of: the tokens that are sampled (where a reward model samples none, read), or trained on in all
    epochs."""
    return stage.tokens_out or stage.tokens_in if isinstance(stage, Sampling) else stage.tokens * stage.epochs


def seconds_so_far(run: Run) -> dict[tuple[str, str | None], float]:
    """The seconds that each artifact took that is there and was made in one go, by asset and partition."""
    places = {(stage.asset, stage.partition) for stage in stages(run.recipe, NOTHING)}
    records = ((place, run.record(*place)) for place in places)
    return {place: record.seconds for place, record in records if record and _done_here(record) == 1}


NOTHING = Lengths(0, 0, 0, 0, (), (), 0)


def _done_here(record: Record) -> float:
    """The share of a record's requests that were sampled in the time that it names; a killed run did the others."""
    here, requests = record.numbers.get("requests sampled by this run"), record.numbers.get("requests")
    return here / requests if isinstance(here, int) and isinstance(requests, int) and requests else 1.0


def _lengths(run: Run, assumed: Lengths) -> dict[str, float]:
    """Means over all iterations of what is there, by the names of `Lengths`."""
    sampled = pl.col("token_ids").list.len()
    found = {
        "response": _mean(run, "responses", sampled),
        "judgment": _mean(run, "judgments", sampled),
        "meta_judgment": _mean(run, "meta_judgments", sampled.filter(pl.col("copied_from").is_null())),
    }
    asked = _mean(run, "dpo_dataset", pl.col("prompt_token_ids").list.len().filter(ACTOR))
    found["prompt"] = None if asked is None else max(0.0, asked - 2 * assumed.chat)
    return {name: mean for name, mean in found.items() if mean is not None}


def _mean(run: Run, asset: str, values: pl.Expr) -> float | None:
    """The mean of an expression over an asset's tables; None if there is no value."""
    tables = [pl.scan_parquet(path, glob=False) for path in _tables(run, asset)]
    sums = [table.select(n=values.count(), total=values.sum()).collect().row(0) for table in tables]
    count = sum(n for n, _ in sums)
    return sum(total for _, total in sums) / count if count else None


def _tables(run: Run, asset: str) -> Iterable[str]:
    paths = (run.path(asset, t) for t in run.iterations if run.record(asset, t))
    return [str(path) for path in paths if path.is_file()]


def _shares(run: Run) -> Iterator[tuple[str, float]]:
    """What was counted, against the upper bounds of the same iterations."""
    recipe = run.recipe
    per_prompt = {"judgments": recipe.responses.k, "meta_judgments": recipe.judgments.n * (recipe.judgments.n - 1)}
    for asset in ("judgments", "meta_judgments", "actor_pairs", "elo_pairs"):
        had = most = 0
        for t, row in enumerate(recipe.iterations, start=1):
            record = run.record(asset, str(t))
            if record is None or not (row.judge_training or asset in ("judgments", "actor_pairs")):
                continue
            had += (record.numbers.get("requests") if asset in per_prompt else record.rows) or 0
            most += row.prompts * per_prompt.get(asset, 1)
        if most:
            yield asset, had / most
