"""A model behind an OpenAI-compatible endpoint as a sampler: texts in, completions out as they finish.

    sampler = Endpoint("http://127.0.0.1:8000/v1", "llama-2-70b-chat", "OPENAI_API_KEY", concurrency=16)
    sampler.add(Request("01.000012", as_bytes("Write one more task ...")), recipe.generation)

It is a `Sampler` like the engine, so that what it gives lies in the same shards, and a killed stage goes on with what
was in flight. There are no token ids on this side: those of a request are the bytes of its text, those of a completion
none.
"""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from hashlib import blake2b
from typing import Any

from mr_assets.errors import UserError
from mr_assets.sampling.connection import FIRST_PAUSE, TRIES, Connection, Refused, Silent
from mr_assets.sampling.engine import Completion, Request
from mr_assets.sampling.settings import SamplingSettings
from mr_assets.sampling.stats import EngineStats


def as_bytes(text: str) -> list[int]:
    """A text as the ids of a request to an endpoint."""
    return list(text.encode())


class Endpoint:
    """Sends one request per completion, at most `concurrency` at a time.

    url: up to and including /v1; model: its name there; key_variable: the environment variable that holds the key. A
    server that asks for none gets a placeholder.
    pause: seconds before the first request is sent again; doubled each time.
    """

    device = "endpoint"
    max_model_len = 2**31

    def __init__(
        self, url: str, model: str, key_variable: str, *, concurrency: int, pause: float = FIRST_PAUSE
    ) -> None:
        self.url, self.model, self.key_variable = url, model, key_variable
        self.max_num_seqs = concurrency
        self.signature: Mapping[str, Any] = {"endpoint": url, "model": model}
        self.stats = EngineStats()
        self._connection = Connection(url, key_variable, pause=pause)
        self._at_once = asyncio.Semaphore(concurrency)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="endpoint", daemon=True).start()
        self._asked: dict[Future[list[Completion]], str] = {}
        self._closed = False

    @property
    def in_flight(self) -> int:
        """Requests without an answer yet."""
        return len(self._asked)

    @property
    def tokens_in_flight(self) -> int:
        """Tokens so far of what is in flight: an endpoint does not say."""
        return 0

    def add(self, request: Request, settings: SamplingSettings) -> None:
        """Queue a request."""
        self._asked[asyncio.run_coroutine_threadsafe(self._complete(request, settings), self._loop)] = request.id

    def step(self) -> list[tuple[str, list[Completion]]]:
        """Wait for at least one answer. Raises `UserError` if the endpoint refuses, or fails `TRIES` times."""
        done, _ = wait(self._asked, return_when=FIRST_COMPLETED)
        return [(self._asked.pop(future), future.result()) for future in sorted(done, key=lambda f: self._asked[f])]

    def reseed(self, seed: int) -> None:
        """Nothing: each request has the seed that its text and id give."""

    def close(self) -> None:
        """Give up what is in flight."""
        for future in self._asked:
            future.cancel()
        if not self._closed:
            self._closed = True
            asyncio.run_coroutine_threadsafe(self._end(), self._loop)

    async def _end(self) -> None:
        await self._connection.close()
        self._loop.stop()

    async def _complete(self, request: Request, settings: SamplingSettings) -> list[Completion]:
        async with self._at_once:
            return [await self._answer(request, settings, sample) for sample in range(request.n)]

    async def _answer(self, request: Request, settings: SamplingSettings, sample: int) -> Completion:
        text = bytes(request.prompt_ids).decode()
        seed = int.from_bytes(blake2b(f"{request.id}|{sample}|{text}".encode(), digest_size=4).digest(), "big") >> 1
        try:
            answer = await self._connection.chat(
                model=self.model,
                messages=[{"role": "user", "content": text}],
                temperature=settings.temperature,
                top_p=settings.top_p,
                max_tokens=settings.max_tokens,
                seed=seed,
            )
        except Refused as error:
            raise UserError(self._refused(error.status, error.said)) from error
        except Silent as error:
            raise UserError(
                f"the endpoint {self.url} did not answer in {TRIES} tries; the last one: {error.said}. What it has "
                "answered is kept: see to the server, or lower generation.concurrency, and give the same command "
                "again."
            ) from error
        return _completion(answer)

    def _refused(self, status: int, said: str) -> str:
        advice = {
            401: f"Put a key that is valid there into the environment variable {self.key_variable}.",
            403: f"Put a key with the right to this model into the environment variable {self.key_variable}.",
            404: f"Name a model that it has (generation.model, now {self.model!r}), and its address with /v1 "
            "(prompts.generator).",
        }
        return f"the endpoint {self.url} refused with status {status}: {said}. {advice.get(status, 'Mend the recipe.')}"


def _completion(answer: Any) -> Completion:
    """The first choice of an answer; an empty text where it has none."""
    message = getattr(answer.choices[0], "message", None) if answer.choices else None
    text = getattr(message, "content", None)
    cut = bool(answer.choices) and getattr(answer.choices[0], "finish_reason", None) == "length"
    return Completion(text if isinstance(text, str) else "", [], "length" if cut else "stop")
