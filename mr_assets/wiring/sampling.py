"""What the three sampling assets share: requests to the policy's engine, in shards that a killed run finds again."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

from mr_assets.chat import ChatEncoder
from mr_assets.method.numbers import Numbers
from mr_assets.runs.object_store import kept
from mr_assets.runs.progress import Sampled
from mr_assets.sampling.engine import Request, Sampler
from mr_assets.sampling.live import is_open, open_engine
from mr_assets.sampling.settings import SamplingSettings
from mr_assets.sampling.shards import Progress, ShardSampler, sample_shards, scan_shards, size_of_shard
from mr_assets.tables import draws, dropped_frame
from mr_assets.wiring.fit import check_fit
from mr_assets.wiring.io_managers import shard_folder
from mr_assets.wiring.materialization import Materialization
from mr_assets.wiring.training import expect_training


@dataclass(frozen=True)
class Samples:
    """Completions as a lazy table of request_id, sample, text, finish_reason, token_ids; what did not fit; figures."""

    completions: pl.LazyFrame
    dropped: pl.DataFrame
    numbers: Numbers


def sample(
    work: Materialization,
    encode: ChatEncoder,
    requests: Iterable[Request],
    total: int,
    settings: SamplingSettings,
    *,
    n: int,
    **signature: str,
) -> Samples:
    """Sample `requests`, encoded by `encode`, from the policy of the asset under way.

    total: how many requests there are; n: how many completions each wants.
    signature: what else shapes the completions (the template's text, say). With it, the policy, the settings and the
    requests themselves decide whether a shard of an earlier, killed run is taken over.
    Raises `UserError` if the engine, or a training that comes after it, cannot fit on the machine (`check_fit`).
    """
    assert work.policy is not None
    recipe = work.recipe
    check_fit(work)
    work.announce(f"{work.asset}: {total:,} requests for {work.policy.name}, as soon as the engine is ready")
    engine = open_engine(
        work.policy.folder(work.run.data),
        work.policy.fingerprint,
        recipe.engine,
        stop_token_ids=encode.stop_token_ids,
        log=work.run.folder / "engine.log",
    )
    expect_training(work)
    return sample_by(work, engine, requests, total, settings, n=n, **signature)


def sample_by(
    work: Materialization,
    engine: Sampler | ShardSampler,
    requests: Iterable[Request],
    total: int,
    settings: SamplingSettings,
    *,
    n: int,
    **signature: str,
) -> Samples:
    """The same by an engine, or an endpoint, that is ready."""
    recipe = work.recipe
    policy = work.policy.fingerprint if work.policy else ""
    report, waiting = work.progress(work.asset, "requests"), 0
    shards = shard_folder(work.run.place(work.asset, work.partition))
    with kept(shards, "[0-9]*.parquet") as keep:

        def on_progress(how_far: Progress) -> None:
            nonlocal waiting
            waiting = max(waiting, how_far.stats.waiting)
            done = (how_far.done, how_far.total or total, how_far.reused)
            report(*done, how_far.stats.said if how_far.tokens else "", sampled=_sampled(how_far))
            keep()

        sampled = sample_shards(
            engine,
            requests,
            settings,
            folder=shards,
            signature={"asset": work.asset, "policy": policy, **signature},
            shard_size=size_of_shard(total, n, recipe.engine.shard_size),
            seed=draws([f"{work.asset} {work.partition}"], recipe.seed)[0] % 2**31,
            total=total,
            n=n,
            on_progress=on_progress,
            warn=work.context.log.warning,
        )
    dropped = dropped_frame(
        [(x.id, "prompt_too_long", json.dumps({"prompt tokens": x.prompt_tokens})) for x in sampled.too_long]
    )
    numbers: Numbers = {
        "requests": sampled.requests,
        "requests sampled by this run": sampled.sampled,
        "requests too long": len(sampled.too_long),
    }
    if sampled.tokens:  # an endpoint counts none
        numbers["tokens per second"] = round(sampled.tokens_per_second, 1)
        numbers["most completions waiting"] = waiting
        numbers["preemptions"] = sampled.stats.preemptions
        if sampled.stats.hit_rate is not None:
            numbers["prompt tokens cached"] = round(sampled.stats.hit_rate, 4)
    return Samples(scan_shards(sampled.paths), dropped, numbers)


def _sampled(progress: Progress) -> Sampled | None:
    """The tokens of a stage for who watches; None while there are none."""
    if not progress.tokens:
        return None
    return Sampled(progress.tokens, progress.tokens_per_second, progress.seconds_left, progress.share)


def encoder(work: Materialization, rendering: dict[str, Any] | None = None) -> ChatEncoder:
    """The encoder of the policy's tokenizer and chat template, as the recipe renders it, or as `rendering` says.

    Before anything of the policy is used its folder is read whole. Raises `UserError` if it is damaged.
    """
    assert work.policy is not None
    folder = work.policy.folder(work.run.data)
    if not is_open(folder, work.policy.fingerprint):  # an engine that has it loaded reads nothing again
        work.policy.check(work.run.data)
    return ChatEncoder.load(folder, **(work.recipe.model.rendering() if rendering is None else rendering))
