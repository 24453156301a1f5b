"""An endpoint as a sampler, against a server of ours on the loopback interface that also errs."""

import threading
from pathlib import Path
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.sampling.connection import TRIES
from mr_assets.sampling.endpoint import Endpoint, as_bytes
from mr_assets.sampling.engine import Request
from mr_assets.sampling.settings import SamplingSettings
from mr_assets.sampling.shards import sample_shards, scan_shards
from mr_assets_tests.chat_server import Answer, Serve, Server, said

SETTINGS = SamplingSettings(temperature=0.6, top_p=0.9, max_tokens=64)


def endpoint(server: Server, concurrency: int = 2) -> Endpoint:
    return Endpoint(server.url, "m", "KEY_OF_TEST", concurrency=concurrency, pause=0.001)


def texts(server: Server, folder: Path, count: int = 3, concurrency: int = 2) -> list[tuple[str, str, str]]:
    """What comes of `count` requests, in shards as the engine's: id, text, finish reason."""
    asked = [Request(f"01.{n}", as_bytes(f"Für {n}")) for n in range(count)]
    sampler = endpoint(server, concurrency)
    try:
        made = sample_shards(sampler, asked, SETTINGS, folder, signature={}, seed=0, shard_size=2)
    finally:
        sampler.close()
    return list(scan_shards(made.paths).select("request_id", "text", "finish_reason").collect().iter_rows())


def echo(number: int, body: dict[str, Any]) -> Answer:
    return said(body["messages"][0]["content"].upper())


def test_texts_come_back_in_order(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampled as the settings say, by the model of that name, with the key of the environment."""
    monkeypatch.setenv("KEY_OF_TEST", "s3cret")
    server = serve(echo)
    assert texts(server, tmp_path) == [(f"01.{n}", f"FÜR {n}", "stop") for n in range(3)]
    assert server.keys == {"Bearer s3cret"}
    for body in server.asked:
        seed = body.pop("seed")
        assert 0 <= seed < 2**31
        assert body.pop("messages")[0]["role"] == "user"
        assert body == {"model": "m", "temperature": 0.6, "top_p": 0.9, "max_tokens": 64}
    assert not any(b"s3cret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_no_more_at_once_than_it_is_told(serve: Serve, tmp_path: Path) -> None:
    """And as many, where each waits until there are."""
    together = threading.Barrier(3)

    def wait(number: int, body: dict[str, Any]) -> Answer:
        together.wait(timeout=20)
        return echo(number, body)

    server = serve(wait)
    assert len(texts(server, tmp_path, count=6, concurrency=3)) == 6
    assert server.most_at_once == 3


@pytest.mark.parametrize("choices", [[], [{"index": 0, "message": {"role": "assistant", "content": None}}]])
def test_an_answer_without_a_text_is_an_empty_one(serve: Serve, tmp_path: Path, choices: list[Any]) -> None:
    """It gives no task; the selection drops it."""
    server = serve(lambda number, body: (200, {**said("")[1], "choices": choices}))
    assert texts(server, tmp_path, count=1) == [("01.0", "", "stop")]


def test_a_text_that_was_cut_off_says_so(serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda number, body: said("Name two", "length"))
    assert texts(server, tmp_path, count=1) == [("01.0", "Name two", "length")]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "environment variable KEY_OF_TEST"),
        (403, "with the right to this model"),
        (404, "Name a model that it has (generation.model, now 'm')"),
        (400, "Mend the recipe."),
    ],
)
def test_what_will_not_pass_is_an_error_at_once(serve: Serve, tmp_path: Path, status: int, expected: str) -> None:
    """With what the server said and what to do; it is asked once."""
    server = serve(lambda number, body: (status, {"error": {"message": "no such thing"}}))
    with pytest.raises(UserError) as error:
        texts(server, tmp_path, count=1)
    assert f"refused with status {status}" in str(error.value) and "no such thing" in str(error.value)
    assert expected in str(error.value)
    assert len(server.asked) == 1


def test_a_server_that_never_answers_is_an_error_and_what_it_answered_is_kept(serve: Serve, tmp_path: Path) -> None:
    """The same command goes on with what is missing, and gives what an undisturbed one gives."""
    broken = serve(lambda number, body: echo(number, body) if "0" in str(body["messages"]) else (500, "down"))
    with pytest.raises(UserError, match=rf"did not answer in {TRIES} tries; the last one: status 500"):
        texts(broken, tmp_path / "one", concurrency=1)
    healthy = serve(echo)

    def at_the_same_address(server: Server) -> Endpoint:
        made = endpoint(server)
        made.signature = {"endpoint": broken.url, "model": "m"}
        return made

    asked = [Request(f"01.{n}", as_bytes(f"Für {n}")) for n in range(3)]
    made = sample_shards(
        at_the_same_address(healthy), asked, SETTINGS, tmp_path / "one", signature={}, seed=0, shard_size=2
    )
    found = scan_shards(made.paths).select("text").collect()["text"].to_list()
    assert found == ["FÜR 0", "FÜR 1", "FÜR 2"]
    assert made.reused == 1 and len(healthy.asked) == 2


def test_nobody_there(tmp_path: Path) -> None:
    """The address is named."""
    sampler = Endpoint("http://127.0.0.1:9/v1", "m", "KEY_OF_TEST", concurrency=1, pause=0.001)
    with pytest.raises(UserError, match=r"the endpoint http://127.0.0.1:9/v1 did not answer"):
        sample_shards(
            sampler, [Request("01.0", as_bytes("Hi"))], SETTINGS, tmp_path, signature={}, seed=0, shard_size=1
        )


def test_a_request_has_the_same_seed_every_time(serve: Serve, tmp_path: Path) -> None:
    """A server that takes seeds gives the same again; requests differ in theirs."""
    server = serve(echo)
    texts(server, tmp_path / "one", concurrency=1)
    texts(server, tmp_path / "two", concurrency=1)
    seeds = [body["seed"] for body in server.asked]
    assert seeds[:3] == seeds[3:] and len(set(seeds)) == 3
