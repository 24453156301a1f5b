"""A model behind an OpenAI-compatible endpoint as a sampler: texts in, completions out as they finish.

    sampler = Endpoint("http://127.0.0.1:8000/v1", "llama-2-70b-chat", "OPENAI_API_KEY", concurrency=16)
    sampler.add(Request("01.000012", as_bytes("Write one more task ...")), recipe.generation)

It is a `Sampler` like the engine, so that what it gives lies in the same shards, and a killed stage goes on with what
was in flight. There are no token ids on this side: those of a request are the bytes of its text, those of a completion
none. Rate limits, time-outs and faults of the server are tried again, each time after a longer while or after the one
that the server names. The key is read from the environment, and is in no record and no log.
"""

import json
import os
import random
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from hashlib import blake2b
from typing import Any

from mr_assets.errors import UserError
from mr_assets.sampling.engine import Completion, Request
from mr_assets.sampling.settings import SamplingSettings
from mr_assets.sampling.stats import EngineStats

URLS = ("http://", "https://")
TRIES = 8
"""How often a request is sent before its stage ends with an error."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
SECONDS = 300.0
"""For one answer."""
_SHOWN = 160


def is_endpoint(name: str | None) -> bool:
    """Whether the name of a model is the address of an endpoint."""
    return name is not None and name.startswith(URLS)


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
        from openai import OpenAI

        self.url, self.model, self.key_variable = url, model, key_variable
        self.max_num_seqs, self.pause = concurrency, pause
        self.signature: Mapping[str, Any] = {"endpoint": url, "model": model}
        self.stats = EngineStats()
        key = os.environ.get(key_variable) or "none"
        self._client: OpenAI = OpenAI(base_url=url, api_key=key, timeout=SECONDS, max_retries=0)
        self._threads = ThreadPoolExecutor(concurrency, "endpoint")
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
        self._asked[self._threads.submit(self._complete, request, settings)] = request.id

    def step(self) -> list[tuple[str, list[Completion]]]:
        """Wait for at least one answer. Raises `UserError` if the endpoint refuses, or fails `TRIES` times."""
        done, _ = wait(self._asked, return_when=FIRST_COMPLETED)
        return [(self._asked.pop(future), future.result()) for future in sorted(done, key=lambda f: self._asked[f])]

    def reseed(self, seed: int) -> None:
        """Nothing: each request has the seed that its text and id give."""

    def close(self) -> None:
        """Give up what is in flight."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _complete(self, request: Request, settings: SamplingSettings) -> list[Completion]:
        return [self._answer(request, settings, sample) for sample in range(request.n)]

    def _answer(self, request: Request, settings: SamplingSettings, sample: int) -> Completion:
        from openai import APIConnectionError, APIStatusError, OpenAIError

        text = bytes(request.prompt_ids).decode()
        seed = int.from_bytes(blake2b(f"{request.id}|{sample}|{text}".encode(), digest_size=4).digest(), "big") >> 1
        said, pause = "", self.pause
        for _ in range(TRIES):
            least = 0.0
            try:
                answer = self._client.chat.completions.create(
                    model=self.model,
                    messages=[{"role": "user", "content": text}],
                    temperature=settings.temperature,
                    top_p=settings.top_p,
                    max_tokens=settings.max_tokens,
                    seed=seed,
                )
                return _completion(answer)
            except APIStatusError as error:
                if error.status_code not in (408, 409, 429) and error.status_code < 500:
                    raise UserError(self._refused(error.status_code, _short(error.message))) from error
                said, least = f"status {error.status_code}, {_short(error.message)}", _retry_after(error)
            except APIConnectionError as error:
                said = f"{error} {error.__cause__ or ''}".strip()
            except (OpenAIError, ValueError, TypeError) as error:  # no JSON, or JSON that is no completion
                said = f"no chat completion: {_short(str(error))}"
            if self._closed:
                break
            time.sleep(max(least, pause * random.uniform(0.75, 1.0)))
            pause = min(2 * pause, LONGEST_PAUSE)
        raise UserError(
            f"the endpoint {self.url} did not answer in {TRIES} tries; the last one: {said}. What it has answered is "
            "kept: see to the server, or lower generation.concurrency, and give the same command again."
        )

    def _refused(self, status: int, said: str) -> str:
        advice = {
            401: f"Put a key that is valid there into the environment variable {self.key_variable}.",
            403: f"Put a key with the right to this model into the environment variable {self.key_variable}.",
            404: f"Name a model that it has (generation.model, now {self.model!r}), and its address with /v1 "
            "(prompts.generator).",
        }
        return f"the endpoint {self.url} refused with status {status}: {said}. {advice.get(status, 'Mend the recipe.')}"


def _completion(answer: Any) -> Completion:
    """The first choice of an answer; an empty text where it has none. Raises `TypeError` for what is no completion."""
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list):
        raise TypeError(f"expected an object with choices, came {str(answer)[:_SHOWN]!r}")
    message = getattr(choices[0], "message", None) if choices else None
    text = getattr(message, "content", None)
    cut = bool(choices) and getattr(choices[0], "finish_reason", None) == "length"
    return Completion(text if isinstance(text, str) else "", [], "length" if cut else "stop")


def _retry_after(error: Any) -> float:
    """The seconds that the server asks to wait, at most a minute; 0 if it does not say."""
    try:
        return min(60.0, max(0.0, float(error.response.headers.get("retry-after", 0))))
    except ValueError:
        return 0.0


def _short(text: str) -> str:
    """The beginning of what a server said, in one line."""
    return json.dumps(" ".join(text.split())[:_SHOWN], ensure_ascii=False)
