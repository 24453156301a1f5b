"""The pages: what each says, where it leads, what is refused, and that no text acts in it."""

import html
import json
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import TestClient

from mr_assets.addresses import page_behind_check, pages_url
from mr_assets.explorer.app import AT_ONCE, Explorer, explorer
from mr_assets.explorer.texts import TEXTS, kinds_of
from mr_assets.lineage import trace
from mr_assets.lineage.pairs import GAPS, pairs
from mr_assets.method.dropped import REASONS
from mr_assets.runs.estimates import estimates
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets.tables import EFT_JUDGMENTS, dropped_frame, dropped_path
from mr_assets.worlds import letters
from mr_assets_tests.explorer.conftest import UI, pages_over
from mr_assets_tests.lineage.conftest import change, dropped, rematerialized, table, with_hostile_texts
from mr_assets_tests.lineage.test_tree import ESCAPES, ids
from mr_assets_tests.tiny import complete, files, tiny_run


class Links(HTMLParser):
    """The addresses in a page, and its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.found |= {value for name, value in attrs if name in ("href", "action", "src") and value}


def words(page: str) -> str:
    """The text of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_the_runs_and_their_iterations(pages: TestClient, finished: Run) -> None:
    page = pages.get("/")
    assert page.status_code == 200
    links = Links(page.text).found
    assert "/runs/tiny" in links and "/runs/tiny?iteration=1&kind=judge" in links and "/runs/tiny/M1" in links
    assert f"1 {table(finished, 'actor_pairs').height} {table(finished, 'elo_pairs').height} M1" in words(page.text)


def test_without_a_run_the_first_page_says_how_to_start_one(tmp_path: Path) -> None:
    page = TestClient(explorer(tmp_path, UI), base_url="http://127.0.0.1").get("/")
    assert "mr run small_world_meta_rewarding" in words(page.text)


def test_the_first_page_is_made_ahead_when_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the Dagster UI not before that answers: of many runs the page takes a core for seconds."""
    looked, ahead = threading.Event(), threading.Event()

    def stored(data: Path) -> tuple[dict[str, Run], dict[str, str]]:
        looked.set()
        return {}, {}

    monkeypatch.setattr("mr_assets.explorer.app.stored_and_unreadable_runs", stored)
    with TestClient(explorer(tmp_path, UI, ahead=ahead), base_url="http://127.0.0.1"):
        assert not looked.wait(0.5)
        ahead.set()
        assert looked.wait(30)


# ---------------------------------------------------------------------------------------------------------- the list


def listed(page: str) -> list[str]:
    return re.findall(r'class="id" href="/runs/tiny/([^"?]+)[^"]*"', page)


def test_the_list_has_every_pair_of_every_iteration(pages: TestClient, finished: Run) -> None:
    wanted = [*table(finished, "actor_pairs")["pair_id"], *table(finished, "elo_pairs")["pair_id"]]
    wanted += table(finished, "actor_pairs", "2")["pair_id"].to_list()
    assert sorted(listed(pages.get("/runs/tiny").text)) == sorted(wanted)


def test_filters_and_sorting(pages: TestClient, finished: Run) -> None:
    """As `mr pairs` filters and sorts; a column's title turns the order."""
    judge = table(finished, "elo_pairs").with_columns(gap=pl.col("chosen_elo") - pl.col("rejected_elo"))
    page = pages.get("/runs/tiny?kind=judge&iteration=1&sort=elo_gap").text
    assert listed(page) == judge.sort("gap", descending=True, maintain_order=True)["pair_id"].to_list()
    assert "/runs/tiny?iteration=1&kind=judge&sort=elo_gap&order=asc" in Links(page).found
    turned = pages.get("/runs/tiny?kind=judge&iteration=1&sort=elo_gap&order=asc").text
    assert [*table(finished, "elo_pairs")["pair_id"]] and listed(turned)[0] == judge.sort("gap")["pair_id"][0]
    wide = judge.filter(pl.col("gap") >= 1.0)
    assert sorted(listed(pages.get("/runs/tiny?elo_gap=1..").text)) == sorted(wide["pair_id"])
    assert listed(pages.get("/runs/tiny?text=surely nowhere").text) == []


def test_the_form_keeps_what_was_asked_for(pages: TestClient) -> None:
    page = pages.get('/runs/tiny?kind=actor&text="><b>&score_gap=0..').text
    elements = Links(page).elements
    values = {a.get("name"): a.get("value") for tag, a in elements if tag == "input"}
    assert values["text"] == '"><b>' and values["score_gap"] == "0.."
    assert "mr pairs tiny --kind actor --score-gap 0.. --text '\"><b>'" in words(page)


