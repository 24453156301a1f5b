"""The guides' pictures of the Dagster UI and of the pages, taken from a `mr ui` that is up, in a headless Chromium.

    .venv/bin/python docs/pictures/screens.py http://127.0.0.1:3000 http://127.0.0.1:3001
    .venv/bin/python docs/pictures/screens.py http://127.0.0.1:3000 'http://127.0.0.1:3001/spotcheck?token=T' spotcheck

It looks at a finished run of small_world_meta_rewarding. Look at each picture before it is committed.
"""

import shutil
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE, RUN = Path(__file__).parent, "small_world_meta_rewarding"
NAVIGATION = 240  # pixels at the left of the Dagster UI
COLOURS = 255


def graph(page: Page, ui: str) -> bytes:
    """The assets of the run."""
    page.goto(f"{ui}/locations/mr_assets.definitions/asset-groups/{RUN}/lineage")
    page.get_by_text("battle_matrices").first.wait_for()
    page.wait_for_timeout(8000)  # the states come after the graph
    return beside_navigation(page)


def checks(page: Page, ui: str) -> bytes:
    """A check of actor_pairs over iterations."""
    page.goto(f"{ui}/assets/{RUN}/actor_pairs?view=checks&checkDetail=chosen_length")
    page.get_by_text("Timestamp").last.wait_for()
    page.wait_for_timeout(5000)
    return beside_navigation(page)


def launchpad(page: Page, ui: str) -> bytes:
    """The launchpad of actor_pairs in iteration 2, with another rho."""
    page.goto(f"{ui}/assets/{RUN}/actor_pairs")
    page.get_by_role("button", name="Materialize").first.locator("xpath=following::button[1]").click()
    page.get_by_text("Open launchpad").click()
    page.get_by_placeholder("Partition").fill("2")
    page.keyboard.press("Enter")
    page.locator(".CodeMirror-code").get_by_text("rho", exact=True).click()
    page.keyboard.press("End")
    page.keyboard.press("Backspace")
    page.keyboard.type("0.3")
    page.wait_for_timeout(3000)
    return page.get_by_role("dialog").screenshot()


def pair(page: Page, pages: str) -> bytes:
    """The judge pair of iteration 2 that the training moved most."""
    page.goto(f"{pages}/runs/{RUN}?iteration=2&kind=judge&sort=reward_margin&score_gap=2..")
    page.locator("table.pairs tbody a").nth(1).click()
    end = page.locator(".picture").bounding_box()
    assert end is not None
    return page.screenshot(
        full_page=True, clip={"x": 0, "y": 0, "width": 1100, "height": end["y"] + end["height"] + 40}
    )


def pairs(page: Page, pages: str) -> bytes:
    """The list of pairs, with filters."""
    page.goto(f"{pages}/runs/{RUN}?iteration=2&kind=judge&sort=elo_gap")
    return page.screenshot(clip={"x": 0, "y": 0, "width": 1100, "height": 620})


def model(page: Page, pages: str) -> bytes:
    """The page of a model: where it comes from, its training, its evaluation."""
    page.goto(f"{pages}/runs/{RUN}/M2")
    return page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": 1100, "height": 1070})


def figures(page: Page, pages: str) -> bytes:
    """The run's figures over its iterations: the first two groups."""
    page.goto(f"{pages}/runs/{RUN}/figures")
    end = page.locator("section.card").nth(1).bounding_box()
    assert end is not None
    return page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": 900, "height": end["y"] + end["height"] + 20})


def spotcheck(page: Page, printed: str) -> bytes:
    """A pair shown blind; `printed`: the address that the start with --spotcheck printed."""
    page.goto(printed)
    page.get_by_role("link", name=RUN).click()
    return page.screenshot(clip={"x": 0, "y": 0, "width": 1100, "height": 478})


def report(page: Page, pages: str) -> bytes:
    """The report: what is said first, and what each model is worth."""
    page.goto(f"{pages}/runs/{RUN}/report")
    end = page.locator(".report section").nth(1).bounding_box()
    assert end is not None
    return page.screenshot(
        full_page=True, clip={"x": 0, "y": 0, "width": 1100, "height": min(end["y"] + end["height"] + 20, 1100)}
    )


def beside_navigation(page: Page) -> bytes:
    """The page without the navigation at its left."""
    size = page.viewport_size
    assert size is not None
    return page.screenshot(
        clip={"x": NAVIGATION, "y": 0, "width": size["width"] - NAVIGATION, "height": size["height"]}
    )


Shot = Callable[[Page, str], bytes]
SHOTS: dict[Shot, tuple[int, int]] = {  # and the size of the window
    graph: (1340, 800),
    checks: (1385, 985),
    launchpad: (1300, 760),
    pair: (1100, 800),
    pairs: (1100, 800),
    model: (1100, 800),
    figures: (900, 800),
    report: (1100, 800),
    spotcheck: (1100, 800),
}


def main(ui: str, pages: str, *names: str) -> None:
    """Take the pictures of these names, or all that need no further address."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        for shot, (width, height) in SHOTS.items():
            if shot.__name__ not in names if names else shot is spotcheck:
                continue
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(120_000)
            taken = shot(page, ui if shot in (graph, checks, launchpad) else pages)
            small = Image.open(BytesIO(taken)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            small.save(HERE / f"{shot.__name__}.png", optimize=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
