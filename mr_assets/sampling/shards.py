"""Requests in, parquet shards out: a stage that was killed goes on where it stopped.

A shard is a run of consecutive requests in one file:

    00012-9f3c0a6be1d24c7f.parquet      request_id                sample  text               finish_reason  token_ids
                                        1.3f1c09aa72be.r4         0       f: right. ... 5    stop           [94, ..., 4]
                                        1.3f1c09aa72be.r4         1       ...

The hexadecimal part is a hash of everything that shapes the contents: the policy and the engine settings that matter,
the caller's signature (its template, say), the sampling settings, the seed, and the ids and token ids of the shard's
requests. So a finished shard is found again by its name, and one that was made otherwise never is. One that cannot be
read, cut short by a fault of the disk for one, is sampled again.

On the CPU a shard is a barrier: the engine forgets its cache and is reseeded before each, which makes a resumed stage
equal to an uninterrupted one, bit by bit. On CUDA, where that would idle the device, requests flow on over the borders
of shards, and a shard is written when the last of its requests is done. Until then a journal beside it, of the same
name but for .jsonl, has a line for each request that is: a killed stage loses what was in flight and no more.

Several engines in processes of their own (`mr_assets.sampling.replicas`) share out whole shards. They are the same
files as one engine's, so that another number of engines finds them again. On CUDA a shard has whole groups of requests,
those of one prompt, so that one engine's cache has their common beginning. On the CPU, where its borders shape what is
sampled and the cache is forgotten at each, it has whole requests alone.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, runtime_checkable

import polars as pl

from mr_assets.errors import UserError
from mr_assets.files import atomically, full_disk_told, sweep_temporary
from mr_assets.sampling.engine import Completion, Request, Sampler
from mr_assets.sampling.settings import SamplingSettings, for_engine
from mr_assets.sampling.stats import EngineStats, Tokens
from mr_assets.tables import TOKEN_IDS

SHARE = 0.02  # of an asset's completions in one shard
FEW = 60  # completions: with 30 a CPU takes 1.5 times as long, with 16 more than twice as long
FEW_REQUESTS = 30  # of one completion each, where 60 would be more than 2% of an iteration's requests
SECONDS_BETWEEN_REPORTS = 3.0
SHARD_SCHEMA = pl.Schema(
    [
        ("request_id", pl.String),
        ("sample", pl.Int32),  # 0..n-1
        ("text", pl.String),
        ("finish_reason", pl.String),  # "stop" or "length"
        ("token_ids", TOKEN_IDS),  # with the end token if it was reached
    ]
)


class TooLong(NamedTuple):
    """A request that was not sampled, because its prompt and max_tokens do not fit into the context."""

    id: str
    prompt_tokens: int
    max_tokens: int
    max_model_len: int


class Progress(NamedTuple):
    """How far a stage is, in requests; tokens are sampled tokens, those of what is in flight, too."""

    done: int  # reused ones included
    total: int | None  # None if the caller did not say
    reused: int  # taken over from an earlier run
    tokens: int
    tokens_per_second: float
    tokens_left: float | None  # expected, see `Tokens.left`
    stats: EngineStats  # of the stage

    @property
    def seconds_left(self) -> float | None:
        """At the speed so far; None while nothing is known."""
        if self.tokens_left is None or (self.tokens_left and not self.tokens_per_second):
            return None
        return self.tokens_left / self.tokens_per_second if self.tokens_left else 0.0

    @property
    def share(self) -> float | None:
        """From 0 to 1: what was reused counts by its requests, the rest by its tokens. None while nothing is known."""
        if not self.total or self.tokens_left is None:
            return None
        sampled = self.tokens / (self.tokens + self.tokens_left) if self.tokens else 0.0
        return (self.reused + (self.total - self.reused) * sampled) / self.total if self.done < self.total else 1.0


class Shares(Protocol):
    """What `sample_shards` hands shards to, and how far it is."""

    @property
    def reused(self) -> int:
        """Requests that were taken over."""
        ...

    @property
    def sampled(self) -> int:
        """Requests that were sampled now."""
        ...

    @property
    def tokens(self) -> Tokens:
        """Tokens that were sampled now, of what is in flight, too."""
        ...

    @property
    def stats(self) -> EngineStats:
        """What the engines have done since the stage began."""
        ...

    def take_over(self, shard: "Shard") -> None:
        """Count a finished shard."""
        ...

    def sample(self, shard: "Shard") -> None:
        """Take a shard; return when there is room for the next one."""
        ...

    def drain(self) -> None:
        """Return when every shard that was taken is written."""
        ...


@runtime_checkable
class ShardSampler(Protocol):
    """Engines that are given whole shards, in place of a `Sampler`, which is given requests."""

    device: str
    max_model_len: int
    signature: Mapping[str, Any]

    def stage(
        self, settings: SamplingSettings, report: Callable[[Shares], None], warn: Callable[[str], None]
    ) -> Shares:
        """Begin a stage. `report` is called as it goes on; `warn` gets what the person should know of."""
        ...

    def close(self) -> None:
        """End the engines."""
        ...


@dataclass(frozen=True)
class Sampled:
    """What a stage has sampled: its shards in request order, and how the requests fared."""

    paths: list[Path]
    requests: int  # in the shards
    reused: int  # of these, taken over from an earlier run
    sampled: int  # of these, sampled now
    tokens: int  # sampled now
    tokens_per_second: float  # of these, from the stage's beginning to its end
    stats: EngineStats  # of the stage
    too_long: list[TooLong]


def sample_shards(
    sampler: Sampler | ShardSampler,
    requests: Iterable[Request],
    settings: SamplingSettings,
    folder: Path,
    *,
    signature: Mapping[str, Any],
    seed: int,
    shard_size: int,
    total: int | None = None,
    n: int = 1,
    on_progress: Callable[[Progress], None] | None = None,
    warn: Callable[[str], None] = lambda said: None,
) -> Sampled:
    """Sample every request into shards under `folder`, taking over the shards that an earlier run finished.

    requests: in the order of the output, each id once. They are read as they are needed, so a generator keeps memory
        small. Requests with a common beginning belong side by side: the engine then computes it once.
    signature: JSON values that shape the completions and are in neither the prompts' token ids nor `settings`. The
        sampler's own signature (policy, engine settings) always counts.
    shard_size: completions of a shard at most, but at least one request's, on CUDA one group's; see `size_of_shard`. On
        the CPU a killed run has to do one again, and smaller ones cost speed. Shards of another size are not found
        again.
    total, n: number of requests, and how many completions each wants, for the progress alone.
    warn: gets what a person should know of: an engine of several that has ended.

    Raises `UserError` if the disk is full; finished shards stay. After any exception the engine is closed, since what
    was in flight may have left it in any state; the next `open_engine` starts a fresh one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep_temporary(folder)
    too_long: list[TooLong] = []
    sampling = for_engine(settings).model_dump()
    basis = {"sampler": sampler.signature, "signature": signature, "settings": sampling, "seed": seed}
    fitting = _fitting(requests, settings, sampler.max_model_len, too_long)
    reporter = _Reporter(on_progress, total, n, settings)
    paths = []
    try:
        stage = (
            sampler.stage(settings, reporter.report, warn)
            if isinstance(sampler, ShardSampler)
            else Stage(sampler, settings, reporter.report)
        )
        for shard in _shards(fitting, folder, json.dumps(basis, sort_keys=True), shard_size, sampler.device == "cuda"):
            paths.append(shard.path)
            if shard.whole:
                stage.take_over(shard)
            else:
                stage.sample(shard)
        stage.drain()
        reporter.report(stage, final=True)
    except BaseException:
        sampler.close()
        raise
    done = stage.reused + stage.sampled
    tokens = stage.tokens.done
    speed = tokens / reporter.seconds
    return Sampled(paths, done, stage.reused, stage.sampled, tokens, speed, stage.stats, too_long)


