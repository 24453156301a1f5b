"""The page of a spot check: blind, one write, and only for who has the token, from this server's own page."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape

import pytest
from starlette.testclient import TestClient

from mr_assets.errors import UserError
from mr_assets.explorer.app import explorer
from mr_assets.explorer.serve import refuse_others
from mr_assets.explorer.spotcheck import LONGEST
from mr_assets.lineage.spotcheck import Blind, answers, file_of, to_ask
from mr_assets.runs.run import Run
from mr_assets_tests.explorer.conftest import UI, pages_over
from mr_assets_tests.lineage.conftest import rematerialized, with_hostile_texts
from mr_assets_tests.lineage.test_tree import ESCAPES

TOKEN = "the-token-of-this-start"
PAGE = "/spotcheck/tiny"


@pytest.fixture
def pages(run: Run) -> Iterator[TestClient]:
    """The pages over a copy of the finished run, which take answers."""
    with TestClient(explorer(run.data, UI, token=TOKEN), base_url="http://127.0.0.1", follow_redirects=False) as client:
        yield client


def form(pair: Blind, answer: str = "a", **other: str) -> dict[str, str]:
    return {"token": TOKEN, "pair": pair.pair_id, "version": pair.version, "answer": answer} | other


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the page's form that answers."""
    body = page[page.index('method="post"') :]
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', body))


def test_an_answer_is_written_and_the_next_pair_comes(pages: TestClient, run: Run) -> None:
    """What the form sends says nothing of sides; the line says which side was A, as the terminal's does."""
    first, second, *_ = to_ask(run)
    page = pages.get(f"{PAGE}?token={TOKEN}")
    assert page.status_code == 200
    given = hidden(page.text)
    assert given == {"token": TOKEN, "kind": "actor", "iteration": "", "pair": first.pair_id, "version": first.version}
    answered = pages.post(PAGE, data=given | {"answer": "b"})
    assert (answered.status_code, answered.headers["location"]) == (303, f"{PAGE}?token={TOKEN}&kind=actor")
    [line] = answers(run)
    assert (line.pair_id, line.version, line.a, line.answer) == (first.pair_id, first.version, first.a, "b")
    assert hidden(pages.get(answered.headers["location"]).text)["pair"] == second.pair_id


def test_a_pair_is_shown_blind(pages: TestClient, run: Run) -> None:
    """A is the side that `mr spotcheck` shows as A; no word, class or address says which one was chosen."""
    pair = next(to_ask(run))
    page = pages.get(f"{PAGE}?token={TOKEN}").text
    shown = [unescape(text) for text in re.findall(r'<div class="text" dir="auto">(.*?)</div>', page, re.DOTALL)]
    assert shown == [pair.prompt, pair.first, pair.second]
    assert not re.search(r"chosen|rejected|score|Elo", page.partition("<main>")[2])
    assert not re.search(rf'href="[^"]*{re.escape(pair.pair_id)}', page)


@pytest.mark.parametrize("answer", ["a", "b", "tie", "skip"])
def test_every_answer_has_a_button_and_a_key(pages: TestClient, run: Run, answer: str) -> None:
    """The page works without its script: each button sends the form."""
    pair = next(to_ask(run))
    page = pages.get(f"{PAGE}?token={TOKEN}").text
    assert f'name="answer" value="{answer}" data-key="{answer[0]}"' in page
    assert pages.post(PAGE, data=form(pair, answer)).status_code == 303
    assert [line.answer for line in answers(run)] == [answer]


def test_kind_and_iteration_stay(pages: TestClient, run: Run) -> None:
    pair = next(to_ask(run, "judge", ["1"]))
    assert hidden(pages.get(f"{PAGE}?token={TOKEN}&kind=judge&iteration=1").text)["pair"] == pair.pair_id
    answered = pages.post(PAGE, data=form(pair, kind="judge", iteration="1"))
    assert answered.headers["location"] == f"{PAGE}?token={TOKEN}&kind=judge&iteration=1"
    for wrong in ("kind=other", "iteration=9"):
        assert pages.get(f"{PAGE}?token={TOKEN}&{wrong}").status_code == 400


# ------------------------------------------------------------------------------------------------------- who may answer


@pytest.mark.parametrize("token", ["", "another", TOKEN + "x", "\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_without_the_token_nothing_is_written(pages: TestClient, run: Run, token: str) -> None:
    pair = next(to_ask(run))
    refused = pages.post(PAGE, data=form(pair) | {"token": token})
    assert refused.status_code == 403
    assert TOKEN not in refused.text
    assert not file_of(run).exists()


def test_without_the_token_the_page_only_reads(pages: TestClient, run: Run) -> None:
    """It shows how often the judge agreed, and no form that answers; a wrong token is told."""
    for pair in list(to_ask(run))[:3]:
        pages.post(PAGE, data=form(pair, "a" if pair.a == "chosen" else "b"))
    page = pages.get(PAGE)
    assert page.status_code == 200
    assert 'method="post"' not in page.text and TOKEN not in page.text
    assert "mr explore --spotcheck" in page.text
    assert '<td class="n">100%</td>' in page.text
    wrong = pages.get(f"{PAGE}?token=another")
    assert wrong.status_code == 403 and "another start of the server" in wrong.text


def test_a_server_without_spot_checks_takes_nothing(run: Run) -> None:
    """No method but GET, and no token is right, the empty one neither."""
    with pages_over(run) as pages:
        pair = next(to_ask(run))
        for token in ("", TOKEN):
            assert pages.post(PAGE, data=form(pair) | {"token": token}).status_code == 405
        assert pages.get(f"{PAGE}?token={TOKEN}").status_code == 403
        assert pages.get(PAGE).status_code == 200
    assert not file_of(run).exists()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:3000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Host": "evil.example"}, 400),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}, 303),
    ],
)
def test_no_other_page_can_answer(pages: TestClient, run: Run, headers: dict[str, str], status: int) -> None:
    """Not even with the token: another origin, another host, a kind of content that this page does not send."""
    pair = next(to_ask(run))
    assert pages.post(PAGE, data=form(pair), headers=headers).status_code == status
    assert file_of(run).exists() == (status == 303)


