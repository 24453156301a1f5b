"""Engines in processes of their own, each with the whole model. They share out the shards of a stage.

    replicas = Replicas(folder, fingerprint, recipe.engine, log=run.folder / "engine.log")
    sample_shards(replicas, requests, recipe.responses, ...)
    replicas.close()

`engine.replicas` of them, each on GPUs of its own. A replica is a process of `mr_assets.sampling.replica`: an engine
with the front end that it needs for itself, since a front end takes 13 microseconds of a core per token. It asks for a
shard when it has room for one, and writes it when it is done; the requests of a shard stay together, since they share
beginnings, which their engine computes once. On CUDA all of a prompt's are in one.

A replica that ends by itself loses what it had in flight. Its shards go to the others, which take over what it had
noted. With this process end all of its replicas, and the processes that vLLM started for them: a replica ends itself
and its whole process group when the connection to here breaks, so also when this process is killed.
"""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import reduce
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from mr_assets.errors import UserError
from mr_assets.processes import end_group
from mr_assets.sampling.engine import check_engine, ended, samples_on_cpu, signature, with_end_of
from mr_assets.sampling.settings import EngineSettings, SamplingSettings, for_engine
from mr_assets.sampling.shards import Shard, Shares
from mr_assets.sampling.stats import EngineStats, Tokens

PATIENCE_SECONDS = 8.0  # for a replica to close its engine: vLLM itself waits five seconds for its processes
SECONDS_BETWEEN_LOOKS = 0.2  # at whether a process is there: what it started may keep its connection open
VISIBLE = "CUDA_VISIBLE_DEVICES"
_CODE = Path(__file__).parents[2]


class Start(NamedTuple):
    """To a replica: the engine to start."""

    folder: Path
    fingerprint: str
    settings: EngineSettings
    stop_token_ids: tuple[int, ...]
    log: Path | None


class Begin(NamedTuple):
    """To a replica: a stage. Its shards follow."""

    settings: SamplingSettings


class End(NamedTuple):
    """To a replica: the stage has no further shards."""


class Ready(NamedTuple):
    """From a replica: its engine has started."""

    device: str
    max_model_len: int


class Wanted(NamedTuple):
    """From a replica: it has room for a shard."""


class Counted(NamedTuple):
    """From a replica: what it has sampled since the stage began, of shards that are not written, too."""

    requests: int
    tokens: Tokens = Tokens()
    stats: EngineStats = EngineStats()


NOTHING = Counted(0)


class Committed(NamedTuple):
    """From a replica: a shard is written."""

    path: Path
    recalled: int
    tokens: Tokens


class Ended(NamedTuple):
    """From a replica: its part of the stage is over."""


class Failed(NamedTuple):
    """From a replica: it cannot go on."""

    said: str
    to_mend: bool
    """Whether the person has to mend something, so that the others would fail alike."""


@dataclass(eq=False)
class _Replica:
    """One process, and what it has of the stage under way."""

    number: int  # from 1
    process: subprocess.Popen[bytes]
    connection: Connection
    log: Path | None
    wants: bool = False
    held: dict[Path, Shard] = field(default_factory=dict)
    counted: Counted = NOTHING
    committed: Counted = NOTHING

    @property
    def gone(self) -> bool:
        """Whether its process has ended."""
        return self.process.poll() is not None

    def told(self, said: str) -> str:
        """A message with the end of what it printed."""
        return said if self.log is None else with_end_of(self.log, said)

    def kill(self) -> None:
        """End it and all that it started. Twice does no harm."""
        end_group(self.process.pid)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        self.connection.close()

    @property
    def end(self) -> str:
        """How its process ended, once it was killed."""
        return f"its process {ended(self.process.returncode)}"


