"""A judge behind an OpenAI-compatible endpoint: a list of requests in, an answer to each out, nothing paid for twice.

    client = Client("https://api.example.org/v1", "judge-1", prices=Prices(10.0, 30.0), budget=5.0)
    estimate(client, requests, cache).said     805 requests, 400 of them answered already; at most 1,234,567 tokens ...
    ask(client, requests, cache)               {"M1 0": Answer("m", ...), "M1 1": ...}

Every answer is written to the cache folder as soon as it is there, one JSON file of the name

    3f/3f1c09aa72be...e4.json          the SHA-256 of the model's name, the messages and the parameters

so that a killed benchmark goes on where it was, and the same question is never asked twice: not for another run, nor in
another benchmark. A model's name stands for the model: where another one gets the same name, remove the folder.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from mr_assets.errors import UserError
from mr_assets.evaluation.costs import Estimate, Prices, answer_tokens, prompt_tokens, token_counter
from mr_assets.files import atomically, sweep_temporary
from mr_assets.sampling.connection import FIRST_PAUSE, TRIES, Connection, Refused, Silent, is_endpoint

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

Messages = list[dict[str, str]]
SECONDS_BETWEEN_REPORTS = 3.0
_OF_ALL = {
    401: "Put a key that is valid there into the environment variable {key}.",
    402: "See to the account that the key is of.",
    403: "Put a key with the right to this model into the environment variable {key}.",
    404: "Name a model that it has, and the address with /v1.",
}
"""What ends a benchmark at once, and what to do about it; other refusals may be of one request alone."""
OTHER_PARAMETERS = (
    "Change the parameters of all requests to what the server takes: --parameter NAME=JSON, for example --parameter "
    "max_tokens=1024 for a judge whose context is short; null takes one out."
)


@dataclass(frozen=True)
class Client:
    """Who is asked, and how.

    url: up to and including /v1. model: the judge's name there. key_variable: the environment variable with the key.
    concurrency: requests at a time. seconds: the limit of a try. prices: None if nothing is known, or nothing paid.
    budget: USD that a call of `ask` may cost; None is no limit. parameters: of every request, in place of the
    benchmark's; None takes one out. pause: seconds before a request is sent again; doubled each time.
    """

    url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    concurrency: int = 8
    seconds: float = 120.0
    prices: Prices | None = None
    budget: float | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    pause: float = FIRST_PAUSE

    def __post_init__(self) -> None:
        if not is_endpoint(self.url):
            raise UserError(f"the endpoint {self.url!r}: expected an address that begins with http:// or https://.")
        parts = urlsplit(self.url)
        if parts.username or parts.query:
            raise UserError(
                f"the endpoint at {parts.hostname}: its address, which results name, may hold no key. Put the key into "
                f"the environment variable {self.key_variable}."
            )

    def connect(self) -> Connection:
        """A connection, for one event loop."""
        return Connection(self.url, self.key_variable, pause=self.pause, seconds=self.seconds)

    def check(self) -> None:
        """Raise `UserError` if nobody answers, if the key is refused, or if the model is not there. It is free."""

        async def checked() -> None:
            connection = self.connect()
            try:
                await connection.check(self.model)
            finally:
                await connection.close()

        asyncio.run(checked())


class ChatRequest(NamedTuple):
    """A question to the judge. id: names it in messages and in what comes back; parameters: of the chat completion."""

    id: str
    messages: Messages
    parameters: dict[str, Any]


class Answer(NamedTuple):
    """What the judge said.

    text: "" where it said nothing; None where the server refused this request (`refused` says why): that is not kept.
    top_logprobs: for each token of the answer, the likeliest tokens with their log-probabilities; None if the server
    gave none. Tokens are those that the server counted, None if it did not.
    """

    text: str | None
    finish_reason: str | None = None
    top_logprobs: list[list[tuple[str, float]]] | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    refused: str | None = None


class AskProgress(NamedTuple):
    """How far `ask` is. kept: of what is done, what was answered before; spent: USD, None without prices."""

    done: int
    total: int
    kept: int
    spent: float | None
    per_second: float

    @property
    def said(self) -> str:
        """In a line: "120 of 805 answers (40 from before), 3.1/s, 220 s left, $0.52 so far"."""
        line = f"{self.done:,} of {self.total:,} answers" + (f" ({self.kept:,} from before)" if self.kept else "")
        if self.per_second and self.done < self.total:
            line += f", {self.per_second:.2g}/s, {(self.total - self.done) / self.per_second:,.0f} s left"
        return line if self.spent is None else f"{line}, ${self.spent:,.2f} so far"


class Answers:
    """The answers that are there, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, asked: Mapping[str, Any]) -> Answer | None:
        """The answer to a request that was sent so; None if there is none, or none that can be read."""
        try:
            found = json.loads(self._path(asked).read_text(encoding="utf-8"))["answer"]
            logprobs = found.pop("top_logprobs")
            tokens = None if logprobs is None else [[(token, logprob) for token, logprob in each] for each in logprobs]
            return Answer(**found, top_logprobs=tokens)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def write(self, asked: Mapping[str, Any], answer: Answer, url: str) -> None:
        """Keep an answer, whole or not at all."""
        kept = {"endpoint": url, "asked": asked, "answer": answer._asdict()}
        text = json.dumps(kept, ensure_ascii=False, indent=1)
        atomically(self._path(asked), lambda path: path.write_text(text, encoding="utf-8"))

    def sweep(self) -> None:
        """Remove what a killed process left half-written."""
        for folder in self.folder.glob("??"):
            sweep_temporary(folder)

    def _path(self, asked: Mapping[str, Any]) -> Path:
        name = sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.json"


