"""The figures of each table, by arithmetic that a reader can redo."""

import polars as pl
import pytest

from mr_assets.method.intervals import wilson
from mr_assets.method.numbers import (
    actor_pair_numbers,
    battle_matrix_numbers,
    dpo_dataset_numbers,
    elo_pair_numbers,
    judgment_numbers,
    meta_judgment_numbers,
    response_numbers,
    score_counts,
    score_entropy,
    selected_response_numbers,
    win_share_intervals,
    win_shares,
    with_pair_scores,
    without_texts,
)
from mr_assets.tables import (
    ACTOR_PAIRS,
    BATTLE_MATRICES,
    DPO_DATASET,
    ELO_PAIRS,
    RESPONSES,
    SELECTED_RESPONSES,
)
from mr_assets_tests.method.tables import Answer, meta_judgments, tables


def test_texts_give_way_to_their_lengths() -> None:
    """ "abc" of two tokens; what was not sampled has neither."""
    rows = pl.DataFrame({"id": ["x", "y"], "said": ["abc", None], "token_ids": [[7, 8], None]})
    assert without_texts(rows.lazy(), "said").rows() == [("x", 3, 2), ("y", None, None)]


def test_figures_of_responses() -> None:
    """Lengths 1, 1, 4 and 10: mean 4, median 2.5; the second "a" is a duplicate, the blank is white space."""
    answers = [Answer("a", []), Answer("a", []), Answer("\n\t \u200b", []), Answer("0123456789", [], "length")]
    responses, _ = tables({"p": answers})
    wanted = {"mean characters": 4.0, "median characters": 2.5, "duplicates": 1, "blank": 1, "cut off": 1}
    assert response_numbers(responses) == response_numbers(responses.lazy()) == wanted


def test_figures_of_actor_pairs() -> None:
    """Two pairs of four prompts; score gaps 4 and 1, chosen lengths 4 and 6, rejected ones 3 and 10."""
    pairs = [
        ("1.p.actor", "p", "1.p.r0", "1.p.r1", 5, 1, 5, 1, 0, 4, 3),
        ("1.q.actor", "q", "1.q.r0", "1.q.r1", 3, 2, 3, 2, 0, 6, 10),
    ]
    responses, _ = tables({prompt: [Answer("x", [])] for prompt in "pqrs"})
    assert actor_pair_numbers(pl.DataFrame(pairs, schema=ACTOR_PAIRS.schema, orient="row"), responses) == {
        "pairs": 2,
        "share of prompts with a pair": 0.5,
        "mean score gap": 2.5,
        "mean chosen characters": 5.0,
        "mean rejected characters": 6.5,
    }


def test_figures_of_selected_responses() -> None:
    rows = [("p", "1.p.r0", 1.0), ("q", "1.q.r2", 2.0)]
    assert selected_response_numbers(pl.DataFrame(rows, schema=SELECTED_RESPONSES.schema, orient="row")) == {
        "selected": 2,
        "mean score variance": 1.5,
    }


def test_figures_of_battle_matrices() -> None:
    """One of two is strongly connected; one has three judgments, one two."""
    rows = [
        ("1.p.r0", ["a", "b", "c"], [[0.0] * 3] * 3, 0.25, 0.75, 3, 1, True),
        ("1.q.r0", ["d", "e"], [[0.0] * 2] * 2, 0.75, 0.25, 1, 3, False),
    ]
    assert battle_matrix_numbers(pl.DataFrame(rows, schema=BATTLE_MATRICES.schema, orient="row")) == {
        "matrices": 2,
        "omega 1": 0.5,
        "omega 2": 0.5,
        "share strongly connected": 0.5,
        "judgments per matrix": 2.5,
    }


