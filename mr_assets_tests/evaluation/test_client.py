"""The judge's client against a server that errs, stalls, limits rates and talks nonsense: nothing is asked twice."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.evaluation.client import Answer, AskProgress, ChatRequest, Client, ask, estimate
from mr_assets.evaluation.costs import Prices
from mr_assets.sampling.connection import TRIES
from mr_assets_tests.chat_server import Answer as Sent
from mr_assets_tests.chat_server import Serve, Server, said


def client(server: Server, **more: Any) -> Client:
    return Client(server.url, "judge", **{"key_variable": "KEY_OF_TEST", "concurrency": 2, "pause": 0.001, **more})


def requests(count: int = 3, **parameters: Any) -> list[ChatRequest]:
    messages = [[{"role": "user", "content": f"Für {n}"}] for n in range(count)]
    return [ChatRequest(f"q{n}", asked, {"max_tokens": 5, **parameters}) for n, asked in enumerate(messages)]


def echo(number: int, body: dict[str, Any]) -> Sent:
    return said(body["messages"][0]["content"].upper(), usage=(10, 2))


def texts(found: dict[str, Answer]) -> list[str | None]:
    return [answer.text for answer in found.values()]


def test_answers_come_in_order_and_are_kept(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the parameters and the key; another call asks nothing, whatever the order."""
    monkeypatch.setenv("KEY_OF_TEST", "s3cret\n")
    server = serve(echo)
    found = ask(client(server, parameters={"top_p": 0.5, "seed": None}), requests(seed=1), tmp_path)
    assert list(found) == ["q0", "q1", "q2"] and texts(found) == ["FÜR 0", "FÜR 1", "FÜR 2"]
    assert found["q0"] == Answer("FÜR 0", "stop", None, 10, 2)
    for body in server.asked:
        body.pop("messages")
        assert body == {"model": "judge", "max_tokens": 5, "top_p": 0.5}
    again = ask(client(server, parameters={"top_p": 0.5}), requests()[::-1], tmp_path)
    assert again == dict(reversed(found.items())) and len(server.asked) == 3
    assert server.keys == {"Bearer s3cret"}
    assert not any(b"s3cret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_parameter_of_one_server_alone_is_sent(serve: Serve, tmp_path: Path) -> None:
    server = serve(echo)
    ask(
        client(server, parameters={"min_p": 0.1, "max_tokens": None, "max_completion_tokens": 7}), requests(1), tmp_path
    )
    server.asked[0].pop("messages")
    assert server.asked == [{"model": "judge", "min_p": 0.1, "max_completion_tokens": 7}]


@pytest.mark.parametrize("changed", [{"max_tokens": 6}, {"temperature": 1.0}])
def test_another_parameter_is_another_question(serve: Serve, tmp_path: Path, changed: dict[str, Any]) -> None:
    server = serve(echo)
    ask(client(server), requests(1), tmp_path)
    ask(client(server), requests(1, **changed), tmp_path)
    assert len(server.asked) == 2


def test_the_same_question_is_asked_once(serve: Serve, tmp_path: Path) -> None:
    server = serve(echo)
    same = [ChatRequest(id, requests(1)[0].messages, {"max_tokens": 5}) for id in ("a", "b")]
    assert estimate(client(server), same, tmp_path)[:3] == (2, 0, 1)
    assert estimate(client(server), same, tmp_path)[:3] == (2, 0, 1)
    assert texts(ask(client(server), same, tmp_path)) == ["FÜR 0", "FÜR 0"]
    assert len(server.asked) == 1


def test_log_probabilities_come_back_and_out_of_the_cache(serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda number, body: said("m", logprobs={"m": -0.5, "M": -1.5}))
    for _ in range(2):
        (answer,) = ask(client(server), requests(1), tmp_path).values()
        assert answer.top_logprobs == [[("m", -0.5), ("M", -1.5)]]
    assert len(server.asked) == 1


@pytest.mark.parametrize("content", [[1], [{"top_logprobs": None}], [{"top_logprobs": [{"token": 1}, "x"]}]])
def test_log_probabilities_that_are_nonsense_are_none(serve: Serve, tmp_path: Path, content: list[Any]) -> None:
    body = said("m")[1]
    body["choices"][0]["logprobs"] = {"content": content}
    (answer,) = ask(client(serve(lambda n, b: (200, body))), requests(1), tmp_path).values()
    assert answer.text == "m" and answer.top_logprobs == [[]]


@pytest.mark.parametrize(
    "fault",
    [(429, {"error": {"message": "slow"}}), (503, "<html>"), (200, "<html>"), (200, {"choices": [{}]}), (200, "")],
    ids=["rate limit", "overloaded", "a page", "no message", "nothing"],
)
def test_what_may_pass_is_asked_again(serve: Serve, tmp_path: Path, fault: Sent) -> None:
    server = serve(lambda number, body: fault if number < 2 else echo(number, body))
    assert texts(ask(client(server, concurrency=1), requests(1), tmp_path)) == ["FÜR 0"]
    assert len(server.asked) == 3


@pytest.mark.slow
def test_a_server_that_stalls_has_a_limit(serve: Serve, tmp_path: Path) -> None:
    """So does one that sends a byte now and then, which no time-out between bytes would end."""
    server = serve(echo)
    server.trickle = 0.05
    with pytest.raises(UserError, match=r"did not answer request q0 .* no answer within 0.2 seconds"):
        ask(client(server, seconds=0.2), requests(1), tmp_path)
    assert 0 < len(server.asked) <= TRIES


def test_a_server_that_goes_down_loses_nothing(serve: Serve, tmp_path: Path) -> None:
    """What it has answered is kept; the next call asks for the rest alone."""
    down = serve(lambda number, body: (500, "down") if "2" in str(body["messages"]) else echo(number, body))
    with pytest.raises(UserError, match=r"did not answer request q2 in 8 tries.*2 of 3 answers are kept"):
        ask(client(down, concurrency=1), requests(), tmp_path)
    up = serve(echo)
    assert texts(ask(client(up), requests(), tmp_path)) == ["FÜR 0", "FÜR 1", "FÜR 2"]
    assert [body["messages"][0]["content"] for body in up.asked] == ["Für 2"]


def test_what_is_in_flight_is_waited_for(serve: Serve, tmp_path: Path) -> None:
    """One is refused while another is under way: its answer is paid for, so it is kept."""
    both = threading.Barrier(2)

    def answer(number: int, body: dict[str, Any]) -> Sent:
        both.wait(timeout=20)
        if "0" in str(body["messages"]):
            return 403, {"error": {"message": "no"}}
        time.sleep(0.3)
        return echo(number, body)

    with pytest.raises(UserError, match=r"refused request q0 with status 403.*variable KEY_OF_TEST"):
        ask(client(serve(answer)), requests(2), tmp_path)
    up = serve(echo)
    ask(client(up), requests(2), tmp_path)
    assert [body["messages"][0]["content"] for body in up.asked] == ["Für 0"]


@pytest.mark.parametrize(
    ("status", "said_of"), [(401, "environment variable KEY_OF_TEST"), (404, "Name a model"), (400, "parameters")]
)
def test_what_will_not_pass_ends_it(serve: Serve, tmp_path: Path, status: int, said_of: str) -> None:
    """At once, with what the server said, and without the key that it said back."""
    server = serve(lambda number, body: (status, {"error": {"message": "bad key s3cret"}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEY_OF_TEST", "s3cret")
        with pytest.raises(UserError) as error:
            ask(client(server, concurrency=1), requests(), tmp_path)
    assert f"status {status}" in str(error.value) and said_of in str(error.value) and server.url in str(error.value)
    assert "s3cret" not in str(error.value) and "[the key]" in str(error.value)
    assert len(server.asked) == 1


def test_one_refused_request_of_many_is_no_end(serve: Serve, tmp_path: Path) -> None:
    """It has no text, and is asked again next time: a refusal is not kept."""
    fault = (400, {"error": {"message": "content policy"}})
    server = serve(lambda number, body: fault if "1" in str(body["messages"]) else echo(number, body))
    found = ask(client(server, concurrency=1), requests(), tmp_path)
    assert texts(found) == ["FÜR 0", None, "FÜR 2"] and "content policy" in str(found["q1"].refused)
    ask(client(server, concurrency=1), requests(), tmp_path)
    assert len(server.asked) == 4


def test_a_check_ends_it_and_the_answer_is_kept(serve: Serve, tmp_path: Path) -> None:
    def check(request: ChatRequest, answer: Answer) -> None:
        raise UserError(f"{request.id}: no log-probabilities")

    server = serve(echo)
    with pytest.raises(UserError, match="q0: no log"):
        ask(client(server, concurrency=1), requests(), tmp_path, check=check)
    assert len(server.asked) == 1
    with pytest.raises(UserError, match="q0: no log"):
        ask(client(server, concurrency=1), requests(), tmp_path, check=check)
    assert len(server.asked) == 1


def test_no_more_at_once_than_it_is_told(serve: Serve, tmp_path: Path) -> None:
    together = threading.Barrier(3)

    def wait(number: int, body: dict[str, Any]) -> Sent:
        together.wait(timeout=20)
        return echo(number, body)

    server = serve(wait)
    ask(client(server, concurrency=3), requests(6), tmp_path)
    assert server.most_at_once == 3


def test_an_answer_that_is_damaged_is_asked_for_again(serve: Serve, tmp_path: Path) -> None:
    server = serve(echo)
    ask(client(server), requests(1), tmp_path)
    (file,) = tmp_path.rglob("*.json")
    file.write_text(file.read_text()[:-9])
    assert texts(ask(client(server), requests(1), tmp_path)) == ["FÜR 0"]
    assert len(server.asked) == 2


@pytest.mark.slow
def test_a_killed_process_has_nothing_to_pay_again(serve: Serve, tmp_path: Path) -> None:
    """Killed at the fourth request: the three before are kept, and asked for no more."""
    begun = threading.Event()

    def answer(number: int, body: dict[str, Any]) -> Sent:
        if number == 3:
            begun.set()
            time.sleep(30)
        return echo(number, body)

    server = serve(answer)
    code = (
        "import sys; from pathlib import Path; from mr_assets.evaluation.client import ask; "
        "from mr_assets_tests.evaluation.test_client import Client, requests; "
        "ask(Client(sys.argv[1], 'judge', concurrency=1), requests(6), Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, server.url, str(tmp_path)])
    try:
        assert begun.wait(timeout=120)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    server.answer = echo
    assert len(ask(client(server), requests(6), tmp_path)) == 6
    asked = [body["messages"][0]["content"] for body in server.asked]
    assert asked[:4] == [f"Für {n}" for n in range(4)] and sorted(asked[4:]) == ["Für 3", "Für 4", "Für 5"]


# ------------------------------------------------------------------------------------------------------- money


PRICES = Prices(prompt=1_000_000, answer=1_000_000)
"""A dollar a token. A request of `requests` has 4 + 4 + 6 bytes of prompt (ü has two), and an answer up to 5: $19."""


def test_the_estimate_counts_what_is_missing(serve: Serve, tmp_path: Path) -> None:
    server = serve(echo)
    paid = client(server, prices=PRICES)
    first = estimate(paid, requests(), tmp_path)
    assert first[:5] == (3, 0, 3, 42, 15)
    assert first.cost == 57 and "upper bound" in first.said and "at most $57.00" in first.said
    ask(paid, requests(2), tmp_path)
    assert estimate(paid, requests(), tmp_path).cost == 19
    assert estimate(client(server), requests(), tmp_path).cost is None


def test_a_budget_is_held_before_the_first_call(serve: Serve, tmp_path: Path) -> None:
    server = serve(echo)
    with pytest.raises(UserError, match=r"up to \$57.00, the budget is \$56.00. Nothing was sent"):
        ask(client(server, prices=PRICES, budget=56), requests(), tmp_path)
    assert not server.asked
    assert len(ask(client(server, prices=PRICES, budget=57), requests(), tmp_path)) == 3
    assert len(ask(client(server, prices=PRICES, budget=0), requests(), tmp_path)) == 3  # all is there


def test_a_budget_needs_prices(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--price"):
        ask(client(serve(echo), budget=1), requests(), tmp_path)


def test_lost_answers_count_against_the_budget(serve: Serve, tmp_path: Path) -> None:
    """The server may charge for what it did not deliver: at the second lost try $38 of $40 may be gone."""
    server = serve(lambda number, body: (200, "nonsense"))
    with pytest.raises(UserError, match=r"budget of \$40.00 is used up at request q0: \$38.00 may be spent"):
        ask(client(server, prices=PRICES, budget=40), requests(1), tmp_path)
    assert len(server.asked) == 2


def test_more_than_was_reckoned_ends_it(serve: Serve, tmp_path: Path) -> None:
    """A server that counts $30 for a request of at most $19: two are paid, the third would go beyond $60."""
    server = serve(lambda number, body: said("x", usage=(20, 10)))
    with pytest.raises(UserError, match=r"used up at request q2: \$60.00 may be spent.*2 of 3 answers are kept"):
        ask(client(server, prices=PRICES, budget=60, concurrency=1), requests(), tmp_path)
    assert len(server.asked) == 2


def test_progress_tells_what_was_spent(serve: Serve, tmp_path: Path) -> None:
    """By the server's own count: $12 an answer."""
    told: list[AskProgress] = []
    server = serve(echo)
    ask(client(server), requests(1), tmp_path)
    ask(client(server, prices=PRICES), requests(), tmp_path, on_progress=told.append)
    assert told[-1].said == "3 of 3 answers (1 from before), $24.00 so far"
    assert AskProgress(2, 6, 0, None, 2.0).said == "2 of 6 answers, 2/s, 2 s left"


def test_a_request_without_a_limit_has_no_estimate(serve: Serve, tmp_path: Path) -> None:
    asked = [ChatRequest("q", requests(1)[0].messages, {})]
    with pytest.raises(UserError, match="max_tokens"):
        estimate(client(serve(echo)), asked, tmp_path)


# ------------------------------------------------------------------------------------------------ before anything


def test_an_endpoint_is_looked_at_first(serve: Serve) -> None:
    """By its own connection, whose tests have the other cases; an address that cannot be is refused before that."""
    server = serve(echo)
    client(server).check()
    server.models = ["other"]
    with pytest.raises(UserError, match=r"has no model 'judge'. It has other"):
        client(server).check()
    with pytest.raises(UserError, match="begins with http"):
        Client("127.0.0.1:9/v1", "judge")
    for address in ("http://me:s3cret@x.org/v1", "http://x.org/v1?key=s3cret"):
        with pytest.raises(UserError, match=r"at x.org: .*OPENAI_API_KEY") as error:
            Client(address, "judge")
        assert "s3cret" not in str(error.value)


def test_a_kept_answer_says_what_was_asked(serve: Serve, tmp_path: Path) -> None:
    server = serve(echo)
    ask(client(server), requests(1), tmp_path)
    (file,) = tmp_path.rglob("*.json")
    kept = json.loads(file.read_text())
    assert kept["endpoint"] == server.url and kept["asked"]["model"] == "judge"
    assert kept["answer"]["text"] == "FÜR 0"
