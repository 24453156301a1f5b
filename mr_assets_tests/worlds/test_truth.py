"""What the truth says of texts and pairs, in plain arithmetic; and that it is silent without a world."""

import polars as pl

from mr_assets.recipes.load import load_recipe
from mr_assets.worlds.truth import checker, counted, true_gaps, true_scores

REVERSE = "Reverse the letters f w r b."  # b r w f
PROMPTS = pl.DataFrame({"prompt_id": ["p", "q"], "prompt": [REVERSE, "What is the capital of France?"]})
RESPONSES = pl.DataFrame(
    {
        "response_id": ["1.p.r0", "1.p.r1", "1.p.r2", "1.q.r0", "1.gone.r0"],
        "prompt_id": ["p", "p", "p", "q", "gone"],
        "response": ["It is b r w f.", "> b r w f", "It is b r w k.", "Paris.", "It is b r w f."],
    }
)


def test_a_recipe_with_a_world_has_a_truth_and_one_without_has_none() -> None:
    check = checker(load_recipe("small_world_meta_rewarding"))
    assert check is not None
    assert check(REVERSE, "It is b r w f.") == 5
    assert check("What is the capital of France?", "Paris.") is None
    assert checker(load_recipe("llama_3_8b_meta_rewarding")) is None


def truth() -> pl.DataFrame:
    check = checker(load_recipe("small_world_meta_rewarding"))
    assert check is not None
    return true_scores(check, PROMPTS, RESPONSES)


def test_the_true_score_of_every_response_whose_prompt_is_of_the_world() -> None:
    """A concise answer is worth 5, a bare one 3, one with a wrong letter 2."""
    assert dict(truth().iter_rows()) == {"1.p.r0": 5.0, "1.p.r1": 3.0, "1.p.r2": 2.0}


def test_an_actor_pair_agrees_with_the_truth_if_chosen_is_worth_more() -> None:
    """5 - 3 = 2; 2 - 3 = -1, against the truth; 5 - 5 = 0; of the other prompt nothing is known."""
    pairs = pl.DataFrame(
        {
            "chosen_id": ["1.p.r0", "1.p.r2", "1.p.r0", "1.q.r0"],
            "rejected_id": ["1.p.r1", "1.p.r1", "1.p.r0", "1.q.r0"],
        }
    )
    found = true_gaps("actor", pairs, truth())
    assert found["true_gap"].to_list() == [2.0, -1.0, 0.0, None]
    assert found.columns == [*pairs.columns, "true_gap"]
    assert counted(found["true_gap"]) == {"chosen truly better": 1, "chosen truly equal": 1, "chosen truly worse": 1}


def test_a_judge_pair_agrees_with_the_truth_if_the_chosen_judgment_is_nearer() -> None:
    """The response is worth 3. 3 against 5: 2 - 0 = 2; 1 against 3: 0 - 2 = -2; 2 against 4: both are off by 1."""
    pairs = pl.DataFrame(
        {
            "chosen_id": [f"1.p.r1.j{n}" for n in range(3)] + ["1.q.r0.j10"],
            "rejected_id": [f"1.p.r1.j{n}" for n in range(3, 6)] + ["1.q.r0.j11"],
            "chosen_score": [3.0, 1.0, 2.0, 5.0],
            "rejected_score": [5.0, 3.0, 4.0, 1.0],
        }
    )
    assert true_gaps("judge", pairs, truth())["true_gap"].to_list() == [2.0, -2.0, 0.0, None]


def test_no_pairs_are_counted_as_none() -> None:
    assert set(counted(pl.Series([], dtype=pl.Float64)).values()) == {0}
