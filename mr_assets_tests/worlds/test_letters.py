"""The small world: tasks, the exact checker, judgments and meta-judgments, and how models err in it."""

import random
from math import perm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.method.judgments import parse_score
from mr_assets.method.meta_judgments import parse_winner
from mr_assets.worlds.letters import (
    CONSONANTS,
    OPERATIONS,
    PHRASINGS,
    Imperfection,
    align,
    answer,
    better_judgment,
    correct,
    given_letters,
    graded_response,
    judged_examples,
    judgment_text,
    make_prompt,
    make_prompts,
    meta_judgment_text,
    parse_prompt,
    slip,
    true_score,
)

REVERSE = "Reverse the letters f w r b."  # b r w f
UPPER = "Put the letters k d m in capitals."  # K D M
SEEDS = st.integers(0, 2**32)
SCORES = st.integers(0, 5)


@st.composite
def tasks(draw: st.DrawFn) -> tuple[str, list[str], str]:
    """An operation, its letters, and the prompt that asks for it."""
    operation = draw(st.sampled_from(list(OPERATIONS)))
    letters = draw(st.lists(st.sampled_from(CONSONANTS), min_size=3, max_size=4, unique=True))
    return operation, letters, draw(st.sampled_from(PHRASINGS[operation])).format(" ".join(letters))


# --------------------------------------------------------------------------------------------------------- tasks


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Copy the letters b c d.", "b c d"),
        ("Write b c d again.", "b c d"),
        ("Put the letters b c d in capitals.", "B C D"),
        ("Write b c d in upper case.", "B C D"),
        ("Reverse the letters b c d f.", "f d c b"),
        ("Write b c d backwards.", "d c b"),
        ("Rotate the letters b c d f to the left.", "c d f b"),
        ("Move the first letter of b c d to the end.", "c d b"),
        ("Swap the ends of the letters b c d f.", "f c d b"),
        ("Write b c d with the first and last letter exchanged.", "d c b"),
    ],
)
def test_each_operation_in_each_phrasing(prompt: str, expected: str) -> None:
    assert " ".join(answer(prompt)) == expected


@given(tasks())
def test_a_prompt_is_read_back(task: tuple[str, list[str], str]) -> None:
    operation, letters, prompt = task
    assert parse_prompt(prompt) == (operation, letters)


@given(SEEDS)
def test_a_made_prompt_is_of_the_world(seed: int) -> None:
    task = parse_prompt(make_prompt(random.Random(seed)))
    assert task is not None
    assert len(set(task[1])) == len(task[1]) in (3, 4)


@pytest.mark.parametrize(
    "text", ["", "Hello.", "Reverse the letters f w r b", "Copy the letters a e i.", REVERSE + " "]
)
def test_other_prompts_are_not(text: str) -> None:
    assert parse_prompt(text) is None
    with pytest.raises(ValueError, match="not a letter task"):
        answer(text)


def test_there_are_more_than_a_million_prompts() -> None:
    """Ten phrasings, each with any three or four of twenty consonants in order: 10 x (6,840 + 116,280) = 1,231,200."""
    phrasings = [p for ps in PHRASINGS.values() for p in ps]
    assert len(set(phrasings)) == 10
    assert len(set(CONSONANTS)) == len(CONSONANTS) == 20
    assert len(phrasings) * (perm(20, 3) + perm(20, 4)) == 1_231_200


def test_prompts_are_different_and_seeded() -> None:
    """A longer list begins with the shorter one, and another seed gives others."""
    prompts = make_prompts(300, "0")
    assert len(set(prompts)) == 300
    assert make_prompts(100, "0") == prompts[:100]
    assert len(set(make_prompts(300, "1")) & set(prompts)) < 10


# ------------------------------------------------------------------------------------------------------- checker


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("It is b r w f.", 5),
        ("The answer is b r w f.", 5),
        ("  It is b r w f.\n", 5),
        ("Here it is: b r w f.", 5),
        ("It is b r w f. I hope that this helps you.", 4),
        ("It is b r w f. It is b r w f.", 4),
        ("I think that the answer is b r w f.", 4),  # six words before the letters
        ("Sure! It is b r w f.", 4),  # two sentences
        ("It is b r w f", 4),  # no full stop
        ("b r w f is what you get.", 4),
        ("> b r w f", 3),
        ("b r w f", 3),
        ("b r w f.", 3),
        ("It is b r w k.", 2),  # one letter wrong
        ("It is b r w.", 2),  # one missing at the end
        ("It is r w f.", 2),  # one missing at the beginning
        ("It is b r f.", 2),  # one missing inside: the others still count
        ("It is b r w f k.", 2),  # one too many
        ("It is b r w F.", 2),  # one in the wrong case
        ("It is b r w f k d.", 1),  # two too many
        ("It is B R W F.", 1),  # all four in the wrong case
        ("It is f w r b.", 1),  # the letters as they were asked
        ("It is b r.", 1),  # two missing
        ("f w r b backwards is b r w f.", 1),  # the first run of letters counts
        ("It is k d. No, b r w f.", 1),
        ("It has some letters in it.", 1),
        ("The question is hard.", 1),
        ("brwf", 0),  # no letters with spaces between
        ("It is b.", 0),
        ("The weather is fine today.", 0),
        ("", 0),
        ("\n", 0),
    ],
)
def test_what_a_response_is_worth(response: str, score: int) -> None:
    """Asked: reverse f w r b, so b r w f is right."""
    assert true_score(REVERSE, response) == score
    assert correct(REVERSE, response) == (score >= 3)


