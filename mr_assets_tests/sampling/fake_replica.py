"""A replica with a fake engine, for the fast tier: `python -m mr_assets_tests.sampling.fake_replica FD`.

What it does is set from outside:
    MR_FAKE_DEVICE       cpu or cuda
    MR_FAKE_SECONDS      what a step takes
A request whose prompt begins with DEADLY kills the process that samples it, the first time; one with BROKEN or FULL
raises, and one with CORELESS when it has killed the engine's own process. Which process was given which request is in
requests.log of the working folder.
"""

import os
import signal
import time
from multiprocessing import Process, active_children
from pathlib import Path

from mr_assets.errors import UserError
from mr_assets.sampling.engine import Completion, Request, Sampler
from mr_assets.sampling.replica import main
from mr_assets.sampling.replicas import Start
from mr_assets.sampling.settings import SamplingSettings
from mr_assets_tests.sampling.fake import FakeSampler

DEADLY, BROKEN, FULL, CORELESS = 91, 92, 93, 94


def note(request: Request) -> None:
    """Say in requests.log of the working folder that this process samples a request."""
    with Path("requests.log").open("a") as log:
        log.write(f"{os.getpid()} {request.id}\n")


def sampled_by() -> dict[str, list[int]]:
    """The processes that sampled each request."""
    found: dict[str, list[int]] = {}
    for line in Path("requests.log").read_text().splitlines():
        pid, request = line.split()
        found.setdefault(request, []).append(int(pid))
    return found


class Logged(FakeSampler):
    """Tells what it samples, and breaks where it is told to."""

    def add(self, request: Request, settings: SamplingSettings) -> None:
        note(request)
        first, died = request.prompt_ids[0], Path("died")
        if first == DEADLY and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if first == BROKEN:
            raise RuntimeError("the device is lost")
        if first == CORELESS:
            [core] = active_children()
            core.kill()
            raise RuntimeError("the engine is dead")
        if first == FULL:
            raise UserError("no space left on disk")
        super().add(request, settings)

    def step(self) -> list[tuple[str, list[Completion]]]:
        time.sleep(float(os.environ.get("MR_FAKE_SECONDS", "0")))
        return super().step()


def open_sampler(start: Start) -> Sampler:
    """In place of the engine; it has a process of its own beside it, as vLLM may have."""
    print("loading", start.fingerprint, os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    if start.fingerprint == "bad":
        raise UserError("the KV cache is too small")
    first = start.log is None or start.log.stem == "engine"
    if start.fingerprint == "second" and first:
        time.sleep(120)
    if start.fingerprint in ("dead", "second"):
        os._exit(3)
    if start.fingerprint == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    Process(target=time.sleep, args=(600,), name="EngineCore").start()
    return Logged(os.environ.get("MR_FAKE_DEVICE", "cpu"), policy=start.fingerprint)


if __name__ == "__main__":
    main(open_sampler)
