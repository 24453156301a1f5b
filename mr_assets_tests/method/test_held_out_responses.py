"""Responses to held-out prompts, by hand."""

import polars as pl
import pytest

from mr_assets.method.held_out_responses import held_out_response_numbers, held_out_responses, untrained

PROMPTS = pl.DataFrame({"prompt_id": ["a", "b"], "prompt": ["Who?", "Where?"]})
COMPLETIONS = pl.DataFrame(
    [("b", 0, "there", "stop"), ("a", 0, "he", "stop"), ("a", 1, "she is", "length")],
    schema=["request_id", "sample", "text", "finish_reason"],
    orient="row",
)


def test_seed_prompts_are_dropped_whatever_their_case_and_white_space() -> None:
    found = untrained(PROMPTS, pl.DataFrame({"prompt": ["who? ", "When?"]}))
    assert found.rows["prompt_id"].to_list() == ["b"]
    assert found.dropped.rows() == [("a", "trained_on", '{"prompt":"Who?"}')]


def test_rows_have_their_prompt_and_their_worth() -> None:
    rows = held_out_responses(COMPLETIONS, PROMPTS, lambda prompt, response: 5.0 if prompt == "Who?" else None)
    assert rows["response_id"].to_list() == ["held_out.b.r0", "held_out.a.r0", "held_out.a.r1"]
    assert rows["prompt"].to_list() == ["Where?", "Who?", "Who?"]
    assert rows["true_score"].to_list() == [None, 5.0, 5.0]


def test_figures_by_hand() -> None:
    """5, 2 and 6 characters: the mean is 13/3; a draw of the two prompts has 5 (b twice), 13/3 or 4 (a twice)."""
    found = held_out_response_numbers(held_out_responses(COMPLETIONS, PROMPTS))
    assert (found["prompts"], found["responses"], found["cut off"]) == (2, 3, 1)
    assert (found["characters"], found["characters_low"], found["characters_high"]) == pytest.approx((13 / 3, 4, 5))
    assert "true_score" not in found
    worth = {"he": 1.0, "she is": 2.0, "there": 3.0}
    found = held_out_response_numbers(held_out_responses(COMPLETIONS, PROMPTS, lambda _, response: worth[response]))
    assert found["true_score"] == pytest.approx(2.0)