def size_of_shard(requests: int, n: int, most: int) -> int:
    """Completions per shard of so many requests with `n` completions each; no more than `most`.

    `SHARE` of them, or, where that is more, `FEW` completions or `FEW_REQUESTS` requests, whichever are fewer.
    """
    return min(most, max(min(FEW, FEW_REQUESTS * n), int(requests * n * SHARE)))


def scan_shards(paths: Sequence[Path]) -> pl.LazyFrame:
    """The rows of the shards in request order, then sample order; columns as in `SHARD_SCHEMA`."""
    return pl.scan_parquet(list(paths), glob=False) if paths else pl.LazyFrame(schema=SHARD_SCHEMA)


@dataclass
class Shard:
    """The requests of one file, and the completions of those that are done."""

    path: Path
    seed: int
    requests: list[Request]
    done: dict[str, list[Completion]] = field(default_factory=dict)
    recalled: int = 0
    """Of those that are done, how many a killed stage had noted."""
    _journal: IO[str] | None = None

    @property
    def whole(self) -> bool:
        """Whether its file is there and can be read: all of its requests' completions. Else it is sampled again."""
        if not self.path.is_file():
            return False
        try:
            rows = pl.read_parquet(self.path, glob=False)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
            return False
        wanted = [(request.id, sample) for request in self.requests for sample in range(request.n)]
        return rows.schema == SHARD_SCHEMA and list(rows.select("request_id", "sample").iter_rows()) == wanted

    @property
    def journal(self) -> Path:
        """Holds what is done of it until all is; on the CPU, where a shard is sampled as a whole, there is none."""
        return self.path.with_suffix(".jsonl")

    def note(self, request_id: str) -> None:
        """Add a request that is done to the journal, which stays open until the shard is written."""
        with full_disk_told(self.journal):
            if self._journal is None:
                self._journal = self.journal.open("a", encoding="utf-8")
            self._journal.write(json.dumps([request_id, self.done[request_id]]) + "\n")
            self._journal.flush()

    def recall(self) -> None:
        """Take over what a killed stage noted, up to the first line that is not whole; from there on it is cut off."""
        if not self.journal.is_file():
            return
        whole = 0
        for line in self.journal.read_bytes().splitlines(keepends=True):
            try:
                request_id, completions = json.loads(line)
            except (ValueError, TypeError):
                break
            if not line.endswith(b"\n"):
                break
            self.done[request_id] = [Completion(*c) for c in completions]
            whole += len(line)
        self.recalled = len(self.done)
        os.truncate(self.journal, whole)

    def commit(self) -> None:
        """Write it, now that all is done: a reader sees all of it or nothing."""
        rows = [
            (request.id, sample, c.text, c.finish_reason, c.token_ids)
            for request in self.requests
            for sample, c in enumerate(self.done[request.id])
        ]
        atomically(self.path, pl.DataFrame(rows, schema=SHARD_SCHEMA, orient="row").write_parquet)
        if self._journal is not None:
            self._journal.close()
        self.journal.unlink(missing_ok=True)