def test_figures_of_elo_pairs() -> None:
    """One pair of two matrices: Elo 1 over -1 (and 0), whose standard deviation is 1; a score of 2 over one of 5."""
    row = ("1.p.judge", "1.p.r0", "1.p.r0.j1", "1.p.r0.j0", 1.0, -1.0, [-1.0, 1.0, 0.0], 9, 8)
    pairs = pl.DataFrame([row], schema=ELO_PAIRS.schema, orient="row")
    _, judgments = tables({"p": [Answer("x", [5, 2, 3])]})
    scored = with_pair_scores(pairs, judgments).collect()
    assert scored.select("chosen_score", "rejected_score").rows() == [(2.0, 5.0)]
    matrices = pl.DataFrame({"response_id": ["1.p.r0", "1.q.r0"]})
    assert elo_pair_numbers(scored, matrices) == {
        "pairs": 1,
        "mean Elo gap": 2.0,
        "standard deviation of Elo": 1.0,
        "share of matrices with a pair": 0.5,
        "mean chosen characters": 9.0,
        "mean rejected characters": 8.0,
        "mean score of chosen less rejected": -3.0,
    }


def test_figures_of_the_dpo_dataset() -> None:
    """Three pairs, one of them the judge's: prompts of 1, 2 and 3 tokens, chosen of 2, rejected of 4."""
    kinds = pl.DataFrame({"kind": ["actor", "actor", "judge"], "prompt_token_ids": [[1], [1, 2], [1, 2, 3]]})
    tokens = {"chosen_token_ids": [[1, 2]] * 3, "rejected_token_ids": [[1, 2, 3, 4]] * 3}
    assert dpo_dataset_numbers(kinds.with_columns(**{n: pl.Series(ids) for n, ids in tokens.items()})) == {
        "pairs": 3,
        "actor pairs": 2,
        "judge pairs": 1,
        "judge share": pytest.approx(1 / 3),
        "mean prompt tokens": 2.0,
        "mean chosen tokens": 2.0,
        "mean rejected tokens": 4.0,
    }


def test_figures_of_nothing() -> None:
    """Counts are 0, means are None. Without any prompt or matrix there is no share either."""
    nothing = {
        "responses": response_numbers(RESPONSES.empty()),
        "actor_pairs": actor_pair_numbers(ACTOR_PAIRS.empty(), RESPONSES.empty()),
        "selected_responses": selected_response_numbers(SELECTED_RESPONSES.empty()),
        "battle_matrices": battle_matrix_numbers(BATTLE_MATRICES.empty()),
        "elo_pairs": elo_pair_numbers(
            with_pair_scores(ELO_PAIRS.empty(), tables({"p": [Answer("x", [1])]})[1]), BATTLE_MATRICES.empty()
        ),
        "dpo_dataset": dpo_dataset_numbers(DPO_DATASET.empty()),
    }
    for numbers in nothing.values():
        assert {name: value for name, value in numbers.items() if value} == {}
    assert nothing["actor_pairs"]["share of prompts with a pair"] == nothing["responses"]["blank"] == 0
    assert nothing["elo_pairs"]["share of matrices with a pair"] is nothing["dpo_dataset"]["judge share"] is None


def test_figures_of_judgments() -> None:
    """Scores 5, 5, 4, 1 and one invalid: 4 of 5 parse, mean 15/4; shares 1/2, 1/4, 1/4 have 1.5 bits.

    Two responses to a prompt have means 5 and 2.5: MSB 6.25, MSW 4.5 / 2, so ICC (6.25 - 2.25) / (6.25 + 2.25) = 8/17.
    """
    judgments = pl.DataFrame(
        {
            "response_id": ["1.p.r0", "1.p.r0", "1.p.r1", "1.p.r1", "1.p.r1"],
            "score": [5.0, 5.0, 4.0, 1.0, None],
            "invalid": [None, None, None, None, "off_scale"],
            "chars": [10, 20, 30, 40, 50],
            "finish_reason": ["stop", "stop", "stop", "stop", "length"],
        }
    )
    assert judgment_numbers(judgments) == {
        "parse rate": 0.8,
        "mean score": 3.75,
        "standard deviation of scores": pytest.approx(2.6875**0.5),  # 1.25, 1.25, 0.25 and 2.75 from the mean
        "share of top scores": 0.5,
        "mean characters": 30.0,
        "cut off": 1,
        "score entropy": pytest.approx(1.5),
        "score reliability": pytest.approx(0.64),  # 16/17 over 25/17
        "score reliability, one judgment": pytest.approx(8 / 17),
        "score reliability, one judgment, over all prompts": pytest.approx(8 / 17),
        "without a score: off_scale": 1,
    }
    assert score_counts(judgments).rows() == [(5.0, 2), (4.0, 1), (1.0, 1)]