def test_answers_are_taken_on_loopback_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        refuse_others(host, ())
    for host, allowed in (("0.0.0.0", ()), ("192.0.2.1", ()), ("127.0.0.1", ("mr.example.org",))):
        with pytest.raises(UserError, match="on loopback alone"):
            refuse_others(host, allowed)
    monkeypatch.setenv("MR_ALLOWED_HOSTS", "mr.example.org")
    with pytest.raises(UserError, match=r"known as mr\.example\.org"):
        refuse_others("127.0.0.1", ())


# ------------------------------------------------------------------------------------------------ twice, and not at all


def test_a_form_that_is_sent_twice_is_written_once(pages: TestClient, run: Run) -> None:
    """The first answer stays, and the page says so; so it is with two tabs that show the same pair."""
    pair = next(to_ask(run))
    assert "kept" not in pages.post(PAGE, data=form(pair, "a")).headers["location"]
    again = pages.post(PAGE, data=form(pair, "b"))
    assert again.status_code == 303
    assert "had an answer already" in pages.get(again.headers["location"]).text
    assert [line.answer for line in answers(run)] == ["a"]


def test_two_tabs_at_the_same_moment(pages: TestClient, run: Run) -> None:
    """Twelve forms for three pairs: one line each, none torn."""
    three = list(to_ask(run))[:3]
    with ThreadPoolExecutor(6) as tabs:
        sent = list(tabs.map(lambda pair: pages.post(PAGE, data=form(pair)).status_code, three * 4))
    assert set(sent) == {303}
    lines = file_of(run).read_text().splitlines()
    assert len(lines) == 3 and {line.pair_id for line in answers(run)} == {pair.pair_id for pair in three}


@pytest.mark.parametrize(
    "other",
    [
        {"pair": "1.000000000000.actor"},
        {"pair": "9.000000000000.actor"},
        {"pair": "../../etc/passwd"},
        {"pair": ""},
        {"version": "of another time"},
        {"answer": "c"},
        {"answer": ""},
        {"iteration": "77"},
        {"kind": "x" * LONGEST},
    ],
)
def test_what_was_not_asked_is_not_written(pages: TestClient, run: Run, other: dict[str, str]) -> None:
    pair = next(to_ask(run))
    assert pages.post(PAGE, data=form(pair) | other).status_code == 400
    assert not file_of(run).exists()


def test_a_pair_that_was_made_again_meanwhile_is_told(pages: TestClient, run: Run) -> None:
    pair = next(to_ask(run, iterations=["1"]))
    rematerialized(run, "actor_pairs")
    refused = pages.post(PAGE, data=form(pair))
    assert refused.status_code == 400 and "were re-materialized since" in refused.text
    assert not file_of(run).exists()


def test_when_every_pair_has_an_answer_the_agreement_stands_there(pages: TestClient, run: Run) -> None:
    for pair in to_ask(run):
        pages.post(PAGE, data=form(pair, "skip"))
    page = pages.get(f"{PAGE}?token={TOKEN}").text
    assert "Every pair of these has an answer." in page and "The judge and you" in page


def test_unknown_runs_and_the_list_of_runs(pages: TestClient) -> None:
    assert pages.get("/spotcheck/none").status_code == 404
    assert f'href="/spotcheck/tiny?token={TOKEN}"' in pages.get(f"/spotcheck?token={TOKEN}").text
    assert 'href="/spotcheck/tiny"' in pages.get("/spotcheck").text
    assert pages.get("/spotcheck?token=another").status_code == 403


# ------------------------------------------------------------------------------------------------------- what may act


def test_only_the_pages_own_script_may_run(pages: TestClient) -> None:
    """By its content, and on no other page; its Referrer-Policy lets the browser send the form's origin."""
    asks, reads = pages.get(f"{PAGE}?token={TOKEN}"), pages.get(PAGE)
    assert re.search(r"; script-src 'sha256-[\w+/]{43}='$", asks.headers["content-security-policy"])
    assert asks.headers["referrer-policy"] == "same-origin"
    assert "script-src" not in reads.headers["content-security-policy"]
    assert "<script" not in reads.text
    for page in (asks, reads):
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert page.headers["cache-control"] == "no-store"


def test_hostile_texts_are_shown_and_do_nothing(pages: TestClient, run: Run) -> None:
    with_hostile_texts(run, ESCAPES)
    page = pages.get(f"{PAGE}?token={TOKEN}&iteration=1").text
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert page.count("<script>") == 1
