"""How good each model of a small world truly is, by a fake engine."""

import pytest

from mr_assets.runs.run import Run
from mr_assets.tables import EVALUATION
from mr_assets_tests.lineage.conftest import table

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_every_model_is_evaluated(finished: Run) -> None:
    """The seed, M0, M1 and M2 answer the same held-out set."""
    rows = [table(finished, "evaluation", m).row(0, named=True) for m in finished.models]
    assert [r["model"] for r in rows] == ["seed", "M0", "M1", "M2"]
    assert all(0 < r["true_score"] <= 5 and 0 <= r["judge_exact"] <= 1 for r in rows)


@pytest.mark.parametrize("model", ["seed", "0", "1", "2"])
def test_its_figures_are_the_means_of_the_questions(finished: Run, model: str) -> None:
    """Four questions to the actor, six responses to judge, three pairs of judgments to compare."""
    rows = table(finished, "evaluation", model)
    EVALUATION.check(rows)
    [row] = rows.rows(named=True)
    record = finished.record("evaluation", model)
    assert record is not None
    for figure, questions in (
        *((actor, 4) for actor in ("true_score", "accuracy", "characters")),
        *(("judge_exact", 6), ("meta_accuracy", 3)),
    ):
        each = row[f"{figure}_each"]
        assert len(each) == questions
        assert row[figure] == record.numbers[figure] == pytest.approx(sum(each) / questions)
        assert record.numbers[f"{figure}_low"] <= row[figure] <= record.numbers[f"{figure}_high"]