class Stage:
    """Keeps one sampler busy and commits shards; only shards with a request in flight are held."""

    def __init__(
        self,
        sampler: Sampler,
        settings: SamplingSettings,
        report: Callable[[Shares], None],
        committed: Callable[[Shard], None] = lambda shard: None,
    ) -> None:
        self.reused = self.sampled = 0
        self._done = Tokens()
        self.barrier = sampler.device == "cpu"
        """Whether a shard is done before the next one begins."""
        self._sampler = sampler
        self._before = sampler.stats
        self._settings = settings
        self._report = report
        self._committed = committed
        self._window = 2 * sampler.max_num_seqs  # one batch runs, the next one waits at the engine's door
        self._owner: dict[str, Shard] = {}  # by the ids of the requests in flight

    @property
    def in_flight(self) -> int:
        """Completions asked for and not returned yet."""
        return self._sampler.in_flight

    @property
    def tokens(self) -> Tokens:
        """Tokens that were sampled now."""
        return self._done._replace(
            in_flight=self._sampler.tokens_in_flight, completions_in_flight=self._sampler.in_flight
        )

    @property
    def stats(self) -> EngineStats:
        """What the engine has done since the stage began."""
        return self._sampler.stats.since(self._before)

    def take_over(self, shard: Shard) -> None:
        """Count a finished shard."""
        self.reused += len(shard.requests)
        self._report(self)

    def sample(self, shard: Shard) -> None:
        """Hand the requests of a shard to the sampler as it has room for them."""
        if not self.barrier:
            shard.recall()
        self.reused += shard.recalled
        recalled, asked = set(shard.done), set()
        if not self._sampler.in_flight:
            self._sampler.reseed(shard.seed)
        for request in shard.requests:
            if request.id in self._owner or request.id in asked:
                raise ValueError(f"two requests have the id {request.id}; ids must be unique")
            asked.add(request.id)
            if request.id in recalled:
                continue
            while self._sampler.in_flight >= self._window:
                self.step()
            self._owner[request.id] = shard
            self._sampler.add(request, self._settings)
        if recalled == asked:
            self._commit(shard)
        if self.barrier:
            self.drain()

    def drain(self) -> None:
        """Wait for everything in flight."""
        while self._sampler.in_flight:
            self.step()

    def step(self) -> None:
        """Compute one token of everything in flight; write what is done."""
        advanced: dict[Path, Shard] = {}
        for request_id, completions in self._sampler.step():
            shard = self._owner.pop(request_id)
            shard.done[request_id] = completions
            if not self.barrier:
                shard.note(request_id)
            advanced[shard.path] = shard
            self.sampled += 1
            sampled = sum(len(c.token_ids) for c in completions)
            self._done = self._done.plus(Tokens(done=sampled, completions=len(completions)))
        for shard in advanced.values():
            if len(shard.done) == len(shard.requests):
                self._commit(shard)
        self._report(self)

    def _commit(self, shard: Shard) -> None:
        shard.commit()
        self._committed(shard)


