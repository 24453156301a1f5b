"""The pages in a real browser: find a pair, follow it to a judgment and a battle; and texts that try to act.

Needs Chromium or Chrome on the PATH.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import polars as pl
import pytest
from playwright.sync_api import Dialog, Page, Request, expect, sync_playwright

from mr_assets.lineage.spotcheck import answers, to_ask
from mr_assets.runs.run import Run
from mr_assets_tests.lineage.conftest import change, table
from mr_assets_tests.lineage.conftest import run as run
from mr_assets_tests.lineage.test_tree import ids
from mr_assets_tests.real_run import free_port

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome on the PATH"),
]
PLACES = ("", "?score_gap=wide", "/report", "/dropped", "/prompts", "/responses", "/judgments", "/judgments?score=many")
HOSTILE = [
    "<script>window.acted = 1; document.title = 'acted'</script>",
    "<img src=x onerror='window.acted = 1'>",
    "<svg onload='window.acted = 1'><animate onbegin='window.acted = 1' attributeName=x dur=1s>",
    "\"'><iframe src='javascript:parent.acted = 1'></iframe>",
    "</div></main></body><base href='http://evil.example/'>",
    "</pre><meta http-equiv=refresh content='0;url=http://evil.example/'>",
    "<style>body { display: none } @import 'http://evil.example/x.css';</style>",
    "<link rel=stylesheet href=//evil.example/y>",
    "<form action=http://evil.example/><input name=id autofocus onfocus='window.acted = 1'>",
    "[click](javascript:window.acted=1) ![x](http://evil.example/x.png)",
    "</title></textarea></style></svg><script>window.acted = 1</script>",
    "{{ 7 * 7 }}{% raw %}\x1b]0;acted\x07\u202eesrever\u2066\x01",
    "w" * 5000 + " " + "\n" * 400 + "a\u0300" * 500,
]


@dataclass
class Watched:
    """A page of a browser, and whatever it did that it should not."""

    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def requested(self, request: Request) -> None:
        if not request.url.startswith(self.address + "/"):
            self.requests.append(request.url)

    def asked(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def innocent(self) -> None:
        """Nothing was run, fetched from elsewhere, or shown by a text."""
        assert (self.requests, self.dialogs, self.console) == ([], [], [])
        assert self.page.evaluate("window.acted") is None
        assert self.page.url.startswith(self.address + "/")
        expect(self.page.locator("main")).to_be_visible()


@contextmanager
def browser_on(run: Run, *options: str, script: bool = True) -> Iterator[Watched]:
    """``mr explore`` over a run's data folder, and a page of a headless Chromium; at a spot check if it takes some."""
    port = free_port()
    command = [sys.executable, "-m", "mr_assets.cli", "explore", "--port", str(port), *options]
    server = subprocess.Popen(
        command, env={**os.environ, "MR_DATA": str(run.data)}, stderr=subprocess.PIPE, text=True, cwd=run.data
    )
    try:
        assert server.stderr is not None
        assert f"Pages on http://127.0.0.1:{port}" in server.stderr.readline()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
            watched = Watched(browser.new_page(java_script_enabled=script), f"http://127.0.0.1:{port}")
            watched.page.on("request", watched.requested)
            watched.page.on("console", lambda message: watched.console.append(message.text))
            watched.page.on("dialog", watched.asked)
            if "--spotcheck" in options:
                printed = server.stderr.readline()
                watched.page.goto(printed.partition("Spot checks on ")[2].split()[0])
            yield watched
            browser.close()
    finally:
        server.kill()
        server.communicate()


def test_from_the_first_page_to_a_judgment_and_a_battle_and_back(finished: Run) -> None:
    """As a person goes: the run, a filter, a pair, one of its judgments, one of its battles, and back."""
    pair = table(finished, "elo_pairs").row(0, named=True)
    with browser_on(finished) as watched:
        page = watched.page
        page.goto(watched.address)
        page.get_by_role("link", name="tiny", exact=True).click()
        everything = page.locator("table.pairs tbody tr").count()
        page.get_by_label("kind").select_option("judge")
        page.get_by_role("button", name="filter").click()
        judge = table(finished, "elo_pairs").height
        expect(page.locator("table.pairs tbody tr")).to_have_count(judge)
        assert everything > judge
        page.get_by_role("link", name="Elo gap").click()
        assert "sort=elo_gap" in page.url and "kind=judge" in page.url
        page.get_by_role("link", name=pair["pair_id"]).click()
        expect(page.get_by_role("heading", name=f"judge pair {pair['pair_id']}")).to_be_visible()
        expect(page.locator(".side.chosen h3")).to_contain_text("chosen")
        expect(page.locator(".picture svg")).to_be_visible()

        page.locator(".side.chosen h3 a").click()
        expect(page.get_by_role("heading", name=f"judgment {pair['chosen_id']}")).to_be_visible()
        judgment = table(finished, "judgments").filter(judgment_id=pair["chosen_id"]).row(0, named=True)
        expect(page.locator(".focus .text").first).to_have_text(judgment["judgment"])
        expect(page.locator(".verdict").first).to_contain_text(f"Score {judgment['score']:g}")

        page.locator(".focus table.battles td:nth-child(2) a").first.click()
        expect(page.get_by_role("heading", name="battle ", level=1)).to_be_visible()
        expect(page.get_by_role("heading", name="Judgment A")).to_be_visible()
        page.go_back()
        page.go_back()
        expect(page.get_by_role("heading", name=f"judge pair {pair['pair_id']}")).to_be_visible()
        page.locator("table.heat td a").first.click()
        expect(page.get_by_role("heading", name="battle ", level=1)).to_be_visible()
        page.get_by_role("link", name="raw text").first.click()
        expect(page.locator("body")).to_be_visible()
        assert page.url.endswith("/raw")
        page.go_back()
        page.goto(f"{watched.address}/runs/tiny?iteration=1")
        page.get_by_role("link", name="What was dropped").click()
        page.locator("table.groups td a").first.click()
        page.locator("table.pairs tbody a").first.click()
        expect(page.locator(".dropped", has_text="Dropped by").first).to_be_visible()
        page.get_by_label("open an id").fill("M1")
        page.get_by_role("button", name="open").click()
        expect(page.get_by_role("heading", name="model M1")).to_be_visible()
        watched.innocent()