class Replicas:
    """The engines on one policy, started. Raises `UserError` with vLLM's own message if one cannot start."""

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        settings: EngineSettings,
        stop_token_ids: tuple[int, ...] = (),
        log: Path | None = None,
    ) -> None:
        check_engine(folder, settings)
        self._replicas: list[_Replica] = []
        self._count = settings.replicas
        try:
            for number, environment in enumerate(environments(settings, os.environ, samples_on_cpu()), start=1):
                self._replicas.append(_started(number, environment, log))
            for replica in self._replicas:
                replica.connection.send(Start(folder, fingerprint, settings, stop_token_ids, replica.log))
            ready = _ready(self._replicas)
        except BaseException:
            self.close()
            raise
        self.device = ready.device
        self.max_model_len = ready.max_model_len
        self.signature: Mapping[str, Any] = signature(fingerprint, self.device, settings, stop_token_ids)

    @property
    def pids(self) -> list[int]:
        """The process ids of the replicas that there are."""
        return [replica.process.pid for replica in self._replicas]

    @property
    def in_flight(self) -> int:
        """Shards that are given to a replica and not written."""
        return sum(len(replica.held) for replica in self._replicas)

    @property
    def closed(self) -> bool:
        """Whether it was closed, or has lost one of its replicas: then fresh ones are needed."""
        return len(self._replicas) < self._count or any(replica.gone for replica in self._replicas)

    def stage(
        self, settings: SamplingSettings, report: Callable[[Shares], None], warn: Callable[[str], None]
    ) -> Shares:
        """Begin a stage: the replicas ask for shards."""
        return _SharedStage(self._replicas, for_engine(settings), report, warn)

    def close(self) -> None:
        """End the replicas: each closes its engine; one that takes longer than some seconds is killed."""
        replicas, self._replicas[:] = list(self._replicas), []
        until = time.monotonic() + PATIENCE_SECONDS
        try:
            for replica in replicas:
                replica.process.send_signal(signal.SIGINT)
            for replica in replicas:
                with suppress(subprocess.TimeoutExpired):
                    replica.process.wait(max(0.0, until - time.monotonic()))
        finally:
            for replica in replicas:
                replica.kill()


def environments(settings: EngineSettings, ours: Mapping[str, str], cpu: bool) -> Iterator[dict[str, str]]:
    """The environment of each replica: ours; where several share out the GPUs, with a part of those that are visible.

    Where CUDA_VISIBLE_DEVICES is not set, that is the GPUs by their numbers from 0. Raises `UserError` if it shows
    fewer than the replicas need. cpu: there are no GPUs to share out.
    """
    path = os.pathsep.join(filter(None, [str(_CODE), ours.get("PYTHONPATH")]))
    if cpu or settings.replicas == 1:
        yield from ({**ours, "PYTHONPATH": path} for _ in range(settings.replicas))
        return
    each, needed = settings.gpus, settings.gpus * settings.replicas
    shown = ours.get(VISIBLE, ",".join(map(str, range(needed)))).split(",")
    if len(shown) < needed:
        raise UserError(
            f"engine.replicas = {settings.replicas}: with {each} GPUs each they need {needed}, but {VISIBLE} = "
            f"{ours[VISIBLE]} shows {len(shown)}. Lower it, or show more."
        )
    for first in range(0, needed, each):
        yield {**ours, "PYTHONPATH": path, VISIBLE: ",".join(shown[first : first + each])}


def replica_program() -> list[str]:
    """The command of a replica, without the number of its connection."""
    return [sys.executable, "-m", "mr_assets.sampling.replica"]