def test_entropy_of_a_distribution() -> None:
    """0 for one value, log2 of the number of equally frequent ones."""
    for counts, bits in (([7], 0), ([3, 3], 1), ([2, 2, 2, 2], 2), ([5, 0], 0)):
        assert score_entropy(pl.Series(counts)) == pytest.approx(bits)


def test_figures_of_no_judgments() -> None:
    empty = pl.DataFrame(
        schema={name: pl.String for name in ("response_id", "invalid", "finish_reason")}
        | {"score": pl.Float64, "chars": pl.Int64}
    )
    numbers = judgment_numbers(empty)
    assert (numbers["mean score"], numbers["score entropy"], numbers["cut off"]) == (None, None, 0)
    assert numbers["score reliability"] is None


def test_figures_of_meta_judgments() -> None:
    """Five decisive battles, three for the first; of the three between different scores, two for the higher."""
    scores = pl.DataFrame({"judgment_id": ["1.p.r0.j0", "1.p.r0.j1", "1.p.r0.j2"], "score": [5.0, 3.0, 3.0]})
    battles = meta_judgments(
        [
            ("1.p.r0", 0, 1, "first"),  # 5 over 3
            ("1.p.r0", 1, 0, "second"),  # 5 over 3
            ("1.p.r0", 2, 0, "first"),  # 3 over 5
            ("1.p.r0", 1, 2, "first"),  # 3 over 3
            ("1.p.r0", 2, 1, "second"),  # 3 over 3
            ("1.p.r0", 0, 2, None),
        ]
    )
    assert win_shares(battles, scores) == {
        "first position wins": 0.6,
        "first position wins, same score": 0.5,
        "first position wins, different score": pytest.approx(2 / 3),
        "higher score wins": pytest.approx(2 / 3),
        "decisive battles": 5,
        "decisive battles, different score": 3,
    }
    numbers = meta_judgment_numbers(battles.with_columns(chars=4), scores)
    assert numbers["parse rate"] == pytest.approx(5 / 6)
    assert (numbers["battles"], numbers["mean characters"]) == (6, 4.0)


def test_win_shares_have_intervals_over_prompts() -> None:
    """Twenty prompts, the first wins in five; the battles of one prompt, however many, say little more than one."""
    scores = pl.DataFrame(
        [(f"1.{p:012x}.r0.j{n}", 5.0 - n) for p in range(20) for n in (0, 1)],
        schema=["judgment_id", "score"],
        orient="row",
    )
    fought = [(f"1.{p:012x}.r0", 0, 1, "first" if p < 5 else "second") for p in range(20)]
    found = win_share_intervals(meta_judgments(fought), scores)
    by_hand = wilson(0.25, 19)  # 20/19 for a small number of prompts
    assert (found["first position wins_low"], found["first position wins_high"]) == pytest.approx(by_hand)
    assert found["higher score wins_low"] == found["first position wins_low"]  # the first has the higher score
    assert found["first position wins, same score_low"] is None
    often = win_share_intervals(pl.concat([meta_judgments(fought)] * 3), scores)
    assert often["first position wins_low"] == pytest.approx(by_hand[0])


def test_shares_of_no_battles() -> None:
    scores = pl.DataFrame(schema={"judgment_id": pl.String, "score": pl.Float64})
    shares = win_shares(meta_judgments([]), scores)
    assert shares.pop("decisive battles") == shares.pop("decisive battles, different score") == 0
    assert set(shares.values()) == {None}
    assert meta_judgment_numbers(meta_judgments([]).with_columns(chars=4), scores)["parse rate"] is None
