"""A connection to an OpenAI-compatible server: one chat completion at a time, asked for again while that may help.

    connection = Connection("http://127.0.0.1:8000/v1", "OPENAI_API_KEY")
    await connection.chat(model="judge", messages=[{"role": "user", "content": "..."}], max_tokens=1)

Rate limits, time-outs, faults of the server and answers that are no chat completion are tried again, each time after a
longer while or after the one that the server names. The client's own retries know neither nonsense nor a server that
sends a byte now and then: here the whole of a try has a limit. The key is read from the environment, and is in no
record, no log and no message.
"""

import asyncio
import json
import os
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mr_assets.errors import UserError

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

URLS = ("http://", "https://")
TRIES = 8
"""How often a request is sent before it is given up."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
SECONDS = 300.0
"""For one try, from the request to the last byte of its answer."""
_SHOWN = 160
_MAY_PASS = (408, 409, 429)


class Refused(Exception):
    """The server refuses a request, and will again. status: of HTTP; said: what it said, in one line."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"status {status}, {said}")
        self.status, self.said = status, said


class Silent(Exception):
    """No try brought an answer. said: what became of the last one."""

    def __init__(self, said: str) -> None:
        super().__init__(f"no answer in {TRIES} tries; the last one: {said}")
        self.said = said


def is_endpoint(name: str | None) -> bool:
    """Whether the name of a model is the address of an endpoint."""
    return name is not None and name.startswith(URLS)


class Connection:
    """A server and a key.

    url: up to and including /v1. key_variable: the environment variable that holds the key; a server that asks for none
    gets a placeholder. pause: seconds before a request is sent again; doubled each time. seconds: the limit of a try.
    """

    def __init__(self, url: str, key_variable: str, *, pause: float = FIRST_PAUSE, seconds: float = SECONDS) -> None:
        from openai import AsyncOpenAI

        self.url, self.key_variable, self.pause, self.seconds = url, key_variable, pause, seconds
        self._key = os.environ.get(key_variable, "").strip()
        self._client = AsyncOpenAI(base_url=url, api_key=self._key or "none", timeout=seconds, max_retries=0)

    async def chat(self, on_lost: Callable[[], None] = lambda: None, **asked: Any) -> "ChatCompletion":
        """The answer to a request; it may have no choice, or one without a text. Raises `Refused` and `Silent`.

        on_lost: called for each try whose answer was lost though the server may have worked for it.
        """
        from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError

        said, pause, least = "", self.pause, 0.0
        for number in range(TRIES):
            if number:
                await asyncio.sleep(max(least, pause * random.uniform(0.75, 1.0)))
                pause, least = min(2 * pause, LONGEST_PAUSE), 0.0
            try:
                async with asyncio.timeout(self.seconds):
                    answer: ChatCompletion = await self._client.chat.completions.create(**asked)
                if _is_completion(answer):
                    return answer
                said = f"no chat completion: {self._short(str(answer))}"
                on_lost()
            except APIStatusError as error:
                if error.status_code not in _MAY_PASS and error.status_code < 500:
                    raise Refused(error.status_code, self._short(error.message)) from None
                said, least = f"status {error.status_code}, {self._short(error.message)}", _retry_after(error)
            except (TimeoutError, APITimeoutError):
                said = f"no answer within {self.seconds:g} seconds"
                on_lost()
            except APIConnectionError as error:
                said = self._short(f"{error} {error.__cause__ or ''}".strip())
            except (OpenAIError, ValueError, TypeError) as error:  # no JSON, or JSON that is no completion
                said = f"no chat completion: {self._short(str(error))}"
                on_lost()
        raise Silent(said)

    async def check(self, model: str) -> None:
        """Raise `UserError` if nobody is there, if the key is refused, or if the server lists models without this one.

        It costs nothing. A server that lists no models is taken as it is.
        """
        from openai import APIConnectionError, APIStatusError, OpenAIError

        try:
            async with asyncio.timeout(min(self.seconds, 30.0)):
                names = [each.id async for each in self._client.models.list()]
        except APIStatusError as error:
            if error.status_code in (401, 403):
                raise UserError(
                    f"the endpoint {self.url} refuses the key: {self._short(error.message)}. Put a key that is valid "
                    f"there into the environment variable {self.key_variable}."
                ) from None
            if error.status_code == 404 and await self._lists_models_at(longer := f"{self.url.rstrip('/')}/v1"):
                raise UserError(f"the endpoint {self.url} is no address with /v1. Name {longer}.") from None
            return
        except (TimeoutError, APIConnectionError) as error:
            said = self._short(f"{error} {error.__cause__ or ''}".strip())
            raise UserError(
                f"the endpoint {self.url} does not answer: {said}. Start it, or mend the address."
            ) from None
        except (OpenAIError, ValueError, TypeError, AttributeError):
            return
        if names and model not in names:
            some = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            raise UserError(f"the endpoint {self.url} has no model {model!r}. It has {some}.")

    async def _lists_models_at(self, url: str) -> bool:
        """Whether the server lists models at another address, of that key or of one that it wants."""
        from openai import APIStatusError, AuthenticationError, OpenAIError, PermissionDeniedError

        try:
            async with asyncio.timeout(min(self.seconds, 30.0)):
                return bool((await self._client.with_options(base_url=url).models.list()).data)
        except (AuthenticationError, PermissionDeniedError):
            return True
        except (TimeoutError, APIStatusError, OpenAIError, ValueError, TypeError, AttributeError):
            return False

    async def close(self) -> None:
        """Give the sockets back."""
        await self._client.close()

    def _short(self, text: str) -> str:
        """The beginning of what a server said, in one line, without the key."""
        told = text.replace(self._key, "[the key]") if self._key else text
        return json.dumps(" ".join(told.split())[:_SHOWN], ensure_ascii=False)


def _is_completion(answer: Any) -> bool:
    """Whether it has the form of one. The client checks none of what a server sends."""
    choices = getattr(answer, "choices", None)
    return isinstance(choices, list) and all(getattr(each, "message", None) for each in choices)


def _retry_after(error: Any) -> float:
    """The seconds that the server asks to wait, at most a minute; 0 if it does not say."""
    try:
        return min(60.0, max(0.0, float(error.response.headers.get("retry-after", 0))))
    except ValueError:
        return 0.0