def _started(number: int, environment: dict[str, str], log: Path | None) -> _Replica:
    """A replica's process, in a group of its own, with its end of a connection. What it prints goes to its log."""
    if log is not None:
        log = log if number == 1 else log.with_suffix(f".{number}{log.suffix}")
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
    here, there = Pipe()
    with there, open(log or os.devnull, "ab") as output:
        process = subprocess.Popen(
            [*replica_program(), str(there.fileno())],
            env=environment,
            pass_fds=[there.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _Replica(number, process, here, log)


def _ready(replicas: Sequence[_Replica]) -> Ready:
    """What replicas say of their engines once all have started. The first one that cannot is told at once."""
    started: dict[_Replica, Ready] = {}
    while waiting := [replica for replica in replicas if replica not in started]:
        for replica in _speaking(waiting):
            message = _heard(replica)
            if not isinstance(message, Ready):
                raise _not_started(replica, message)
            started[replica] = message
    return started[replicas[0]]


def _not_started(replica: _Replica, message: Failed | None) -> UserError:
    """Why an engine could not start: in its words, or how its process ended."""
    if message is not None and message.to_mend:
        return UserError(message.said)
    replica.kill()
    said = replica.end if message is None else message.said
    return UserError(replica.told(f"sampling engine {replica.number} could not start: {said}"))


def _speaking(replicas: Sequence[_Replica]) -> list[_Replica]:
    """Those that have said something, or are gone; none if that takes longer than a moment."""
    ready = wait([replica.connection for replica in replicas], SECONDS_BETWEEN_LOOKS)
    return [replica for replica in replicas if replica.connection in ready or replica.gone]


def _heard(replica: _Replica) -> Any:
    """The next message of a replica; None when it is gone and has said all."""
    try:
        while not replica.connection.poll(SECONDS_BETWEEN_LOOKS):
            if replica.gone and not replica.connection.poll():
                return None
        return replica.connection.recv()
    except (EOFError, OSError):
        return None


class _SharedStage:
    """Gives each replica a shard when it asks for one, and hears what becomes of it."""

    def __init__(
        self,
        replicas: list[_Replica],
        settings: SamplingSettings,
        report: Callable[[Shares], None],
        warn: Callable[[str], None],
    ) -> None:
        self._replicas = replicas
        self._report = report
        self._warn = warn
        self._waiting: deque[Shard] = deque()
        self._recalled = 0
        self._whole = 0  # requests of shards that were taken over whole
        self._gone = NOTHING  # what replicas had written that are gone
        self._over: set[_Replica] = set()  # replicas that have said that their part is over
        for replica in list(replicas):
            replica.held, replica.wants = {}, False
            replica.counted = replica.committed = NOTHING
            self._send(replica, Begin(settings))

    @property
    def reused(self) -> int:
        return self._whole + self._recalled

    @property
    def sampled(self) -> int:
        return self._gone.requests + sum(replica.counted.requests for replica in self._replicas)

    @property
    def tokens(self) -> Tokens:
        return reduce(Tokens.plus, (replica.counted.tokens for replica in self._replicas), self._gone.tokens)

    @property
    def stats(self) -> EngineStats:
        return reduce(EngineStats.plus, (replica.counted.stats for replica in self._replicas), self._gone.stats)

    def take_over(self, shard: Shard) -> None:
        self._whole += len(shard.requests)
        self._report(self)

    def sample(self, shard: Shard) -> None:
        self._waiting.append(shard)
        self._hand_out()
        while self._waiting:
            self._hear()
            self._hand_out()

    def drain(self) -> None:
        while self._waiting or any(replica.held for replica in self._replicas):
            self._hear()
            self._hand_out()
        for replica in list(self._replicas):
            self._send(replica, End())
        while not self._over.issuperset(self._replicas):
            self._hear()

    def _hand_out(self) -> None:
        for replica in list(self._replicas):
            if self._waiting and replica.wants:
                shard = self._waiting.popleft()
                replica.held[shard.path], replica.wants = shard, False
                self._send(replica, shard)

    def _send(self, replica: _Replica, message: Any) -> None:
        try:
            replica.connection.send(message)
        except OSError:  # it is gone
            self._lose(replica)

    def _hear(self) -> None:
        """Wait for a message, or for the end of a replica."""
        for replica in _speaking(self._replicas):
            self._take(replica, _heard(replica))
        self._report(self)

    def _take(self, replica: _Replica, message: Any) -> None:
        match message:
            case Wanted():
                replica.wants = True
            case Counted():
                replica.counted = message
            case Committed(path, recalled, tokens):
                requests = len(replica.held.pop(path).requests) - recalled
                replica.committed = _sum(replica.committed, Counted(requests, tokens))
                self._recalled += recalled
            case Ended():
                self._over.add(replica)
            case Failed(said, to_mend) if to_mend:
                raise UserError(said)
            case Failed(said):
                self._lose(replica, said)
            case _:
                self._lose(replica)

    def _lose(self, replica: _Replica, said: str = "") -> None:
        """A replica is gone: its shards go to the others, which begin with them."""
        if replica not in self._replicas:
            return
        while not said and (message := _heard(replica)) is not None:  # what it said before it ended
            self._take(replica, message)
            if replica not in self._replicas:
                return
        self._replicas.remove(replica)
        replica.kill()
        done = replica.counted.stats._replace(running=0, waiting=0)
        self._gone = _sum(self._gone, replica.committed._replace(stats=done))
        whole = [shard for shard in replica.held.values() if shard.whole]  # it ended before it could say so
        self._gone = _sum(self._gone, Counted(sum(len(shard.requests) for shard in whole)))
        lost = [shard for shard in replica.held.values() if shard not in whole]
        self._waiting.extendleft(reversed(lost))
        what = f"engine {replica.number} is gone: {(said or replica.end).strip()}"
        if not self._replicas:
            raise UserError(
                replica.told(
                    f"{what}\nNo engine is left. What was sampled is kept; the same command goes on from there."
                )
            )
        self._warn(
            replica.told(
                f"{what}\nIts {len(lost)} shards go to the other engines. The next asset begins with a fresh one."
            )
        )


def _sum(one: Counted, other: Counted) -> Counted:
    return Counted(one.requests + other.requests, one.tokens.plus(other.tokens), one.stats.plus(other.stats))
