"""The report as a page, and the runs side by side on the first page."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mr_assets.explorer.app import explorer
from mr_assets.runs.run import Run
from mr_assets_tests.explorer.conftest import UI
from mr_assets_tests.explorer.test_app import Links, words
from mr_assets_tests.report.conftest import a_run
from mr_assets_tests.report.test_scoring_shift import probed


@pytest.fixture
def side_by_side(tmp_path: Path) -> TestClient:
    """The pages over two runs of one recipe, of which the second has no truth."""
    a_run(tmp_path, "a")
    a_run(tmp_path, "b", "seed=1", "evaluation=null", accuracy={})
    return TestClient(explorer(tmp_path, UI), base_url="http://127.0.0.1", follow_redirects=False)


def test_a_runs_report(pages: TestClient, finished: Run) -> None:
    """Its pairs are links, and its style is the server's own: the pages allow no other."""
    page = pages.get("/runs/tiny/report")
    assert page.status_code == 200
    assert "From the seed model to M2" in words(page.text) and "What to do next" in words(page.text)
    parsed = Links(page.text)
    assert any(link.startswith("/runs/tiny/2.") for link in parsed.found) and "/report.css" in parsed.found
    assert not any("style" in attributes for _, attributes in parsed.elements)
    assert pages.get("/report.css").headers["content-type"].startswith("text/css")


def test_several_runs_are_reported_together(side_by_side: TestClient) -> None:
    said = words(side_by_side.get("/report?run=a&run=b&run=a").text)
    assert "2 runs side by side" in said


def test_a_run_that_is_none_is_not_found(side_by_side: TestClient) -> None:
    assert side_by_side.get("/report?run=a&run=none").status_code == 404
    assert side_by_side.get("/report").text == side_by_side.get("/").text  # nothing is ticked


def test_the_first_page_has_the_runs_side_by_side(side_by_side: TestClient) -> None:
    """A curve where there is one, its last value beside it, and a form that leads to the report on both."""
    page = side_by_side.get("/").text
    parsed = Links(page)
    assert {"/runs/a/report", "/runs/b/report", "/report"} <= parsed.found
    ticked = [each["value"] for tag, each in parsed.elements if tag == "input" and each.get("name") == "run"]
    assert ticked == ["a", "b"]


def test_curves_of_the_first_page_share_an_axis(tmp_path: Path) -> None:
    """True scores 0 and 4 of one run, 2 and 2 of the other: the second's curve is in the middle."""
    from mr_assets_tests.report.conftest import measure

    for name, values in (("a", (0.0, 4.0)), ("b", (2.0, 2.0))):
        run = a_run(tmp_path, name, accuracy={})
        for model, value in zip(("seed", "0"), values, strict=True):
            measure(run, "evaluation", model, {"true_score": value})
    page = TestClient(explorer(tmp_path, UI), base_url="http://127.0.0.1").get("/").text
    curves = [each["points"] for tag, each in Links(page).elements if tag == "polyline"]
    heights = [[float(point.split(",")[1]) for point in str(curve).split()] for curve in curves]
    assert heights[1] == pytest.approx([sum(heights[0]) / 2] * 2)
    assert "true score" in words(page)


def test_the_scores_of_the_probe_are_drawn_with_their_style(tmp_path: Path) -> None:
    """On the page of the figures those of all models, on a model's page its own, the one before's and the seed's."""
    run = probed(tmp_path)
    (run.path("checkpoints", "1")).mkdir(parents=True, exist_ok=True)
    pages = TestClient(explorer(tmp_path, UI), base_url="http://127.0.0.1", follow_redirects=False)
    for page, curves in (
        ("figures", ["seed", "M0", "M1: all are 5"]),
        ("M1", ["seed", "M0", "M1: all are 5"]),
        ("M0", ["seed", "M0"]),
    ):
        answer = pages.get(f"/runs/a/{page}")
        parsed = Links(answer.text)
        assert answer.status_code == 200 and "/report.css" in parsed.found, page
        [drawn, *_] = [
            each["aria-label"]
            for tag, each in parsed.elements
            if tag == "svg" and "mean scores" in (each.get("aria-label") or "")
        ]
        assert "on the probe" in str(drawn)
        legend = answer.text.partition("legend")[2].partition("</ul>")[0]
        assert [label for label in curves if f"</span>{label}</li>" in legend] == curves
        assert legend.count("</li>") == len(curves)
    assert "/report.css" not in Links(pages.get("/runs/a").text).found