def as_sent(client: Client, request: ChatRequest) -> dict[str, Any]:
    """A request as it is sent, and by which its answer is found again: model, messages and parameters."""
    parameters = {k: v for k, v in {**request.parameters, **client.parameters}.items() if v is not None}
    return {"model": client.model, "messages": request.messages, **parameters}


def estimate(client: Client, requests: Sequence[ChatRequest], cache: Path) -> Estimate:
    """What the requests take at most, of which those that were answered already cost nothing. Nothing is sent."""
    answers = Answers(cache)
    missing = [sent for sent in (as_sent(client, request) for request in requests) if answers.read(sent) is None]
    distinct = {json.dumps(sent): sent for sent in missing}
    return _estimate(client, len(requests), len(requests) - len(missing), list(distinct.values()))


def _estimate(client: Client, requests: int, kept: int, missing: Sequence[Mapping[str, Any]]) -> Estimate:
    count, counted = token_counter(client.model)
    prompts = sum(prompt_tokens(sent["messages"], count) for sent in missing)
    longest = sum(answer_tokens(sent) for sent in missing)
    cost = client.prices.cost(prompts, longest) if client.prices else None
    return Estimate(requests, kept, len(missing), prompts, longest, cost, counted)


def ask(
    client: Client,
    requests: Sequence[ChatRequest],
    cache: Path,
    *,
    check: Callable[[ChatRequest, Answer], None] = lambda request, answer: None,
    on_progress: Callable[[AskProgress], None] = lambda progress: None,
) -> dict[str, Answer]:
    """The answer to each request, by its id and in their order; those that the cache has are not asked for.

    check: may raise `UserError` for an answer that makes the others useless; then no more are asked for.
    on_progress: is called every few seconds, and at the end.
    Raises `UserError` if it may cost more than the budget, before the first call; if tries whose answers were lost have
    used it up; if the endpoint refuses all, or does not answer. What came before is kept, what is in flight is waited
    for, and the same call goes on. A request that is refused alone has an answer without a text.
    """
    return asyncio.run(_Asking(client, requests, Answers(cache), check, on_progress).all())


