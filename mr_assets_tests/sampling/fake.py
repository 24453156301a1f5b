"""A sampler whose behaviour is obvious, for the fast tier."""

import random
from collections import deque
from collections.abc import Mapping
from typing import Any

from mr_assets.sampling.engine import Completion, Request
from mr_assets.sampling.settings import EngineSettings, SamplingSettings
from mr_assets.sampling.stats import EngineStats

END = 0


def engine_settings(**said: Any) -> EngineSettings:
    """Settings that say this; the rest suits a small model on any device."""
    plain: dict[str, Any] = {
        "max_model_len": 512,
        "dtype": "bfloat16",
        "max_num_seqs": 448,
        "gpu_memory_utilization": 0.9,
        "cpu_kv_cache_gib": 1.0,
        "enforce_eager": None,
        "tensor_parallel_size": 1,
        "shard_size": 448,
    }
    return EngineSettings(**{**plain, **said})


class Killed(BaseException):
    """What the fake raises where a test wants the run to die."""


class FakeSampler:
    """Like the engine: at most `max_num_seqs` completions run, each gets one token a step, all draw from one stream.

    A token is the prompt's sum plus a draw from 1..9 of the shared random numbers; a draw of 0 ends the completion. So
    what comes out depends on everything that ran since the last reseed, as with the real engine.
    `die_at`: the step at which `Killed` is raised.
    """

    def __init__(
        self, device: str = "cpu", max_num_seqs: int = 4, policy: str = "M0", max_model_len: int = 32, die_at: int = -1
    ) -> None:
        self.device = device
        self.max_num_seqs = max_num_seqs
        self.max_model_len = max_model_len
        self.signature: Mapping[str, Any] = {"policy": policy}
        self.die_at = die_at
        self.added: list[str] = []
        self.returned: dict[str, list[Completion]] = {}
        self.in_flight_at_reseed: list[int] = []
        self.in_flight_at_step: list[int] = []
        self.closed = False
        self._asked: list[Request] = []
        self._random = random.Random("unseeded")
        self._waiting: deque[tuple[Request, int, list[int], int]] = deque()
        self._running: list[tuple[Request, int, list[int], int]] = []
        self._finished: dict[str, dict[int, Completion]] = {}

    @property
    def stats(self) -> EngineStats:
        """Prompt tokens of all that was begun; the second and later samples of a request find theirs in the cache."""
        asked = [request for request in self._asked for _ in range(request.n)]
        once = sum(len(request.prompt_ids) for request in self._asked)
        all_tokens = sum(len(request.prompt_ids) for request in asked)
        return EngineStats(len(self._running), len(self._waiting), all_tokens, all_tokens - once)

    @property
    def in_flight(self) -> int:
        done = sum(len(of) for of in self._finished.values())
        return len(self._waiting) + len(self._running) + done

    @property
    def tokens_in_flight(self) -> int:
        ended = (c for of in self._finished.values() for c in of.values())
        return sum(len(ids) for _, _, ids, _ in self._running) + sum(len(c.token_ids) for c in ended)

    def add(self, request: Request, settings: SamplingSettings) -> None:
        self.added.append(request.id)
        self._asked.append(request)
        self._finished[request.id] = {}
        self._waiting.extend((request, sample, [], settings.max_tokens) for sample in range(request.n))

    def step(self) -> list[tuple[str, list[Completion]]]:
        self.in_flight_at_step.append(self.in_flight)
        if len(self.in_flight_at_step) == self.die_at:
            raise Killed
        while self._waiting and len(self._running) < self.max_num_seqs:
            self._running.append(self._waiting.popleft())
        still, done = [], []
        for request, sample, ids, most in self._running:
            drawn = self._random.randrange(10)
            ids.append(sum(request.prompt_ids) + drawn if drawn else END)
            if drawn and len(ids) < most:
                still.append((request, sample, ids, most))
                continue
            of = self._finished[request.id]
            of[sample] = Completion(f"{request.id}:{ids}", ids, "length" if drawn else "stop")
            if len(of) == request.n:
                done.append((request.id, [of[k] for k in range(request.n)]))
                del self._finished[request.id]
        self._running = still
        self.returned |= dict(done)
        return done

    def reseed(self, seed: int) -> None:
        self.in_flight_at_reseed.append(self.in_flight)
        self._random = random.Random(seed)

    def close(self) -> None:
        self.closed = True