def test_pages_of_the_list(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page everything once; what lies beyond the last page is empty."""
    monkeypatch.setattr("mr_assets.explorer.pages.PAGE", 4)
    pages = pages_over(finished)
    everything = listed(pages.get("/runs/tiny").text)
    assert len(everything) == 4
    seen, address = [], "/runs/tiny"
    while address:
        page = pages.get(address).text
        seen += listed(page)
        address = next((a["href"] or "" for tag, a in Links(page).elements if a.get("rel") == "next"), "")
    assert len(seen) == len(set(seen)) > 8


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("kind=foo", "kind is 'foo', expected one of actor, judge."),
        ("iteration=9", "iteration is '9', expected one of 1, 2."),
        ("score_gap=wide", "'wide' is no range. Expected from..to"),
        (
            "sort=text",
            "sort is 'text', expected one of pair_id, score_gap, length_gap, elo_gap, reward_margin,",
        ),
        ("order=up", "order is 'up', expected one of asc, desc."),
        ("page=0", "page is '0', expected a number from 1 on."),
        ("page=x", "page is 'x', expected a number from 1 on."),
        ("page=1" + "0" * 30, "expected a number from 1 on."),
        ("kid=actor", "unknown filter kid."),
    ],
)
def test_what_cannot_be_asked_for_is_said(pages: TestClient, query: str, said: str) -> None:
    page = pages.get(f"/runs/tiny?{query}")
    assert page.status_code == 400 and said in words(page.text)


def test_an_empty_list_says_why(pages: TestClient, run: Run) -> None:
    """Nothing matches, the page is beyond the last one, or nothing was made yet; each its own sentence."""
    assert "No pair matches." in words(pages.get("/runs/tiny?text=surely nowhere").text)
    assert "A gap is a range" in words(pages.get("/runs/tiny?score_gap=1000..").text)
    beyond = pages.get("/runs/tiny?kind=actor&page=77").text
    assert "Page 77 is beyond the last one" in words(beyond)
    assert "/runs/tiny?kind=actor&page=1" in Links(beyond).found
    for asset in ("actor_pairs", "elo_pairs"):
        run.path(asset, "2").with_suffix(".json").unlink(missing_ok=True)
    assert "No pair was made yet in iteration 2" in words(pages_over(run).get("/runs/tiny?iteration=2").text)


def test_the_runs_and_the_list_lead_to_dagster(pages: TestClient, finished: Run) -> None:
    pairs, model = finished.record("actor_pairs", "1"), finished.record("checkpoints", "1")
    assert pairs and model
    assert {f"{UI}/assets/tiny", f"{UI}/runs/{model.run_id}"} <= Links(pages.get("/").text).found
    links = Links(pages.get("/runs/tiny?kind=actor").text).found
    assert {f"{UI}/assets/tiny/actor_pairs?view=partitions&partition=1", f"{UI}/runs/{pairs.run_id}"} <= links


@pytest.mark.parametrize("gap", [name for name in GAPS if name != "elo_gap"])
def test_gaps_sort_both_ways_and_say_so(pages: TestClient, finished: Run, gap: str) -> None:
    """The direction is in the address, in a link that a keyboard reaches, and in aria-sort."""
    values = dict(pairs(finished).select("pair_id", gap).iter_rows())
    known = sorted(value for value in values.values() if value is not None)
    for order, said, wanted in (("asc", "ascending", known), ("desc", "descending", known[::-1])):
        page = pages.get(f"/runs/tiny?sort={gap}&order={order}").text
        assert [values[pair] for pair in listed(page) if values[pair] is not None] == wanted[:50]
        sorts = [attrs["aria-sort"] for tag, attrs in Links(page).elements if tag == "th" and "aria-sort" in attrs]
        assert sorts.count(said) == 1 and set(sorts) == {said, "none"}
        assert f"/runs/tiny?sort={gap}&order={'asc' if order == 'desc' else 'desc'}" in Links(page).found


@pytest.mark.parametrize(("name", "value"), [("score_gap", "wi<de"), ("reward_margin", "a..b"), ("kind", "foo")])
def test_a_wrong_filter_stays_in_the_form_with_what_is_wrong(pages: TestClient, name: str, value: str) -> None:
    page = pages.get("/runs/tiny", params={name: value, "text": "kept"})
    elements = Links(page.text).elements
    [asked] = [attrs for tag, attrs in elements if tag in ("input", "select") and attrs.get("name") == name]
    assert page.status_code == 400 and asked["aria-describedby"] == f"wrong-{name}"
    assert asked.get("value", value) == value and html.escape(value) in page.text
    assert any(attrs.get("id") == f"wrong-{name}" for _, attrs in elements)
    assert [attrs["value"] for tag, attrs in elements if attrs.get("name") == "text"] == ["kept"]


def test_from_a_pair_to_the_next_one_of_the_list_and_back(pages: TestClient) -> None:
    """With filters and order kept, through the whole list; the first has none before it, the last none after."""
    query = "?iteration=1&sort=score_gap&order=asc"
    wanted = listed(pages.get(f"/runs/tiny{query}").text)
    seen, address, before = [], f"/runs/tiny/{wanted[0]}{query}", None
    while address:
        page = pages.get(address).text
        links = {
            attrs["rel"]: attrs["href"] for tag, attrs in Links(page).elements if attrs.get("rel") in ("prev", "next")
        }
        assert links.get("prev") == before and f"/runs/tiny{query}" in Links(page).found
        seen.append(address.removeprefix("/runs/tiny/").removesuffix(query))
        before, address = address, links.get("next") or ""
    assert seen == wanted


def test_hits_of_a_search_are_marked(pages: TestClient, finished: Run) -> None:
    prompt = table(finished, "prompts")["prompt"][0]
    page = pages.get("/runs/tiny", params={"text": prompt.upper()}).text
    assert f"<mark>{html.escape(prompt)}</mark>" in page


def test_pairs_that_contradict_the_truth_are_listed(pages: TestClient, finished: Run) -> None:
    against = pairs(finished).filter(pl.col("true_gap") < 0)["pair_id"].to_list()
    page = pages.get("/runs/tiny?truth=contradicts").text
    assert listed(page) == against
    assert not against or "contradicts the truth" in words(pages.get(f"/runs/tiny/{against[0]}").text)


def test_a_bare_id_is_looked_for_in_the_run_that_one_is_in(run: Run) -> None:
    save(run)
    shutil.copytree(run.folder, run.data / "other")
    pages, pair = pages_over(run), table(run, "actor_pairs")["pair_id"][0]
    assert pages.get(f"/id?id={pair}").status_code == 200  # a choice
    for name in ("tiny", "other"):
        assert f'name="run" value="{name}"' in pages.get(f"/runs/{name}").text
        assert pages.get(f"/id?id={pair}&run={name}").headers["location"] == f"/runs/{name}/{pair}"


def test_what_is_stale_says_so_wherever_it_is_shown(run: Run) -> None:
    """M1 was trained again: its evaluation, and all of iteration 2, are not of what lies there."""
    save(run)
    pages = pages_over(run)
    for address in ("/", "/runs/tiny", "/runs/tiny/M1"):
        assert "stale" not in words(pages.get(address).text).lower(), address
    assert "2 of 2 iterations complete" in words(pages.get("/").text)
    rematerialized(run, "checkpoints")
    for address in ("/", "/runs/tiny?iteration=2", "/runs/tiny/M1", "/runs/tiny/M2"):
        assert "stale" in words(pages.get(address).text).lower(), address
    assert "1 of 2 iterations complete" in words(pages.get("/").text)


def test_prompts_responses_and_judgments_have_lists_of_their_own(run: Run, pages: TestClient) -> None:
    """All of each, searched and filtered; a wrong filter stays in the form."""
    for kind in kinds_of(run):
        column, rows = TEXTS[kind], table(run, kind)
        text = rows[column][0]
        page = pages.get(f"/runs/tiny/{kind}", params={"iteration": "1", "text": text.upper()})
        wanted = rows.filter(pl.col(column).str.to_lowercase().str.contains(text.lower(), literal=True))
        assert listed(page.text) == wanted[f"{column}_id"].to_list()[:50]
        assert html.escape(text)[:20] in page.text and "<mark>" in page.text
    scored = table(run, "judgments").filter(pl.col("score") >= 4)
    high = pages.get("/runs/tiny/judgments?iteration=1&score=4..").text
    assert listed(high) == scored["judgment_id"].to_list()[:50]
    doubles = table(run, "responses").filter(pl.col("duplicate_of").is_not_null())["response_id"].to_list()
    assert listed(pages.get("/runs/tiny/responses?iteration=1&duplicate=yes").text) == doubles
    wrong = pages.get("/runs/tiny/judgments?score=many")
    assert wrong.status_code == 400 and 'value="many"' in wrong.text and "'many' is no range" in words(wrong.text)


def test_every_response_and_judgment_shows_its_truth(pages: TestClient, finished: Run) -> None:
    """In their lists and on their pages: the true score, and of a judgment by how much it misses that."""
    prompts = dict(table(finished, "prompts").iter_rows())
    row = table(finished, "responses").row(0, named=True)
    true = letters.true_score(prompts[row["prompt_id"]], row["response"])
    said = words(pages.get("/runs/tiny/responses?iteration=1").text)
    assert re.search(rf"{re.escape(row['response_id'])} \S+ {true} ", said)
    assert f"True score {true} " in words(pages.get(f"/runs/tiny/{row['response_id']}").text)
    judgments = table(finished, "judgments").filter(response_id=row["response_id"])
    judgment = judgments.filter(pl.col("score").is_not_null()).row(0, named=True)
    off = judgment["score"] - true
    how = f"off by {abs(off):g}, too {'high' if off > 0 else 'low'}" if off else "exact"
    assert f"{judgment['judgment_id']} {judgment['score']:g} {true} {how}" in words(
        pages.get("/runs/tiny/judgments?iteration=1").text
    )
    assert f"({how}: the true score of the response is {true})" in words(
        pages.get(f"/runs/tiny/{judgment['judgment_id']}").text
    )


def invalid(run: Run, asset: str, reasons: list[str], sampled: pl.Expr) -> list[str]:
    """Take the score, or the winner, from the first texts of a table, one for each of the reasons; their ids."""
    key, value = {"judgments": ("judgment_id", "score"), "meta_judgments": ("meta_judgment_id", "winner")}[asset]
    ids = table(run, asset).filter(sampled)[key][: len(reasons)].to_list()
    said = dict(zip(ids, reasons, strict=True))
    reason = pl.col(key).replace_strict(said, default=None, return_dtype=pl.String)
    lost = pl.when(pl.col(key).is_in(ids))
    valid = pl.col("invalid").is_in(["identical_battle"]).fill_null(False)
    change(
        run,
        asset,
        lambda rows: rows.with_columns(
            lost.then(None).otherwise(value).alias(value),
            invalid=lost.then(reason).otherwise(pl.when(valid).then("invalid")),
        ),
    )
    return ids


@pytest.mark.slow
def test_judgments_without_a_score_are_listed_with_their_reason(run: Run) -> None:
    """How many for which reason, and which; each leads to its own page and to that of its response."""
    ids = invalid(run, "judgments", ["no_score", "no_score", "off_scale"], pl.lit(True))
    pages = pages_over(run)
    found = {
        asked: pages.get(f"/runs/tiny/judgments?iteration=1&invalid={asked}").text for asked in REASONS | {"any": ""}
    }
    assert listed(found["any"]) == ids and listed(found["off_scale"]) == ids[2:] and listed(found["no_winner"]) == []
    assert f"2 no score : {REASONS['no_score']} 1 off scale :" in words(found["off_scale"])
    links = Links(found["any"]).found
    assert "/runs/tiny/judgments?iteration=1&invalid=off_scale" in links
    assert f"/runs/tiny/{ids[0].rpartition('.')[0]}" in links
    assert f"No score: {REASONS['no_score']}" in words(pages.get(f"/runs/tiny/{ids[0]}").text)


def test_what_was_asked_for_again_is_not_without_a_score(run: Run) -> None:
    """Its text had none, and the reason stays with it; the score is there."""
    first, *_ = table(run, "judgments").filter(pl.col("score").is_not_null())["judgment_id"]
    again = pl.when(pl.col("judgment_id") == first).then(pl.lit("no_score")).otherwise("invalid")
    change(run, "judgments", lambda rows: rows.with_columns(invalid=again))
    pages = pages_over(run)
    assert first not in listed(pages.get("/runs/tiny/judgments?iteration=1&invalid=any").text)
    assert "asked again" in words(pages.get("/runs/tiny/judgments?iteration=1").text)


def test_meta_judgments_without_a_winner_are_listed_with_their_reason(run: Run) -> None:
    """Those that were sampled, as the parse rate counts them: not the copies of their verdicts, nor equal texts."""
    sampled = pl.col("copied_from").is_null() & pl.col("meta_judgment").is_not_null()
    ids = invalid(run, "meta_judgments", ["different_winners", "no_winner"], sampled)
    pages = pages_over(run)
    page = pages.get("/runs/tiny/meta_judgments?iteration=1&invalid=any&sampled=yes").text
    assert listed(page) == ids
    assert f"1 different winners : {REASONS['different_winners']} 1 no winner :" in words(page)
    assert listed(pages.get("/runs/tiny/meta_judgments?iteration=1&invalid=no_winner&sampled=yes").text) == ids[1:]
    assert f"Nobody wins: {REASONS['different_winners']}" in words(pages.get(f"/runs/tiny/{ids[0]}").text)
    apart = table(run, "meta_judgments").filter(~sampled)["meta_judgment_id"].to_list()
    assert listed(pages.get("/runs/tiny/meta_judgments?iteration=1&sampled=no").text) == apart[:50]
    first = table(run, "meta_judgments").filter(winner="first")["meta_judgment_id"].to_list()
    assert listed(pages.get("/runs/tiny/meta_judgments?iteration=1&winner=first").text) == first[:50]
    wrong = pages.get("/runs/tiny/meta_judgments?winner=third")
    assert wrong.status_code == 400 and "winner is 'third', expected one of first, second" in words(wrong.text)


def test_the_seed_models_judgments_have_a_list(tmp_path: Path) -> None:
    """Made once, of replies that have no pages: their whole texts are in the list. Other runs have none."""
    run = tiny_run(tmp_path, "eft.source=open_assistant:trees.jsonl", "eft.examples=null")
    save(run)
    rows = [
        ("eft.p.r0.j0", "eft.p.r0", 0, "<b>Score: 4", 4.0, None),
        ("eft.p.r1.j0", "eft.p.r1", 0, "Hm.", None, "no_score"),
    ]
    columns = ["judgment_id", "response_id", "n", "judgment", "score", "invalid"]
    judged = pl.DataFrame(rows, schema=columns, orient="row").with_columns(finish_reason=pl.lit("stop"), token_ids=[1])
    run.path("eft_judgments").parent.mkdir(exist_ok=True)
    judged.cast(EFT_JUDGMENTS.schema).write_parquet(run.path("eft_judgments"))
    complete(run, "eft_judgments")
    pages = pages_over(run)
    page = pages.get("/runs/tiny/eft_judgments").text
    assert "2 eft-judgments" in words(page) and "&lt;b&gt;Score: 4" in page and not listed(page)
    without = words(pages.get("/runs/tiny/eft_judgments?invalid=any").text)
    assert "1 eft-judgments" in without and "eft.p.r1.j0" in without and "eft.p.r0.j0" not in without
    assert pages.get("/runs/tiny/eft_judgments?iteration=1").status_code == 400
    assert "/runs/tiny/eft_judgments" in Links(pages.get("/runs/tiny").text).found
    assert (
        page_behind_check("tiny", "eft_judgments", None, "parse_rate")
        == f"{pages_url()}/runs/tiny/eft_judgments?invalid=any"
    )


def test_the_list_of_pairs_leads_to_what_cannot_be_read(pages: TestClient) -> None:
    """Of the iteration that is asked for."""
    links = Links(pages.get("/runs/tiny?iteration=1").text).found
    assert "/runs/tiny/judgments?iteration=1&invalid=any" in links
    assert "/runs/tiny/meta_judgments?iteration=1&invalid=any&sampled=yes" in links


def test_a_models_page_has_its_evaluation_in_words(pages: TestClient, finished: Run) -> None:
    record = finished.record("evaluation", "1")
    assert record is not None
    said = words(pages.get("/runs/tiny/M1").text)
    assert f"true score {estimates(record.numbers)['true_score'].shown()} " in said and "judge_exact" not in said


# ------------------------------------------------------------------------------------------------------------ dropped


def test_what_was_dropped_is_counted_and_listed(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """By asset and reason; the list leads to the page of each id, and has them all once."""
    for module in ("dropped", "pages"):
        monkeypatch.setattr(f"mr_assets.explorer.{module}.PAGE", 3)
    pages = pages_over(finished)
    page = pages.get("/runs/tiny/dropped?iteration=1").text
    moved = pages.get("/runs/tiny/left-out?iteration=1")  # the address of earlier versions
    assert (moved.status_code, moved.headers["location"]) == (301, "dropped?iteration=1")
    assert "/runs/tiny/dropped?iteration=1" in Links(pages.get("/runs/tiny?iteration=1").text).found
    everything = dropped(finished, "selected_responses")
    for reason, count in everything["reason"].value_counts().iter_rows():
        address = f"/runs/tiny/dropped?iteration=1&asset=selected_responses&reason={reason}"
        assert address in Links(page).found
        assert f"{count} selected_responses of iteration 1" in words(pages.get(address).text)
        seen = []
        while address:
            one = pages.get(address).text
            seen += listed(one)
            address = next((a["href"] or "" for tag, a in Links(one).elements if a.get("rel") == "next"), "")
        assert sorted(seen) == sorted(everything.filter(reason=reason)["id"])
        assert pages.get(f"/runs/tiny/{seen[0]}").status_code == 200
    query = f"iteration=1&asset=selected_responses&reason={everything['reason'][0]}&page=99"
    assert "is beyond the last one" in words(pages.get(f"/runs/tiny/dropped?{query}").text)


def test_what_was_dropped_once_for_all_is_listed(run: Run) -> None:
    """By an asset of the family: without an iteration, and with ids that have no page of their own."""
    rows = dropped_frame([("line 7", "too_long", "{}"), ("line <9>", "too_long", "{}")])
    path = dropped_path(run.path("seed_prompts"))
    path.parent.mkdir(exist_ok=True)
    rows.write_parquet(path)
    record = run.record("seed_prompts")
    assert record is not None
    write_record(run.record_path("seed_prompts"), replace(record, dropped=2))
    pages = pages_over(run)
    address = "/runs/tiny/dropped?asset=seed_prompts&reason=too_long"
    assert address in Links(pages.get("/runs/tiny/dropped").text).found
    page = pages.get(address).text
    assert "2 seed_prompts" in words(page) and "line 7" in words(page) and "line &lt;9&gt;" in page
    assert not listed(page)
    assert address not in Links(pages.get("/runs/tiny/dropped?iteration=1").text).found


def test_a_prompt_without_a_pair_leads_to_why(run: Run) -> None:
    pair = table(run, "actor_pairs")["pair_id"][0]
    change(run, "actor_pairs", lambda rows: rows.filter(pl.col("pair_id") != pair))
    rows = dropped_frame([(pair.split(".")[1], "equal_scores", '{"score_max": 4.0}')])
    rows.write_parquet(dropped_path(run.path("actor_pairs", "1")))
    pages = pages_over(run)
    page = pages.get("/runs/tiny/dropped?iteration=1&asset=actor_pairs&reason=equal_scores").text
    assert "all responses to the prompt have the same score (4)" in words(page) and f"/runs/tiny/{pair}" in page
    assert "No actor pair" in words(pages.get(f"/runs/tiny/{pair}").text)


def test_a_reason_that_nobody_knows_is_shown_as_it_is(run: Run) -> None:
    """As of tables of another version; and one without its numbers."""
    response = table(run, "responses")["response_id"][0]
    rows = dropped_frame([(response, "<b>new</b>", "{}"), (response, "lower_variance", "{}")])
    rows.write_parquet(dropped_path(run.path("selected_responses", "1")))
    pages = pages_over(run)
    said = words(pages.get(f"/runs/tiny/{response}").text)
    assert "<b>new</b>" in said and "lower variance , the judgments of another response" in said
    listing = pages.get("/runs/tiny/dropped?iteration=1&asset=selected_responses&reason=%3Cb%3Enew%3C/b%3E").text
    assert listed(listing) == [response]


def test_no_reason_acts_in_a_page(run: Run) -> None:
    """Words of tables that are no texts are not trusted either."""
    for asset in ("judgments", "meta_judgments"):
        change(run, asset, lambda rows: rows.with_columns(invalid=pl.lit(ESCAPES)))
    left = dropped(run, "selected_responses").with_columns(reason=pl.lit(ESCAPES))
    left.write_parquet(dropped_path(run.path("selected_responses", "1")))
    pages = pages_over(run)
    for address in ["/runs/tiny/dropped", *(f"/runs/tiny/{identity}" for identity in ids(run))]:
        assert not set(pages.get(address).text) & {"\x1b", "\x07", "\u202e", "\x00", "\x9b"}


def test_a_data_folder_may_have_any_name(run: Run, tmp_path: Path) -> None:
    """Brackets and stars in it are no pattern."""
    moved = tmp_path / "[a] *?"
    run.data.rename(moved)
    client = TestClient(explorer(moved, UI), base_url="http://127.0.0.1")
    assert len(listed(client.get("/runs/tiny").text)) > 3


@pytest.mark.parametrize("query", ["iteration=9", "asset=../etc", "page=0", "iteration=1&page=x"])
def test_what_cannot_be_asked_for_of_what_was_dropped_is_said(pages: TestClient, query: str) -> None:
    page = pages.get(f"/runs/tiny/dropped?{query}")
    assert page.status_code == 400 and ", expected " in words(page.text)


# --------------------------------------------------------------------------------------------------------- ids' pages


def test_an_actor_pairs_page(pages: TestClient, finished: Run) -> None:
    """Texts, the rule with its numbers, every response and judgment, models, training; each leads on."""
    pair = table(finished, "actor_pairs").row(0, named=True)
    page = pages.get(f"/runs/tiny/{pair['pair_id']}").text
    lineage = trace(finished, pair["pair_id"])
    [round_] = lineage.rounds
    said, links = words(page), Links(page).found
    assert round_.rule is not None and round_.prompt is not None
    assert round_.prompt.text in said
    texts = {each.id: each.text or "" for each in round_.responses}
    extremes = round_.rule.score_max, round_.rule.score_min
    assert "best mean score of the prompt (Smax) is {:.4g} , the worst (Smin) {:.4g}".format(*extremes) in said
    assert f"r{round_.rule.bottom[0].rpartition('.r')[2]} {len(texts[round_.rule.bottom[0]])}" in said
    for response in round_.responses:
        assert response.text is not None and response.text in said
        assert f"/runs/tiny/{response.id}" in links
        assert {f"/runs/tiny/{judgment.id}" for judgment in response.judgments} <= links
        assert response.mean is None or f"mean {response.mean:.4g}" in said
    assert {"/runs/tiny/M0", "/runs/tiny/M1"} <= links
    actor = round_.pair("actor")
    assert actor and actor.margin and actor.margin.after is not None
    assert f"Reward margin: 0 before training, {actor.margin.after:.3g} after" in said


def test_a_judge_pairs_page(pages: TestClient, finished: Run) -> None:
    """The variance, weights, the matrix by Elo with a battle behind each cell, and the Elo of every judgment."""
    pair = table(finished, "elo_pairs").row(0, named=True)
    page = pages.get(f"/runs/tiny/{pair['pair_id']}").text
    [round_] = trace(finished, pair["pair_id"]).rounds
    said, links = words(page), Links(page).found
    assert round_.contest and round_.contest.matrix and round_.contest.elo
    assert f"vary most (variance {round_.contest.variance:.4g} )" in said
    assert f"A win shown first weighs {round_.contest.matrix.omega_1:.4g}" in said
    assert {f"/runs/tiny/{battle.id}" for battle in round_.contest.battles} <= links
    heat = page[page.index('class="heat"') : page.index("</table>", page.index('class="heat"'))]
    by_elo = sorted(round_.contest.elo.scores.items(), key=lambda each: -each[1])
    rows = re.findall(r'<th scope="row">\s*<a class="id" href="/runs/tiny/([^"]+)"', heat)
    assert [dict(by_elo)[identity] for identity in rows] == [elo for _, elo in by_elo]
    assert heat.count('<td class="s') == len(rows) ** 2


def test_every_kind_of_id_has_a_page_with_its_asset_and_run(pages: TestClient, finished: Run) -> None:
    """Each fact's maker leads to the asset's partition and the run in the Dagster UI."""
    for identity in ids(finished):
        page = pages.get(f"/runs/tiny/{identity}")
        assert page.status_code == 200, identity
        links = Links(page.text).found
        asset = "checkpoints" if identity == "M1" else "prompts"
        record = finished.record(asset, "1")
        assert record is not None
        assert f"{UI}/assets/tiny/{asset}?view=partitions&partition=1" in links
        assert f"{UI}/runs/{record.run_id}" in links
        assert f"{UI}/assets/{finished.family}/sft_checkpoint" in links


@pytest.mark.slow
def test_every_link_of_every_page_leads_somewhere(pages: TestClient, finished: Run) -> None:
    """Within the pages; from each kind of id, and from the list."""
    seen: set[str] = set()
    for address in ["/", "/runs/tiny", *(f"/runs/tiny/{identity}" for identity in ids(finished))]:
        seen |= {link for link in Links(pages.get(address).text).found if link.startswith("/")}
    kinds = {re.sub(r"[0-9a-f]{12}|\d+", "#", link): link for link in sorted(seen) if link != "/id"}
    for link in kinds.values():
        assert pages.get(link).status_code == 200, link


def test_a_judgment_and_a_battle(pages: TestClient, finished: Run) -> None:
    battle = table(finished, "meta_judgments").filter(pl.col("winner") == "first").row(0, named=True)
    page = pages.get(f"/runs/tiny/{battle['meta_judgment_id']}").text
    assert f"Winner: {battle['first_id'].rpartition('.')[2]} , shown first" in words(page)
    judgment = pages.get(f"/runs/tiny/{battle['first_id']}").text
    assert f"/runs/tiny/{battle['meta_judgment_id']}" in Links(judgment).found


def test_without_a_pair_the_rules_numbers_are_there(run: Run) -> None:
    pair = table(run, "actor_pairs")["pair_id"][0]
    change(run, "actor_pairs", lambda rows: rows.filter(pl.col("pair_id") != pair))
    rows = [
        (pair.split(".")[1], "chosen_too_long", '{"chosen_id": "1.x.r0", "chosen_chars": 9, "max_chosen_chars": 8}')
    ]
    dropped_frame(rows).write_parquet(dropped_path(run.path("actor_pairs", "1")))
    said = words(pages_over(run).get(f"/runs/tiny/{pair}").text)
    assert "No actor pair chosen too long" in said and "(Smax)" in said and "Top tier, from" in said


def test_a_prompt_that_came_in_both_iterations_has_both(run: Run) -> None:
    prompt = table(run, "prompts")["prompt_id"][0]
    change(run, "prompts", lambda _: table(run, "prompts", "1"), "2")
    page = pages_over(run).get(f"/runs/tiny/{prompt}").text
    assert "Iteration 1" in words(page) and "Iteration 2" in words(page)


def test_raw_text_is_plain_and_to_the_letter(pages: TestClient, finished: Run) -> None:
    row = table(finished, "judgments").row(0, named=True)
    raw = pages.get(f"/runs/tiny/{row['judgment_id']}/raw")
    assert raw.text == row["judgment"] and raw.headers["content-type"] == "text/plain; charset=utf-8"
    pair = pages.get(f"/runs/tiny/{table(finished, 'actor_pairs')['pair_id'][0]}/raw")
    assert pair.status_code == 400 and "has no text of its own" in words(pair.text)


def test_json_is_that_of_mr_trace(pages: TestClient, finished: Run) -> None:
    identity = table(finished, "elo_pairs")["pair_id"][0]
    answer = pages.get(f"/runs/tiny/{identity}/json")
    assert answer.json() == json.loads(json.dumps(trace(finished, identity).as_json() | {"stale": []}))


def test_rematerialized_upstream_is_said_and_not_shown(run: Run) -> None:
    identity = table(run, "actor_pairs")["pair_id"][0]
    rematerialized(run, "judgments")
    page = words(pages_over(run).get(f"/runs/tiny/{identity}").text)
    assert "Stale" in page and "was made of judgments of iteration 1" in page
    assert "11 judgments" not in page and "3 judgments" not in page
    assert "its judgments are not there as they were" in page and "not judged" not in page
    listing = words(pages_over(run).get("/runs/tiny?iteration=1").text)
    assert "Stale" in listing and "actor_pairs of iteration 1" in listing
    assert "was made of judgments of iteration 1" in listing


# ----------------------------------------------------------------------------------------------------------- any id


def test_an_id_is_found_in_whatever_run_has_it(run: Run) -> None:
    pages, identity = pages_over(run), table(run, "responses")["response_id"][0]
    found = pages.get(f"/id?id={identity}")
    assert found.status_code == 303 and found.headers["location"] == f"/runs/tiny/{identity}"
    copy = Run("other", run.recipe, run.data)
    for path in sorted(run.folder.rglob("*")):
        if path.is_file():
            place = copy.folder / path.relative_to(run.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    choice = pages.get(f"/id?id={identity}")
    assert {f"/runs/tiny/{identity}", f"/runs/other/{identity}"} <= Links(choice.text).found
    assert pages.get(f"/id?id=other/{identity}").headers["location"] == f"/runs/other/{identity}"


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/nowhere", "Not Found"),
        ("/runs/tinny", "there is no run 'tinny'. Runs: tiny."),
        ("/runs/tiny/nonsense", "'nonsense' is no id"),
        ("/runs/tiny/9.000000000000.actor", "there is no pair 9.000000000000.actor"),
        ("/runs/tiny/M7", "there is no model M7"),
        ("/runs/..%2f..%2fetc/M1", "Not Found"),
        ("/runs/../M1", "Not Found"),
        ("/runs/tiny/..%2f..%2fpasswd", "Not Found"),
        ("/style.css/../app.py", "Not Found"),
        ("/id?id=nonsense", "'nonsense' is no id"),
        ("/id?id=1.000000000000.r1", "there is no response 1.000000000000.r1 in any run (tiny)"),
        ("/id?id=nope/M1", "there is no run 'nope'. Runs: tiny."),
        ("/id?id=" + "a" * 9999, "aaa…' is no id"),
        ("/runs/tiny/%00", r"'\x00' is no id"),
        ("/id", "'' is no id"),
    ],
)
def test_what_is_not_there_is_said(pages: TestClient, address: str, said: str) -> None:
    page = pages.get(address)
    assert page.status_code in (400, 404) and said in words(page.text)


def test_what_cannot_be_read_is_said(run: Run) -> None:
    """A damaged table and a recipe that is none are messages; a record that nobody understands is one, too."""
    pair, pages = table(run, "actor_pairs")["pair_id"][0], pages_over(run)
    beside = dropped_path(run.path("actor_pairs", "1"))
    beside.write_bytes(b"PAR1 nothing")
    page = pages.get(f"/runs/tiny/{pair}")
    assert page.status_code == 404 and "actor_pairs of iteration 1 of run tiny cannot be read" in words(page.text)

    beside.unlink()
    record = run.path("actor_pairs", "1").with_suffix(".json")
    record.write_text(json.dumps(json.loads(record.read_text()) | {"settings": {}}))
    client = TestClient(pages.app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    page = client.get(f"/runs/tiny/{pair}")
    assert page.status_code == 500 and "cannot be made of what lies there (KeyError: " in words(page.text)
    assert "default-src 'none'" in page.headers["content-security-policy"]

    (run.folder / "recipe.yaml").write_text("title: [<b>")
    assert pages.get("/runs/tiny").status_code == 400
    for address in ("/", "/runs/tiny"):
        page = pages.get(address)
        assert re.search("[Rr]un tiny cannot be read: .*Mend the YAML", words(page.text)) and "<b>" not in page.text


def test_it_only_reads(finished: Run, pages: TestClient) -> None:
    """No method but GET is answered, and no file changes."""
    before = files(finished.data)
    for address in ["/", "/runs/tiny", *(f"/runs/tiny/{identity}" for identity in ids(finished))]:
        assert pages.get(address).status_code == 200
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert pages.request(method, address).status_code == 405
    assert files(finished.data) == before


@pytest.mark.slow
def test_few_pages_are_made_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are asked for: each may hold an iteration's texts in memory."""
    under_way, most, lock = 0, 0, threading.Lock()

    def slow(self: Explorer, request: Request) -> Response:
        nonlocal under_way, most
        with lock:
            under_way, most = under_way + 1, max(most, under_way + 1)
        time.sleep(0.5)  # on a busy machine it takes a while until a second one is there
        with lock:
            under_way -= 1
        return PlainTextResponse("")

    monkeypatch.setattr(Explorer, "pairs", slow)
    save(tiny_run(tmp_path))
    with (
        TestClient(explorer(tmp_path, UI), base_url="http://127.0.0.1") as client,
        ThreadPoolExecutor(3 * AT_ONCE) as askers,
    ):
        answers = list(askers.map(client.get, [f"/runs/tiny?page={n}" for n in range(3 * AT_ONCE)]))
    assert {answer.status_code for answer in answers} == {200}
    assert most == AT_ONCE


def test_no_other_site_can_read_it(pages: TestClient) -> None:
    """A name that another site has pointed at loopback is refused, and no page may be framed or run a script."""
    assert pages.get("/", headers={"host": "evil.example"}).status_code == 400
    for address in ("/", "/runs/tiny/nonsense", "/nowhere", "/style.css"):
        policy = pages.get(address).headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script" not in policy and "frame-ancestors 'none'" in policy
        assert pages.get(address).headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("text", [ESCAPES, '<img src=x onerror=alert(1)>"><svg/onload=alert(1)>{{ 7 * 7 }}'])
def test_no_text_acts_in_a_page(run: Run, text: str) -> None:
    """Neither markup nor a template nor a control character of a text is in any page; its letters are."""
    with_hostile_texts(run, text)
    pages = pages_over(run)
    plain = pages.get(f"/runs/tiny/{table(run, 'responses')['response_id'][0]}").text
    assert html.escape(text.splitlines()[-1], quote=False).replace('"', "&#34;") in plain
    for address in ["/runs/tiny", *(f"/runs/tiny/{identity}" for identity in ids(run))]:
        page = pages.get(address).text
        links = Links(page)
        assert not {tag for tag, _ in links.elements} & {"script", "img", "iframe", "object", "embed", "b-text"}
        assert not [name for _, attributes in links.elements for name in attributes if name.startswith("on")]
        assert not [link for link in links.found if not link.startswith(("/", UI))]
        assert not set(page) & {"\x1b", "\x07", "\u202e", "\x00", "\x9b"}