class _Asking:
    """One call of `ask`."""

    def __init__(
        self,
        client: Client,
        requests: Sequence[ChatRequest],
        answers: Answers,
        check: Callable[[ChatRequest, Answer], None],
        on_progress: Callable[[AskProgress], None],
    ) -> None:
        self.client, self.answers, self.check, self.on_progress = client, answers, check, on_progress
        answers.sweep()
        self.sent = [(request, as_sent(client, request)) for request in requests]
        if len({request.id for request in requests}) < len(requests):
            raise ValueError("two requests have one id; ids must be unique")
        self.found: dict[str, Answer] = {}
        self.waiting: dict[str, list[tuple[ChatRequest, dict[str, Any]]]] = {}  # the same question is asked once
        for request, sent in self.sent:
            if (answer := answers.read(sent)) is not None:
                check(request, answer)
                self.found[request.id] = answer
            else:
                self.waiting.setdefault(json.dumps(sent), []).append((request, sent))
        self.kept = len(self.found)
        questions = [same[0][1] for same in self.waiting.values()]
        _estimate(client, len(requests), self.kept, questions).check(client.budget)
        self.count, _ = token_counter(client.model)
        self.spent = self.reserved = 0.0
        self.fault: UserError | None = None
        self.began = self.last = time.monotonic()

    async def all(self) -> dict[str, Answer]:
        """Ask for what is missing, so many at a time."""
        connection, questions = self.client.connect(), iter(self.waiting.values())
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.client.concurrency, len(self.waiting))):
                    group.create_task(self._worker(connection, questions))
        finally:
            await connection.close()
        if self.fault is not None:
            raise self.fault
        self._report(final=True)
        return {request.id: self.found[request.id] for request, _ in self.sent}

    async def _worker(
        self, connection: Connection, questions: "Iterator[list[tuple[ChatRequest, dict[str, Any]]]]"
    ) -> None:
        for same in questions:
            if self.fault is not None:
                return
            try:
                answer = await self._answer(connection, *same[0])
                self.found |= {request.id: answer for request, _ in same}
                self.check(same[0][0], answer)
            except UserError as error:
                self.fault = self.fault or error
            self._report()

    async def _answer(self, connection: Connection, request: ChatRequest, sent: dict[str, Any]) -> Answer:
        most = self._most(sent)
        self.reserved += most

        def lost() -> None:  # the server may charge for it all the same
            self.spent += most
            self._within_budget(request)

        try:
            self._within_budget(request)
            named = {name: sent[name] for name in ("model", "messages")}
            others = {
                name: value for name, value in sent.items() if name not in named
            }  # those of one server alone, too
            answer = _answer(await connection.chat(lost, **named, extra_body=others))
        except Refused as error:
            return self._refused(request, error)
        except Silent as error:
            raise UserError(
                f"the endpoint {self.client.url} did not answer request {request.id} in {TRIES} tries; the last one: "
                f"{error.said}. {self._kept} See to the server, or ask for fewer at a time, and give the same command "
                "again."
            ) from error
        finally:
            self.reserved -= most
        self.spent += self._cost(answer, most)
        self.answers.write(sent, answer, self.client.url)
        return answer

    def _refused(self, request: ChatRequest, error: Refused) -> Answer:
        """An answer without a text, or `UserError` if all requests will be refused."""
        if error.status in _OF_ALL or not any(answer.text is not None for answer in self.found.values()):
            advice = _OF_ALL.get(error.status, OTHER_PARAMETERS)
            raise UserError(
                f"the endpoint {self.client.url} refused request {request.id} with status {error.status}: "
                f"{error.said}. {advice.format(key=self.client.key_variable)}"
            )
        return Answer(None, refused=str(error))

    def _most(self, sent: Mapping[str, Any]) -> float:
        """What a request costs at most, in USD; 0 without prices."""
        if self.client.prices is None:
            return 0.0
        return self.client.prices.cost(prompt_tokens(sent["messages"], self.count), answer_tokens(sent))

    def _cost(self, answer: Answer, most: float) -> float:
        """What an answer cost by the tokens that the server counted; `most` if it did not count."""
        if self.client.prices is None or answer.prompt_tokens is None or answer.answer_tokens is None:
            return most
        return self.client.prices.cost(answer.prompt_tokens, answer.answer_tokens)

    def _within_budget(self, request: ChatRequest) -> None:
        """Raise `UserError` if another try may go beyond the budget."""
        budget = self.client.budget
        if budget is not None and self.spent + self.reserved > budget:
            raise UserError(
                f"the budget of ${budget:,.2f} is used up at request {request.id}: ${self.spent:,.2f} may be spent, "
                f"tries without an answer included. {self._kept} Give the same command with a budget for the rest."
            )

    @property
    def _kept(self) -> str:
        return f"{len(self.found):,} of {len(self.sent):,} answers are kept."

    def _report(self, final: bool = False) -> None:
        now = time.monotonic()
        if final or now - self.last >= SECONDS_BETWEEN_REPORTS:
            self.last = now
            speed = (len(self.found) - self.kept) / max(now - self.began, 1e-9)
            spent = self.spent if self.client.prices else None
            self.on_progress(AskProgress(len(self.found), len(self.sent), self.kept, spent, speed))


def _answer(answer: "ChatCompletion") -> Answer:
    """What is kept of a chat completion: its first choice, and what the server counted."""
    usage = getattr(answer, "usage", None)
    counts = (getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None))
    prompt, said = (each if isinstance(each, int) else None for each in counts)
    if not answer.choices:
        return Answer("", prompt_tokens=prompt, answer_tokens=said)
    choice = answer.choices[0]
    text = getattr(getattr(choice, "message", None), "content", None)
    content = getattr(getattr(choice, "logprobs", None), "content", None)
    logprobs = [_likeliest(each) for each in content] if isinstance(content, list) else None
    text = text if isinstance(text, str) else ""
    return Answer(text, getattr(choice, "finish_reason", None), logprobs, prompt, said)


def _likeliest(token: Any) -> list[tuple[str, float]]:
    found = getattr(token, "top_logprobs", None) or []
    pairs = ((getattr(each, "token", None), getattr(each, "logprob", None)) for each in found)
    return [(name, float(value)) for name, value in pairs if isinstance(name, str) and isinstance(value, int | float)]
