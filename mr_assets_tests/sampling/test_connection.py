"""A connection to a server of ours that errs: what is asked again and when, what is refused, and what is told."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.sampling.connection import TRIES, Connection, Refused, Silent, is_endpoint
from mr_assets_tests.chat_server import Answer, Serve, Server, said

KEY = "KEY_OF_TEST"


def chat(server: Server, pause: float = 0.001) -> tuple[str | None, int]:
    """The text of an answer, and how many answers were lost on the way."""
    lost: list[int] = []

    async def asked() -> str | None:
        connection = Connection(server.url, KEY, pause=pause)
        try:
            found = await connection.chat(
                lambda: lost.append(1), model="m", messages=[{"role": "user", "content": "Für"}]
            )
            return found.choices[0].message.content
        finally:
            await connection.close()

    return asyncio.run(asked()), len(lost)


def check(url: str, model: str = "judge") -> None:
    """What a connection says of the server before anything is asked."""

    async def checked() -> None:
        connection = Connection(url, KEY)
        try:
            await connection.check(model)
        finally:
            await connection.close()

    asyncio.run(checked())


def echo(number: int, body: dict[str, Any]) -> Answer:
    return said(body["messages"][0]["content"].upper())


@pytest.fixture(scope="module", autouse=True)
def loaded() -> Iterator[None]:
    """The client's library; without the root certificates that every client reads, which no test here needs."""
    import openai  # noqa: F401

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)
        yield


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a connection would have waited."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("mr_assets.sampling.connection.asyncio.sleep", sleep)
    return waited


def test_an_address_is_no_folder() -> None:
    """By what it begins with."""
    assert is_endpoint("http://127.0.0.1:8000/v1") and is_endpoint("https://example.org/v1")
    assert not is_endpoint("models/https") and not is_endpoint(None)


BUSY: list[Answer] = [
    (429, {"error": {"message": "slow down"}}),
    (408, ""),
    (409, ""),
    (500, "<html>Internal Server Error</html>"),
    (503, ""),
]
NONSENSE: list[Answer] = [
    (200, "<html>Welcome</html>"),
    (200, {"object": "chat.completion"}),
    (200, []),
    (200, {"choices": [1]}),
    (200, {"choices": [{}]}),
]


@pytest.mark.parametrize(("faults", "lost"), [(BUSY, 0), (NONSENSE, 5)], ids=["busy", "nonsense"])
def test_what_may_pass_is_tried_again(serve: Serve, faults: list[Answer], lost: int) -> None:
    """Five times it errs, then it answers. Nonsense was paid for perhaps, which the caller is told."""
    server = serve(lambda number, body: faults[number] if number < 5 else echo(number, body))
    assert chat(server) == ("FÜR", lost)
    assert len(server.asked) == 6


def test_a_completion_without_a_choice_is_an_answer(serve: Serve) -> None:
    """What it is worth is the caller's to say."""
    server = serve(lambda number, body: (200, {**said("")[1], "choices": []}))

    async def asked() -> list[Any]:
        connection = Connection(server.url, KEY)
        try:
            return (await connection.chat(model="m", messages=[])).choices
        finally:
            await connection.close()

    assert asyncio.run(asked()) == [] and len(server.asked) == 1


def test_each_pause_is_twice_as_long_as_the_one_before(serve: Serve, pauses: list[float]) -> None:
    """Up to half a minute, and each a little shorter by lot: many that were refused at once come again apart."""
    server = serve(lambda number, body: (500, {"error": {"message": "down"}}))
    with pytest.raises(Silent, match=r'^no answer in 8 tries; the last one: status 500, ".*down') as silent:
        chat(server, pause=0.5)
    assert len(server.asked) == TRIES == 8
    for waited, longest in zip(pauses, (0.5, 1, 2, 4, 8, 16, 30), strict=True):
        assert 0.75 * longest <= waited <= longest
    assert str(silent.value) == f"no answer in 8 tries; the last one: {silent.value.said}"


