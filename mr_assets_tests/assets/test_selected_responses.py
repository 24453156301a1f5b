"""Per prompt the response on which the judge is least certain."""

import json
from statistics import pvariance

import pytest

from mr_assets.orchestration.steps import Step
from mr_assets.runs.run import Run
from mr_assets.tables import SELECTED_RESPONSES
from mr_assets_tests.assets.conftest import Again
from mr_assets_tests.lineage.conftest import dropped, table

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_the_response_whose_scores_vary_most_is_selected(finished: Run) -> None:
    """By the variance of its three scores, ddof 0; the others of its prompt are dropped, each with its own."""
    selected, gone = table(finished, "selected_responses"), dropped(finished, "selected_responses")
    SELECTED_RESPONSES.check(selected)
    scores = table(finished, "judgments").group_by("response_id").agg("score")
    varies = {each: pvariance(given) for each, given in scores.iter_rows()}
    assert sorted([*selected["response_id"], *gone["id"]]) == sorted(varies)
    assert sorted(selected["prompt_id"]) == sorted(table(finished, "prompts")["prompt_id"])
    for prompt, response, variance in selected.iter_rows():
        of_prompt = {each: value for each, value in varies.items() if each.startswith(f"1.{prompt}.")}
        assert varies[response] == max(of_prompt.values()) == pytest.approx(variance)
    for response, reason, numbers in gone.iter_rows():
        assert json.loads(numbers)["variance"] == pytest.approx(varies[response])
        assert reason == ("lower_variance" if varies[response] else "zero_variance")


def test_why_others_were_dropped_is_a_number_for_each_reason(again: Again) -> None:
    """So that it can be followed over iterations; together they are all that was dropped."""
    world = again()
    assert world.materialize(Step("again", ("selected_responses",), "1")).success
    reasons = world.dropped("selected_responses", "1")["reason"].to_list()
    assert reasons
    shown = {k: v for k, v in world.metadata("selected_responses", "1").items() if k.startswith("dropped: ")}
    assert shown == {f"dropped: {reason}": reasons.count(reason) for reason in reasons}
