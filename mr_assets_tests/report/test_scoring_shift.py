"""How a judge's scores move, as densities: where they are drawn, and what is said of them beside the picture."""

from pathlib import Path

import polars as pl
import pytest

from mr_assets.judging import PAPERS_SCORING, Scoring
from mr_assets.report.page import html, markdown
from mr_assets.report.report import report
from mr_assets.report.scoring_shift import densities, on_policy, probe, scoring_shift, shares
from mr_assets.runs.run import Run
from mr_assets.tables import JUDGMENTS, SCORING_SHIFT
from mr_assets_tests.report.conftest import a_run, measure
from mr_assets_tests.report.test_page import Elements, section

PROBED = ("held_out={source: world, prompts: 4, per_prompt: 2}", "probe={per_response: 2}")
MEANS = {"seed": [1.0, 2.0, 3.0, 4.0], "0": [2.0, 3.0, 3.5, 4.0], "1": [5.0, 5.0, 5.0, 5.0]}


def probed(data: Path, name: str = "a", *sets: str) -> Run:
    """A run whose seed model, M0 and M1 judged four responses, and whose M0 gave its own in iteration 1 0, 2 and 4."""
    run = a_run(data, name, *PROBED, *sets)
    for key, means in MEANS.items():
        numbers = {"mean_score": sum(means) / 4, "top_share": 0.5, "top_share_low": 0.4, "top_share_high": 0.6}
        measure(run, "scoring_shift", key, numbers | {"entropy": 1.5, "responses": 4})
        rows = pl.DataFrame({"response_id": [f"r{n}" for n in range(4)], "prompt_id": "p", "mean": means})
        pl.concat([SCORING_SHIFT.empty(), rows], how="diagonal").write_parquet(run.path("scoring_shift", key))
    measure(run, "judgments", "1", {"mean score": 2.0, "share of top scores": 0.25, "score entropy": 1.25})
    scores: dict[str, list[float | None]] = {"a": [0.0, None], "b": [1.0, 3.0], "c": [4.0, 4.0], "d": [None, None]}
    given = pl.DataFrame([(r, s) for r, each in scores.items() for s in each], ["response_id", "score"], orient="row")
    pl.concat([JUDGMENTS.empty(), given], how="diagonal_relaxed").write_parquet(run.path("judgments", "1"))
    return run


def test_a_chart_for_the_probe_and_one_for_the_run_itself(tmp_path: Path) -> None:
    """Never on one axis; the judge has its colour in both: M0 is the second model."""
    found = scoring_shift([(probed(tmp_path), {})])
    fixed, own = found.charts
    assert "seed model's responses" in fixed.title and "on-policy" in own.title and "0 to 5" in own.title
    assert [line.label for line in fixed.lines] == ["seed", "M0", "M1: all are 5"]
    assert [line.label for line in own.lines] == ["M0, iteration 1"]
    assert fixed.lines[1].colour == own.lines[0].colour == 1
    assert [label for _, label in fixed.labels] == ["0", "1", "2", "3", "4", "5"]


def test_a_density_is_highest_where_the_means_are_and_one_of_equal_means_is_not_drawn(tmp_path: Path) -> None:
    fixed, _ = scoring_shift([(probed(tmp_path), {})]).charts
    seed, m0, m1 = fixed.lines
    highest = [min(line.points, key=lambda p: p.y).x for line in (seed, m0)]
    assert highest[0] < highest[1]  # 1, 2, 3, 4 are symmetric about 2.5; 2, 3, 3.5, 4 lie to the right
    middle = (seed.points[0].x + seed.points[-1].x) / 2
    assert highest[0] == pytest.approx(middle)
    assert m1.points == [] and not seed.dots


def test_the_means_are_those_of_the_valid_scores(tmp_path: Path) -> None:
    """0, of 1 and 3 it is 2, 4; the last response has no score."""
    own, second = on_policy(probed(tmp_path), {})
    assert own.means.to_list() == [0.0, 2.0, 4.0]
    assert own.figures["entropy"].value == 1.25
    assert (second.label, second.means.to_list()) == ("M1, iteration 2", [])


def test_the_picture_is_also_said_in_numbers(tmp_path: Path) -> None:
    """Of the seed's means one lies in each part but the first; M1's are all in the last."""
    run = probed(tmp_path)
    assert shares(pl.Series(MEANS["seed"]), PAPERS_SCORING) == [0, 0.25, 0.25, 0.25, 0.25]
    assert shares(pl.Series(MEANS["1"]), PAPERS_SCORING) == [0, 0, 0, 0, 1]
    assert shares(pl.Series([1.0, 10.0, 2.8]), Scoring(lowest=1, highest=10)) == [1 / 3, 1 / 3, 0, 0, 1 / 3]
    said = section(markdown(report([run])), "How the judge's scores move")
    assert "| seed | 0% | 25% | 25% | 25% | 25% |" in said and "| M1 | 0% | 0% | 0% | 0% | 100% |" in said
    assert "| judge | mean score | top share | entropy |" in said
    assert "| M0 | 3.12 | 0.50 (0.40 to 0.60) | 1.50 |" in said
    assert "| M0, iteration 1 | 2 | 0.25 | 1.25 |" in said
    assert "| M1, iteration 2 | – | – | – | – | – |" in said  # noqa: RUF001  # no score is in no part


def test_pages_draw_them_with_a_legend(tmp_path: Path) -> None:
    page = html(report([probed(tmp_path)]))
    labels = [each["aria-label"] for tag, each in Elements(page).found if tag == "svg"]
    assert sum("mean scores (0 to 5)" in (label or "") for label in labels) == 2
    assert "M1: all are 5</li>" in page and "M0, iteration 1</li>" in page


def test_stale_scores_are_said_to_be(tmp_path: Path) -> None:
    run = probed(tmp_path)
    found = scoring_shift([(run, {("scoring_shift", "0"): "its judge was made again"})])
    assert [line.label for line in found.charts[0].lines][1] == "M0 (stale)"
    assert found.tables[0].rows[1][1].mark == "stale" and found.tables[0].rows[0][1].mark == ""


def test_runs_have_a_picture_each_and_share_the_tables(tmp_path: Path) -> None:
    """The probes come first, so that they stand side by side."""
    runs = [probed(tmp_path), probed(tmp_path, "b", "seed=1")]
    found = scoring_shift([(run, {}) for run in runs])
    assert [chart.title.rpartition(", ")[2] for chart in found.charts] == ["a", "b", "a", "b"]
    assert ["probe" in chart.title for chart in found.charts] == [True, True, False, False]
    fixed, parts, own, _ = found.tables
    assert [row[0].said for row in fixed.rows] == ["a: seed", "a: M0", "a: M1", "b: seed", "b: M0", "b: M1"]
    assert len(parts.rows) == 6 and len(own.rows) == 4


def test_runs_on_other_scales_share_no_table_of_parts(tmp_path: Path) -> None:
    run, other = probed(tmp_path), probed(tmp_path, "b")
    ten = other.recipe.judgments.model_copy(update={"lowest_score": 1.0, "highest_score": 10.0})
    other = Run("b", other.recipe.model_copy(update={"judgments": ten}), tmp_path)
    found = scoring_shift([(run, {}), (other, {})])
    assert len(found.tables) == 2 and "1 to 10" in found.charts[1].title


def test_without_a_probe_the_own_scores_are_drawn_and_without_scores_nothing(tmp_path: Path) -> None:
    run = a_run(tmp_path, "a")
    assert probe(run, {}) == [] and scoring_shift([(run, {})]).charts == []
    assert densities("", on_policy(run, {}), run) is None