def _fitting(
    requests: Iterable[Request], settings: SamplingSettings, max_model_len: int, too_long: list[TooLong]
) -> Iterator[Request]:
    """The requests that fit into the context; the others go to `too_long`."""
    for request in requests:
        if settings.temperature == 0 and request.n > 1:
            raise UserError(
                f"temperature 0 gives the same completion every time, but request {request.id} wants {request.n}. "
                "Raise the temperature, or ask for one sample."
            )
        if len(request.prompt_ids) + settings.max_tokens > max_model_len:
            too_long.append(TooLong(request.id, len(request.prompt_ids), settings.max_tokens, max_model_len))
        else:
            yield request


def _shards(requests: Iterator[Request], folder: Path, basis: str, size: int, groups: bool) -> Iterator[Shard]:
    """Consecutive requests in shards of at most `size` completions; a request with more has one for itself.

    groups: none is parted; one with more has a shard for itself.
    """
    batch: list[Request] = []
    index = completions = 0

    def shard() -> Shard:
        key = blake2b(basis.encode(), digest_size=8)
        key.update(json.dumps([(r.id, r.n, r.prompt_ids) for r in batch]).encode())
        return Shard(folder / f"{index:05d}-{key.hexdigest()}.parquet", int(key.hexdigest(), 16), batch)

    for _, members in groupby(requests, lambda r: (groups and r.group) or r.id):
        whole = list(members)
        wanted = sum(request.n for request in whole)
        if batch and completions + wanted > size:
            yield shard()
            batch, index, completions = [], index + 1, 0
        batch += whole
        completions += wanted
    if batch:
        yield shard()


class _Reporter:
    """Calls back at most every few seconds, and when a stage is done."""

    def __init__(
        self, on_progress: Callable[[Progress], None] | None, total: int | None, each: int, settings: SamplingSettings
    ) -> None:
        self._call = on_progress
        self._total = total
        self._each = each
        self._most = settings.max_tokens
        self._started = self._last = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the stage began."""
        return max(time.monotonic() - self._started, 1e-9)

    def report(self, stage: Shares, final: bool = False) -> None:
        now = time.monotonic()
        if self._call is None or (now - self._last < SECONDS_BETWEEN_REPORTS and not final):
            return
        self._last = now
        done, tokens = stage.reused + stage.sampled, stage.tokens
        speed = tokens.all / max(now - self._started, 1e-9)
        self._call(Progress(done, self._total, stage.reused, tokens.all, speed, self._left(stage, tokens), stage.stats))

    def _left(self, stage: Shares, tokens: Tokens) -> float | None:
        """Tokens that are still to be expected; None while nothing is known of their number."""
        if self._total is None or not (tokens.all or stage.reused + stage.sampled == self._total):
            return None
        requests = self._total - stage.reused - stage.sampled
        return tokens.left(max(0, requests * self._each - tokens.completions_in_flight), self._most)
