"""The page of a run's figures: what it says, where it leads, and where a curve's points are."""

import pytest
from starlette.testclient import TestClient

from mr_assets.explorer.figures import HEIGHT, MARGIN, WIDTH, FigurePage
from mr_assets.runs.figures import FIGURES
from mr_assets.runs.run import Run
from mr_assets_tests.explorer.conftest import pages_over
from mr_assets_tests.explorer.test_app import Links, words
from mr_assets_tests.lineage.conftest import rematerialized


def test_each_figure_leads_to_what_it_was_counted_from(pages: TestClient, finished: Run) -> None:
    """Iteration 2 trains no judge: what there is of its battles is not known."""
    page = pages.get("/runs/tiny/figures").text
    record = finished.record("judgments", "1")
    assert record is not None
    assert f"mean score {record.numbers['mean score']:.3g} " in words(page)
    links = Links(page).found
    assert {
        "/runs/tiny/judgments?iteration=1&invalid=any",
        "/runs/tiny/meta_judgments?iteration=1&invalid=any&sampled=yes",
        "/runs/tiny/responses?iteration=2&duplicate=yes",
        "/runs/tiny?iteration=1&kind=judge",
        "/runs/tiny/M2",
    } <= links
    assert not any("meta_judgments?iteration=2" in link for link in links)
    assert "/runs/tiny/figures" in Links(pages.get("/").text).found & Links(pages.get("/runs/tiny").text).found


def test_a_curve_goes_from_the_lowest_to_the_highest(finished: Run) -> None:
    """Of two iterations the points are at the left and right margin, one at the top and one at the bottom."""
    [line] = [each for each in FigurePage.of(finished, {}).groups["training"] if each.name == "reward margin"]
    values = [finished.record("checkpoints", t).numbers["reward margin after training, mean over pairs"] for t in "12"]  # type: ignore[union-attr]
    assert [x for x, _, _ in line.curve] == [MARGIN, WIDTH - MARGIN]
    ends = [HEIGHT - MARGIN, MARGIN] if values[0] < values[1] else [MARGIN, HEIGHT - MARGIN]
    assert [y for _, y, _ in line.curve] == pytest.approx(ends)


def test_stale_figures_say_so(run: Run) -> None:
    rematerialized(run, "responses")
    said = words(pages_over(run).get("/runs/tiny/figures").text)
    assert "Stale" in said and "mean score of iteration 1: " in said
    assert "mean score of iteration 2: " in said  # it comes of what is


def test_a_run_of_which_nothing_is_there(run: Run) -> None:
    for t in run.iterations:
        for asset in {figure.asset for group in FIGURES.values() for figure in group}:
            run.record_path(asset, t).unlink()
    assert "Nothing is known yet" in words(pages_over(run).get("/runs/tiny/figures").text)
