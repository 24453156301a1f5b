"""The held-out set of the small world, and what is measured on it."""

import random
from functools import cache
from itertools import islice
from math import isnan

import polars as pl
import pytest

from mr_assets.method.judgments import parse_score
from mr_assets.recipes.load import list_recipes, load_recipe
from mr_assets.templates import judge_template
from mr_assets.worlds.eft import make_eft
from mr_assets.worlds.held_out import HeldOut, actor_numbers, judge_numbers, labelled, meta_judge_numbers, ranked
from mr_assets.worlds.letters import (
    Imperfection,
    answer,
    better_judgment,
    has_held_out,
    is_held_out,
    judged_examples,
    make_prompt,
    make_prompts,
    true_score,
)
from mr_assets.worlds.truth import world_numbers

BIASED = Imperfection(judge_noise=0.1, verbosity_bias=0.6)
HELD_OUT = HeldOut(prompts=2, responses=6, pairs=10)


def test_the_set_is_the_same_for_every_model() -> None:
    again = HeldOut(prompts=2, responses=6, pairs=10)
    assert again.questions == HELD_OUT.questions
    assert again.graded == HELD_OUT.graded
    assert again.battles == HELD_OUT.battles


def test_a_larger_set_contains_the_smaller_one() -> None:
    """What was measured stays comparable."""
    larger = HeldOut(prompts=5, responses=12, pairs=20)
    assert larger.questions[:2] == HELD_OUT.questions
    assert larger.battles[:20] == HELD_OUT.battles


@cache
def trained_on(seed: str) -> set[str]:
    """The seed prompts of a seed, and those of its EFT examples."""
    return {*make_prompts(3000, seed), *(p for p, *_ in islice(judged_examples(f"eft {seed}", BIASED), 1000))}


@pytest.mark.parametrize("sizes", [(300, 600, 150), (40, 30, 20), (2000, 6, 1)])
def test_nothing_is_trained_on_a_held_out_prompt(sizes: tuple[int, int, int]) -> None:
    """Whatever the seed and however many: neither a seed prompt nor an EFT example, by the actor, judge or meta-judge
    question."""
    held_out = HeldOut(*sizes)
    asked = {*held_out.questions, *(q for q, *_ in held_out.graded), *(q for q, *_ in held_out.battles)}
    assert len(set(held_out.questions)) == sizes[0]
    assert all(is_held_out(prompt) for prompt in asked)
    for seed in ("0", "1", "2", "3", "17", "held out"):
        assert not asked & trained_on(seed)


def test_ranked_replies_and_labelled_pairs_are_of_held_out_prompts_and_of_different_worth() -> None:
    """The same for every model; a larger set contains the smaller one."""
    replies, pairs = ranked(40), labelled(40)
    assert ranked(41).head(120).equals(replies)
    assert labelled(41)[:40] == pairs
    assert all(is_held_out(prompt) for prompt in [*replies["prompt"], *(prompt for prompt, *_ in pairs)])
    assert replies.group_by("prompt").agg(pl.col("rank").n_unique())["rank"].to_list() == [3] * 40
    for prompt, response, rank in replies.select("prompt", "response", "rank").iter_rows():
        assert 5 - rank == true_score(prompt, response)
    assert all(true_score(prompt, chosen) > true_score(prompt, rejected) for prompt, chosen, rejected in pairs)


@pytest.mark.slow
def test_the_shipped_recipes_are_trained_on_no_held_out_prompt() -> None:
    """Of every small-world recipe, the texts of the very tables that it is trained on."""
    for name in (name for name in list_recipes() if name.startswith("small_world")):
        recipe = load_recipe(name)
        assert recipe.world and recipe.evaluation and recipe.prompts.count and recipe.eft.examples
        sizes = recipe.evaluation
        asked = {q for q, *_ in HeldOut(sizes.prompts, sizes.judged_responses, sizes.battles).graded}
        eft = make_eft(recipe.eft.examples, recipe.seed, BIASED, judge_template())
        texts = [messages[0]["content"] for messages in eft["prompt"]] + make_prompts(recipe.prompts.count, "0")
        assert not [text for text in texts if has_held_out(text)]
        assert not asked & set(texts)


def test_leaving_held_out_prompts_out_changes_no_other_row() -> None:
    """The draws without them are the plain ones with gaps."""
    rng = random.Random("prompts 0")
    plain = list(dict.fromkeys(make_prompt(rng) for _ in range(500)))
    kept = [prompt for prompt in plain if not is_held_out(prompt)]
    assert len(kept) < len(plain)
    assert make_prompts(len(kept), "0") == kept


