"""Requests in, parquet shards out: a stage that was killed goes on where it stopped.

A shard is a run of consecutive requests in one file, ``00012-9f3c0a6be1d24c7f.parquet``. The hexadecimal part is a hash
of everything that shapes its contents: the policy and the engine settings that matter, the caller's signature (template,
...), the sampling settings, the seed, and the ids and token ids of its requests. So a finished shard is found again by its
name, and one of other settings never is.

On the CPU a shard is a barrier: the engine forgets its cache and is reseeded before each, which makes a resumed stage
equal to an uninterrupted one, bit by bit. On CUDA, where that would idle the device, requests flow on over the borders
of shards, and a shard is written when the last of its requests is done.
"""

import errno
import io
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from mr_assets.errors import UserError
from mr_assets.sampling.engine import Completion, Request, Sampler, SamplingSettings

SHARD_SIZE = 256  # requests
SECONDS_BETWEEN_REPORTS = 3.0
SHARD_SCHEMA = pl.Schema(
    {
        "request_id": pl.String,
        "sample": pl.Int32,  # 0..n-1
        "text": pl.String,
        "finish_reason": pl.String,  # "stop" or "length"
        "token_ids": pl.List(pl.Int32),  # with the end token if it was reached
    }
)


class TooLong(NamedTuple):
    """A request that was not sampled, because its prompt and max_tokens do not fit into the context."""

    id: str
    prompt_tokens: int
    max_tokens: int
    max_model_len: int


class Progress(NamedTuple):
    """How far a stage is. Numbers of requests, except for the tokens."""

    done: int  # reused ones included
    total: int | None  # None if the caller did not say
    reused: int  # taken from shards of an earlier run
    tokens: int  # sampled so far
    tokens_per_second: float
    seconds_left: float | None


@dataclass(frozen=True)
class Sampled:
    """What a stage has sampled: its shards in request order, and how the requests fared."""

    paths: list[Path]
    requests: int  # in the shards
    reused: int  # of these, taken from shards of an earlier run
    sampled: int  # of these, sampled now
    tokens: int  # sampled now
    too_long: list[TooLong]


@dataclass
class _Shard:
    """Requests of one file, and their completions so far."""

    path: Path
    seed: int
    requests: list[Request]
    added: int = 0
    done: dict[str, list[Completion]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.done) == len(self.requests)