@pytest.mark.parametrize(("named", "least", "most"), [("7", 7, 7), ("3600", 60, 60), ("-3", 0, 0.5), ("soon", 0, 0.5)])
def test_a_server_may_name_the_pause(serve: Serve, pauses: list[float], named: str, least: float, most: float) -> None:
    """A minute at most; what is shorter than the pause that is due, or no number, changes nothing."""
    server = serve(lambda number, body: (429, "") if number == 0 else echo(number, body))
    server.retry_after = named
    assert chat(server, pause=0.5) == ("FÜR", 0)
    [waited] = pauses
    assert max(least, 0.375) <= waited <= most


def test_what_is_refused_is_told_in_a_line_without_the_key(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is not asked again. Of what the server says there are 160 characters."""
    monkeypatch.setenv(KEY, "s3cret\n")
    server = serve(lambda number, body: (400, {"error": {"message": f"of s3cret: {'x' * 500}"}}))
    with pytest.raises(Refused) as refused:
        chat(server)
    assert refused.value.status == 400 and len(server.asked) == 1
    text = json.loads(refused.value.said)
    assert "of [the key]: xxx" in text and "s3cret" not in text and len(text) == 160
    assert str(refused.value) == f"status 400, {refused.value.said}"
    assert server.keys == {"Bearer s3cret"}


@pytest.mark.usefixtures("pauses")
def test_a_page_in_place_of_an_answer_is_told_in_a_line_without_the_key(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "s3cret")
    server = serve(lambda number, body: (200, "<p>\n  Is s3cret\n\nyours?</p>\n"))
    with pytest.raises(Silent) as silent:
        chat(server)
    assert silent.value.said == 'no chat completion: "<p> Is [the key] yours?</p>"'


def test_a_server_that_asks_for_no_key_gets_a_placeholder(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it says is told as it is: there is nothing to hide in it."""
    monkeypatch.setenv(KEY, " ")
    server = serve(lambda number, body: (403, {"error": {"message": "none of that"}}))
    with pytest.raises(Refused, match="none of that"):
        chat(server)
    assert server.keys == {"Bearer none"}


def test_a_server_is_looked_at_first(serve: Serve) -> None:
    """Who lists models must list this one; who lists none is taken as it is."""
    server = serve(echo)
    check(server.url)
    server.models = ["other"]
    with pytest.raises(UserError, match=r"has no model 'judge'. It has other"):
        check(server.url)
    server.models = ["other", "judge"]
    check(server.url)
    server.models = []
    check(server.url)
    with pytest.raises(UserError, match=r"http://127.0.0.1:9/v1 does not answer: .* Start it, or mend the address."):
        check("http://127.0.0.1:9/v1")
    assert not server.asked, "to look costs nothing"


def test_an_address_without_its_end_is_mended(serve: Serve) -> None:
    """Also where the longer one lists models to those with a key alone."""
    server = serve(echo)
    short = server.url.removesuffix("/v1")
    check(short)  # neither lists models: it is taken as it is
    server.models = ["other", "judge"]
    said_of = rf"the endpoint {short} is no address with /v1\. Name {server.url}\.$"
    with pytest.raises(UserError, match=said_of):
        check(short)
    server.key = "right"
    with pytest.raises(UserError, match=said_of):
        check(short)


def test_a_key_that_is_refused_is_named_by_its_variable(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "s3cret")
    server = serve(echo)
    server.models, server.key = ["judge"], "right"
    with pytest.raises(UserError, match=rf"refuses the key: .*wrong key.* valid there into .* {KEY}\.$") as error:
        check(server.url)
    assert "s3cret" not in str(error.value)
    monkeypatch.setenv(KEY, "right")
    check(server.url)


def test_of_many_models_some_are_named(serve: Serve) -> None:
    server = serve(echo)
    server.models = [f"m{n}" for n in range(9)]
    with pytest.raises(UserError, match=r"It has m0, m1, m2, m3, m4, m5, m6, m7, \.\.\.\.$"):
        check(server.url)