def test_a_box_and_a_square_of_the_picture_lead_to_their_pages(finished: Run) -> None:
    pair = table(finished, "actor_pairs").row(0, named=True)
    with browser_on(finished) as watched:
        page = watched.page
        page.goto(f"{watched.address}/runs/tiny/{pair['pair_id']}")
        page.locator(".picture .box.chosen").click()
        expect(page.get_by_role("heading", name=f"response {pair['chosen_id']}")).to_be_visible()
        page.locator(".picture rect.judgment").first.click()
        expect(page.get_by_role("heading", name="judgment ", level=1)).to_be_visible()


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_its_window(finished: Run, width: int) -> None:
    with browser_on(finished) as watched:
        watched.page.set_viewport_size({"width": width, "height": 900})
        for address in ["/", *(f"/runs/tiny{place}" for place in PLACES), *(f"/runs/tiny/{i}" for i in ids(finished))]:
            watched.page.goto(watched.address + address)
            assert watched.page.evaluate("document.documentElement.scrollWidth") <= width, address


def test_the_reports_heads_stand_above_their_columns(finished: Run) -> None:
    with browser_on(finished) as watched:
        watched.page.goto(f"{watched.address}/runs/tiny/report")
        heads, cells = (
            watched.page.locator(f"table.numbers >> nth=0 >> {part}") for part in ("thead th", "tr:has(td)")
        )
        cells = cells.first.locator("th, td")
        assert heads.count() == cells.count() > 2
        edges = "all => all.map(each => each.getBoundingClientRect().right)"
        assert heads.evaluate_all(edges) == cells.evaluate_all(edges)


def test_no_text_acts_in_a_browser(run: Run) -> None:
    """Every sampled text is one of the hostile ones; every kind of page is opened, all of it unfolded, and clicked."""
    columns = {"responses": "response", "judgments": "judgment", "meta_judgments": "meta_judgment", "prompts": "prompt"}
    for asset, column in columns.items():
        count = table(run, asset).height
        texts = pl.Series(column, [HOSTILE[n % len(HOSTILE)] for n in range(count)])
        change(run, asset, lambda rows, texts=texts: rows.with_columns(texts))  # type: ignore[misc]
    responses = table(run, "responses")["response_id"].to_list()[: len(HOSTILE)]
    judgments = table(run, "judgments")["judgment_id"].to_list()[: len(HOSTILE)]
    addresses = ["/runs/tiny", "/runs/tiny?text=%3Cscript%3Ewindow.acted%3D1%3C/script%3E", "/runs/tiny/%3Cscript%3E"]
    addresses += [f"/runs/tiny/{identity}" for identity in [*ids(run), *responses, *judgments]]
    addresses += ["/runs/tiny/responses?text=script", "/runs/tiny/judgments", "/runs/tiny/prompts?text=%3Cimg"]
    addresses += [f"/runs/tiny/{identity}/raw" for identity in responses]
    with browser_on(run) as watched:
        watched.page.set_viewport_size({"width": 390, "height": 900})
        for address in addresses:
            watched.page.goto(watched.address + address)
            if address.endswith("/raw"):
                assert watched.page.evaluate("window.acted") is None
                continue
            if "%3Cscript%3E" in address:
                watched.console.clear()  # the browser notes the status 404
            watched.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            assert watched.page.evaluate("document.documentElement.scrollWidth") <= 390, address
            assert watched.page.title() != "acted"
            watched.innocent()


@pytest.mark.parametrize("script", [True, False])
def test_a_spot_check_by_keys_and_by_buttons(run: Run, script: bool) -> None:
    """From the printed address: the keys b, t and s, and without scripts the buttons, each bring the next pair."""
    asked = list(to_ask(run))
    with browser_on(run, "--spotcheck", script=script) as watched:
        page = watched.page
        page.get_by_role("link", name="tiny").click()
        for pair, key, name in zip(asked, "bts", ("B is better", "a tie", "skip"), strict=False):
            expect(page.locator("input[name=pair]")).to_have_value(pair.pair_id)
            expect(page.locator(".side .text").first).to_have_text(pair.first)
            with page.expect_navigation():
                if script:
                    page.keyboard.press(key)
                else:
                    page.get_by_role("button", name=name).click()
        if script:
            page.get_by_label("kind of pairs").press("s")  # a key in a field is no answer
        page.get_by_role("link", name="How often the judge agreed").click()
        expect(page.get_by_role("heading", name="The judge and you")).to_be_visible()
        assert (watched.requests, watched.dialogs, watched.console) == ([], [], [])
    assert [line.answer for line in answers(run)] == ["b", "tie", "skip"]