def sample_shards(
    sampler: Sampler,
    requests: Iterable[Request],
    settings: SamplingSettings,
    folder: Path,
    *,
    signature: Mapping[str, Any],
    seed: int,
    shard_size: int = SHARD_SIZE,
    total: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Sampled:
    """Sample every request into shards under `folder`, reusing the shards that an earlier run finished.

    requests: in the order of the output, each id once; read as needed, so a generator keeps memory small. Requests with a
        common beginning belong side by side, so that the engine computes it once.
    signature: JSON values that shape the prompts beyond their token ids or should force sampling anew. The sampler's
        own signature (policy, engine settings) is always part of the key.
    shard_size: requests in a shard; with another size, shards of an earlier run are not found.
    total: number of requests, for the progress alone.

    Raises `UserError` if the disk is full; finished shards stay. After any exception the engine is closed, since what
    was in flight may have left it in any state; the next `open_engine` starts a fresh one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _sweep_unfinished(folder)
    if settings.temperature == 0:
        requests = _greedy(requests)
    too_long: list[TooLong] = []
    basis = {"sampler": sampler.signature, "signature": signature, "settings": asdict(settings), "seed": seed}
    shards = _shards(_fitting(requests, settings, sampler.max_model_len, too_long), folder, basis, shard_size)
    try:
        return _run(sampler, shards, settings, total, on_progress, too_long)
    except BaseException:
        sampler.close()
        raise


def _run(
    sampler: Sampler,
    shards: Iterator[_Shard],
    settings: SamplingSettings,
    total: int | None,
    on_progress: Callable[[Progress], None] | None,
    too_long: list[TooLong],
) -> Sampled:
    barrier = sampler.device == "cpu"
    window = 2 * sampler.max_num_seqs
    paths: list[Path] = []
    open_shards: deque[_Shard] = deque()
    owner: dict[str, _Shard] = {}
    reused = sampled = tokens = 0
    reporter = _Reporter(on_progress, total)
    exhausted = False

    while True:
        # Fill the window.
        while not exhausted and sampler.in_flight < window:
            if not open_shards or open_shards[-1].added == len(open_shards[-1].requests):
                if barrier and open_shards:
                    break
                shard = next(shards, None)
                if shard is None:
                    exhausted = True
                    break
                paths.append(shard.path)
                if shard.path.exists():
                    reused += len(shard.requests)
                    reporter.report(reused, sampled, tokens)
                    continue
                if not sampler.in_flight:
                    sampler.reseed(shard.seed)
                open_shards.append(shard)
            shard = open_shards[-1]
            request = shard.requests[shard.added]
            if request.id in owner:
                raise ValueError(f"two requests have the id {request.id}; ids must be unique")
            owner[request.id] = shard
            sampler.add(request, settings)
            shard.added += 1
        if not open_shards:
            break
        for request_id, completions in sampler.step():
            shard = owner.pop(request_id)
            shard.done[request_id] = completions
            sampled += 1
            tokens += sum(len(c.token_ids) for c in completions)
            if shard.complete:
                _commit(shard)
                open_shards.remove(shard)
        reporter.report(reused, sampled, tokens)

    reporter.report(reused, sampled, tokens, final=True)
    return Sampled(paths, reused + sampled, reused, sampled, tokens, too_long)


def scan_shards(paths: Sequence[Path]) -> pl.LazyFrame:
    """The rows of the shards in request order, then sample order; columns as in `SHARD_SCHEMA`."""
    if not paths:
        return pl.LazyFrame(schema=SHARD_SCHEMA)
    return pl.scan_parquet(list(paths), schema=SHARD_SCHEMA)


def sweep(folder: Path, keep: Iterable[Path]) -> int:
    """Delete the shards in `folder` that are not in `keep`, and return their number.

    Called once the stage's table is written: until then a shard of other settings may still serve, should the person
    go back to them.
    """
    kept = {path.name for path in keep}
    stale = [path for path in folder.glob("*.parquet") if path.name not in kept and not path.name.startswith(".")]
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def _greedy(requests: Iterable[Request]) -> Iterator[Request]:
    for request in requests:
        if request.n != 1:
            raise UserError(
                f"temperature 0 gives the same completion every time, but {request.n} of request {request.id} are wanted. "
                "Raise the temperature or ask for one sample."
            )
        yield request


def _fitting(
    requests: Iterable[Request], settings: SamplingSettings, max_model_len: int, too_long: list[TooLong]
) -> Iterator[Request]:
    """The requests that fit into the context; the others are appended to `too_long`."""
    for request in requests:
        if len(request.prompt_ids) + settings.max_tokens > max_model_len:
            too_long.append(TooLong(request.id, len(request.prompt_ids), settings.max_tokens, max_model_len))
        else:
            yield request


def _shards(requests: Iterator[Request], folder: Path, basis: Mapping[str, Any], size: int) -> Iterator[_Shard]:
    base = json.dumps(basis, sort_keys=True).encode()
    index = 0
    while batch := list(islice(requests, size)):
        key = blake2b(base, digest_size=8)
        key.update(json.dumps([index, [(r.id, r.n, r.prompt_ids) for r in batch]]).encode())
        yield _Shard(folder / f"{index:05d}-{key.hexdigest()}.parquet", int(key.hexdigest(), 16), batch)
        index += 1


def _commit(shard: _Shard) -> None:
    """Write a complete shard: a reader sees all of it or nothing."""
    rows = [
        (request.id, sample, c.text, c.finish_reason, c.token_ids)
        for request in shard.requests
        for sample, c in enumerate(shard.done[request.id])
    ]
    buffer = io.BytesIO()
    pl.DataFrame(rows, schema=SHARD_SCHEMA, orient="row").write_parquet(buffer)
    temporary = shard.path.with_name(f".{shard.path.name}.{os.getpid()}.tmp")
    try:
        _write(temporary, buffer.getbuffer())
        temporary.replace(shard.path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"the disk is full: {shard.path} could not be written. Finished shards are kept: free some space and "
                "materialize again, and sampling goes on from there."
            ) from error
        raise


def _write(path: Path, content: bytes | memoryview) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sweep_unfinished(folder: Path) -> None:
    """Delete what a killed run was writing."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


class _Reporter:
    """Calls back at most every few seconds, and at the end."""

    def __init__(self, on_progress: Callable[[Progress], None] | None, total: int | None) -> None:
        self._call = on_progress
        self._total = total
        self._started = self._last = time.monotonic()

    def report(self, reused: int, sampled: int, tokens: int, final: bool = False) -> None:
        now = time.monotonic()
        if self._call is None or (now - self._last < SECONDS_BETWEEN_REPORTS and not final):
            return
        self._last = now
        seconds = max(now - self._started, 1e-9)
        done = reused + sampled
        left = (self._total - done) * seconds / sampled if self._total is not None and sampled else None
        self._call(Progress(done, self._total, reused, tokens, tokens / seconds, left))
