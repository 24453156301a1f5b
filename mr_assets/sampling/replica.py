"""An engine in a process of its own: what `mr_assets.sampling.replicas` starts, one per replica.

    python -m mr_assets.sampling.replica 5        the number of the file descriptor that connects it with its starter

It does not outlive its starter: when the connection breaks, it dies with its whole process group, in which vLLM's
processes are. They in turn die when it is gone, and it dies when one of them is. SIGINT asks it to close its engine
and end.
"""

import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import active_children
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from mr_assets.errors import UserError
from mr_assets.processes import die_with_process, end_own_group, when_gone
from mr_assets.sampling.engine import Sampler, VLLMSampler, ended
from mr_assets.sampling.replicas import Begin, Committed, Counted, End, Ended, Failed, Ready, Start, Wanted
from mr_assets.sampling.shards import Shard, Shares, Stage
from mr_assets.sampling.stats import Tokens

SECONDS_BETWEEN_COUNTS = 0.1
SECONDS_TO_END, SECONDS_TO_LOOK = 1.0, 0.01  # until what a process ended with is known
REPLICA = "MR_REPLICA"  # of the processes that vLLM starts: the id of the replica that they work for


def open_sampler(start: Start) -> Sampler:
    """The engine that the starter asks for. Processes that vLLM starts for it die with this one.

    They do from before they load anything: the forked ones by what is registered here; the spawned ones, in which
    Python imports this module first, by its last line.
    """
    pid = os.getpid()
    os.environ[REPLICA] = str(pid)
    os.register_at_fork(after_in_child=lambda: die_with_process(pid))
    return VLLMSampler(*start)


def main(sampler_of: Callable[[Start], Sampler] = open_sampler) -> None:
    """Start an engine, sample stage after stage, end with the starter. It does not return."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
    connection = Connection(int(sys.argv[1]))
    os.set_inheritable(connection.fileno(), False)
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_hear, args=(connection, told), daemon=True, name="starter").start()
    sampler: Sampler | None = None
    closing = threading.Event()
    watched: list[BaseProcess] = []
    status = 0
    try:
        sampler = sampler_of(told.get())
        watched = active_children()
        _watch(watched, connection, closing)
        connection.send(Ready(sampler.device, sampler.max_model_len))
        while True:
            begin: Begin = told.get()
            _sample(Stage(sampler, begin.settings, *_reports(connection)), connection, told)
    except KeyboardInterrupt:
        pass
    except Exception as error:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends by itself
        closing.set()
        traceback.print_exc()
        to_mend = isinstance(error, UserError)
        said = str(error) if to_mend else _ended(watched) or f"{type(error).__name__}: {error}"
        connection.send(Failed(said, to_mend))
        status = 1
    try:
        if sampler is not None:
            closing.set()
            sampler.close()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # Python would take seconds to put torch and vLLM away


def _hear(connection: Connection, told: queue.SimpleQueue[Any]) -> None:
    """Take what the starter says, at once: it never waits for the engine. Without it, die."""
    try:
        while True:
            told.put(connection.recv())
    finally:
        end_own_group()


def _watch(processes: Sequence[BaseProcess], connection: Connection, closing: threading.Event) -> None:
    """When a process that the engine started ends before its time, say so and die: vLLM may wait for it for good."""

    def lost(process: BaseProcess) -> None:
        if closing.is_set():
            return
        while not (said := _ended([process])):
            continue  # what it ended with is not known in the same moment
        connection.send(Failed(said, to_mend=False))  # one write
        end_own_group()

    for process in processes:
        assert process.pid is not None, "it was started"
        when_gone(process.pid, partial(lost, process))


def _ended(processes: Sequence[BaseProcess]) -> str:
    """How one of vLLM's processes has ended, which vLLM's own error does not say; "" if all are there."""
    until = time.monotonic() + SECONDS_TO_END
    while processes and time.monotonic() < until:
        for process in processes:
            if process.exitcode is not None:
                return f"vLLM's process {process.name} {ended(process.exitcode)}"
        time.sleep(SECONDS_TO_LOOK)  # vLLM may be asking for it in this moment
    return ""


def _reports(connection: Connection) -> tuple[Callable[[Shares], None], Callable[[Shard], None]]:
    """What a stage calls as it goes on, and when a shard is written."""
    last = 0.0

    def report(stage: Shares) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_COUNTS:
            last = time.monotonic()
            connection.send(Counted(stage.sampled, stage.tokens, stage.stats))

    def committed(shard: Shard) -> None:
        sampled = [c for completions in list(shard.done.values())[shard.recalled :] for c in completions]
        tokens = Tokens(done=sum(len(c.token_ids) for c in sampled), completions=len(sampled))
        connection.send(Committed(shard.path, shard.recalled, tokens))

    return report, committed


def _sample(stage: Stage, connection: Connection, told: queue.SimpleQueue[Any]) -> None:
    """Ask for shards and sample them until the stage is over. On CUDA the next one is there before the last is done."""
    connection.send(Wanted())
    while True:
        try:
            message = told.get(block=not stage.in_flight)
        except queue.Empty:
            stage.step()
            continue
        if isinstance(message, End):
            break
        if not stage.barrier:
            connection.send(Wanted())
        stage.sample(message)
        if stage.barrier:
            connection.send(Wanted())
    stage.drain()
    connection.send(Counted(stage.sampled, stage.tokens, stage.stats))
    connection.send(Ended())


if __name__ == "__main__":
    main()
elif __name__ == "__mp_main__":  # in a process that was spawned
    die_with_process(int(os.environ[REPLICA]))