@pytest.mark.parametrize(("response", "score"), [("It is K D M.", 5), ("It is k d m.", 1), ("It is K d M.", 2)])
def test_case_counts(response: str, score: int) -> None:
    assert true_score(UPPER, response) == score


@pytest.mark.parametrize(
    ("response", "letters"),
    [
        ("It is b r w f.", "brwf"),
        ("I say b r, then w f.", "br"),
        ("as d f g.", "dfg"),
        ("x-b r w", "brw"),
        ("ab r w", "rw"),
        ("b r wf", "br"),
        ("b  r", ""),
        ("", ""),
    ],
)
def test_the_first_run_of_single_letters(response: str, letters: str) -> None:
    """Single consonants with one space between; letters of words are none."""
    assert given_letters(response) == list(letters)


@pytest.mark.parametrize(
    ("given", "pairs"),
    [
        ("brwf", "bb rr ww ff"),
        ("brf", "bb rr w- ff"),
        ("rwf", "b- rr ww ff"),
        ("brw", "bb rr ww f-"),
        ("br", "bb rr w- f-"),
        ("", "b- r- w- f-"),
        ("brwfk", "bb rr ww ff"),
        ("fwrb", "bf rw wr fb"),
    ],
)
def test_letters_side_by_side(given: str, pairs: str) -> None:
    """Expected b r w f: a letter that is missing inside is found if it is the only one."""
    assert align(list("brwf"), list(given)) == [(p[0], p[1]) for p in pairs.split()]


@given(tasks(), SCORES, SEEDS)
def test_a_graded_response_is_worth_what_was_asked(task: tuple[str, list[str], str], true: int, seed: int) -> None:
    assert true_score(task[2], graded_response(task[2], true, random.Random(seed))) == true


@given(tasks(), st.text(max_size=40))
def test_the_checker_is_total(task: tuple[str, list[str], str], response: str) -> None:
    assert true_score(task[2], response) in range(6)


# ----------------------------------------------------------------------------------------------------- judgments


def test_a_judgment_works_out_the_answer_first() -> None:
    text = judgment_text(REVERSE, "It is b r f.", 2, random.Random(0))
    assert text.startswith("Expected b r w f, check b b, r r, w - no, f f. ")
    assert text.endswith(" Score: 2")


@given(tasks(), SCORES, SCORES, SEEDS)
def test_a_judgment_gives_its_score(task: tuple[str, list[str], str], true: int, score: int, seed: int) -> None:
    rng = random.Random(seed)
    response = graded_response(task[2], true, rng)
    assert parse_score(judgment_text(task[2], response, score, rng)) == (float(score), None)


def test_a_meta_judgment_measures_before_it_names_the_winner() -> None:
    text = meta_judgment_text(REVERSE, "It is b r w f.", 3, 5, 5, "B")
    assert text == (
        "Expected b r w f, check b b, r r, w w, f f. The fair score is 5. A says 3, off by 2. B says 5, off by 0. "
        "Winner: Judgement B"
    )


@given(tasks(), SCORES, SCORES, SCORES, st.sampled_from("AB"))
def test_a_meta_judgment_names_its_winner(
    task: tuple[str, list[str], str], fair: int, a: int, b: int, winner: str
) -> None:
    text = meta_judgment_text(task[2], "It is b.", a, b, fair, winner)
    assert parse_winner(text) == ("first" if winner == "A" else "second", None)


@pytest.mark.parametrize(
    ("true", "a", "b", "winner"), [(5, 5, 3, "A"), (5, 3, 5, "B"), (3, 1, 4, "B"), (3, 1, 5, None), (2, 4, 4, None)]
)
def test_the_better_judgment_is_nearer_to_the_truth(true: int, a: int, b: int, winner: str | None) -> None:
    assert better_judgment(true, a, b) == winner