def test_the_worth_of_graded_responses_is_evenly_spread() -> None:
    """And it is what the checker says."""
    assert [true for *_, true in HELD_OUT.graded] == [0, 1, 2, 3, 4, 5]
    assert [true_score(prompt, response) for prompt, response, _ in HELD_OUT.graded] == [0, 1, 2, 3, 4, 5]


def test_battles_are_balanced_between_positions() -> None:
    """Each pair stands in both orders, so whoever always names the first is right in exactly half of them."""
    assert len(HELD_OUT.battles) == 20
    for one, other in zip(HELD_OUT.battles[::2], HELD_OUT.battles[1::2], strict=True):
        assert one[:2] == other[:2]
        assert (one[2], one[3]) == (other[3], other[2])
        assert {one[4], other[4]} == {"first", "second"}
    assert [b[4] for b in HELD_OUT.battles].count("first") == 10


def test_the_winner_of_a_battle_is_nearer_to_the_truth() -> None:
    for prompt, response, first, second, winner in HELD_OUT.battles:
        scores = [int(parse_score(text)[0] or 0) for text in (first, second)]
        better = better_judgment(true_score(prompt, response), *scores)
        assert better == ("A" if winner == "first" else "B")


def test_the_actors_numbers() -> None:
    """Worth 5, 3, 0, 0: mean 2; right 2 of 4; lengths by hand."""
    first = " ".join(answer(HELD_OUT.questions[0]))
    texts = [[f"It is {first}.", f"> {first}"], ["Music is nice.", ""]]
    numbers = actor_numbers(HELD_OUT, texts)
    assert numbers["true_score"] == (5 + 3 + 0 + 0) / 4
    assert numbers["accuracy"] == 0.5
    assert numbers["characters"] == ((len(first) + 7) + (len(first) + 2) + 14 + 0) / 4


def test_an_iterations_own_answers_have_the_same_measure() -> None:
    letters = " ".join(answer(HELD_OUT.questions[0]))
    rows = pl.DataFrame({"prompt": HELD_OUT.questions, "response": [f"It is {letters}.", "Music is nice."]})
    assert world_numbers(rows) == {"true score": 2.5, "accuracy": 0.5}


Scores = list[list[float | None]]


@pytest.mark.parametrize(
    ("scores", "exact", "rank"),
    [
        ([[t, t] for t in range(6)], 1.0, 1.0),
        ([[5 - t] for t in range(6)], 0.0, -1.0),
        ([[t, None] for t in range(6)], 0.5, 1.0),  # an invalid one is not exact, and not in the mean
        ([[0], [1], [3], [2], [None], [None]], 2 / 6, 0.8),
    ],
)
def test_the_judges_numbers(scores: Scores, exact: float, rank: float) -> None:
    """Truths 0 to 5. In the last row 0 1 3 2 against 0 1 2 3: 1 - 6 (1 + 1) / (4 (16 - 1)) = 0.8."""
    numbers = judge_numbers(HELD_OUT, scores)
    assert numbers["judge_exact"] == pytest.approx(exact)
    assert numbers["judge_spearman"] == pytest.approx(rank)


def test_an_expectation_is_exact_if_the_truth_is_the_nearest_number() -> None:
    """Row 29: 0.4 is nearest to 0; 1.4 and 2.4 to 1 and 2; 2.6 and 4.2 to 3 and 4; 4.4 to 4, and the truth is 5."""
    scores: Scores = [[0.4], [1.4], [2.4], [2.6], [4.2], [4.4]]
    assert judge_numbers(HELD_OUT, scores, expected=True) == {"judge_exact": 5 / 6, "judge_spearman": pytest.approx(1)}
    assert judge_numbers(HELD_OUT, scores)["judge_exact"] == 0


@pytest.mark.parametrize("scores", [[[None]] * 6, [[]] * 5 + [[5.0]]])
def test_a_judge_without_scores_has_no_rank_correlation(scores: Scores) -> None:
    assert isnan(judge_numbers(HELD_OUT, scores)["judge_spearman"])


def test_the_meta_judges_numbers() -> None:
    """Right in all; always first, hence right in half; right in 10 and silent in 10."""
    right = [b[4] for b in HELD_OUT.battles]
    assert meta_judge_numbers(HELD_OUT, right) == {"meta_accuracy": 1.0, "meta_first": 0.5}
    assert meta_judge_numbers(HELD_OUT, ["first"] * 20) == {"meta_accuracy": 0.5, "meta_first": 1.0}
    half = [winner if winner == "first" else None for winner in right]
    assert meta_judge_numbers(HELD_OUT, half) == {"meta_accuracy": 0.5, "meta_first": 1.0}
    silent = meta_judge_numbers(HELD_OUT, [None] * 20)
    assert silent["meta_accuracy"] == 0.0
    assert isnan(silent["meta_first"])