# -------------------------------------------------------------------------------------------------- imperfection


@given(SCORES, SCORES, SCORES, SEEDS)
def test_without_imperfection_judge_and_meta_judge_are_right(true: int, a: int, b: int, seed: int) -> None:
    """Ties go to either side."""
    rng = random.Random(seed)
    assert Imperfection().score(REVERSE, graded_response(REVERSE, true, rng), rng) == true
    fair, winner = Imperfection().meta(true, a, b, rng)
    assert fair == true
    assert better_judgment(true, a, b) in (winner, None)


PADDED = "It is b r w f. I hope that this helps you."
CONCISE_AND_RIGHT = "It is b r w f."


@pytest.mark.parametrize(
    ("response", "true", "swayed"),
    [
        (PADDED, 4, 5),
        ("It is b r w k. I hope that this helps you.", 2, 4),
        ("It is f r w b. I hope that this helps you.", 1, 4),
        (CONCISE_AND_RIGHT, 5, 3),
        ("It is b r w k.", 2, 2),
        ("> b r w f", 3, 1),
        ("> b r w k", 2, 2),
        ("It has some letters in it.", 1, 1),
        ("The weather is fine today.", 0, 0),
    ],
)
def test_a_verbosity_bias_lifts_what_is_padded_and_lowers_what_is_short(response: str, true: int, swayed: int) -> None:
    assert true_score(REVERSE, response) == true
    assert Imperfection(verbosity_bias=1.0).score(REVERSE, response, random.Random(0)) == swayed


def test_a_verbosity_bias_sways_the_share_asked_for() -> None:
    half, rng = Imperfection(verbosity_bias=0.5), random.Random(0)
    assert 400 < sum(half.score(REVERSE, CONCISE_AND_RIGHT, rng) == 3 for _ in range(1000)) < 600


def test_judge_noise_is_even() -> None:
    """Every score in about a sixth of 6,000 draws: 1,000, give or take 5 standard deviations (29 each)."""
    noisy, rng = Imperfection(judge_noise=1.0), random.Random(0)
    drawn = [noisy.score(REVERSE, CONCISE_AND_RIGHT, rng) for _ in range(6000)]
    assert all(855 < drawn.count(score) < 1145 for score in range(6))


def test_a_slip_is_never_right() -> None:
    """Three letters swapped are three letters reversed: the operation it is mistaken for must be another one."""
    rng = random.Random(0)
    assert all(slip(o, list("bcd"), rng) != OPERATIONS[o](list("bcd")) for o in OPERATIONS for _ in range(100))


def test_a_first_position_bias_decides_ties_and_flips() -> None:
    biased, rng = Imperfection(meta_flips=1.0, first_bias=1.0), random.Random(0)
    assert {biased.meta(5, 0, 5, rng)[1] for _ in range(50)} == {"A"}
    noisy = Imperfection(meta_noise=1.0)
    assert all(noisy.meta(5, 0, 5, rng)[0] != 5 for _ in range(50))


def share_right(operation: str, imperfection: Imperfection, tries: int = 600) -> float:
    rng = random.Random(operation)
    prompts = [PHRASINGS[operation][0].format(" ".join(rng.sample(CONSONANTS, 4))) for _ in range(tries)]
    return sum(correct(p, imperfection.response(p, rng)) for p in prompts) / tries


def test_a_perfect_actor_is_right_in_varied_forms() -> None:
    """Bare, concise and padded: 3, 5 and 4."""
    rng = random.Random(0)
    worth = [true_score(p, Imperfection().response(p, rng)) for p in make_prompts(200, "x")]
    assert set(worth) == {3, 4, 5}


def test_an_imperfect_actors_errors_differ_by_operation() -> None:
    """Copying four letters goes well and swapping them badly, so that good and bad answers stand side by side."""
    right = [share_right(operation, Imperfection(actor_error=1.0)) for operation in OPERATIONS]
    assert right == sorted(right, reverse=True)
    assert right[0] > 0.4
    assert right[-1] < 0.15
    assert share_right("swap", Imperfection(actor_error=0.3)) > right[-1] + 0.3


def test_judged_examples_spread_the_scores() -> None:
    """The stream is the same for the same seed; 300 examples have each true score about 50 times."""
    stream = judged_examples("s", Imperfection())
    examples = [next(stream) for _ in range(300)]
    again = judged_examples("s", Imperfection())
    assert [next(again) for _ in range(300)] == examples
    worth = [true_score(prompt, response) for prompt, response, _, _ in examples]
    assert worth == [score for *_, score in examples]
    assert [parse_score(judgment)[0] for _, _, judgment, _ in examples] == worth
    assert all(25 < worth.count(score) < 75 for score in range(6))
