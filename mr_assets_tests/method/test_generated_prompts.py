"""Generated prompts: what is asked, which task an answer gives, and which of them are kept."""

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.errors import UserError
from mr_assets.ids import prompt_id
from mr_assets.method.dropped import REASONS, in_words
from mr_assets.method.generated_prompts import (
    Asked,
    Known,
    Limits,
    Selection,
    as_tasks,
    grams,
    language_of,
    languages,
    longest_request,
    normal,
    request_ids,
    requests,
    task_of,
    to_ask,
)
from mr_assets.tables import DROPPED, GENERATED_PROMPTS, dropped_frame
from mr_assets.templates import example_tasks

ANY = Limits((1, 100), None, 0.7)


def selection(*answers: str, wanted: int = 9, limits: Limits = ANY, examples: tuple[str, ...] = ()) -> Selection:
    """What is kept of answers to requests 0, 1, ... of the first round, which all ended by themselves."""
    made = Selection(wanted, limits, examples, ("What is held out?",), lambda text: "secret" in text)
    for identity, answer in zip(request_ids(1, len(answers)), answers, strict=True):
        made.take(Asked(identity, (0,), {}), answer, "stop")
    return made


def prompts(made: Selection) -> list[str]:
    return [row["prompt"] for row in made.rows]


# -------------------------------------------------------------------------------------------------------------- asking


def test_each_request_shows_a_draw_of_its_own() -> None:
    """Row 27: eight different ones of the examples; the same for the same id and seed, whatever else is asked."""
    examples = [f"task {n}" for n in range(20)]
    first, second = requests(examples, request_ids(1, 2), 8, seed=0)
    assert (first.id, second.id) == ("01.000000", "01.000001")
    assert len(set(first.shown)) == 8 and first.shown != second.shown
    assert first.values["tasks"].startswith(f"Task 1: task {first.shown[0]}\n\nTask 2: task {first.shown[1]}")
    assert list(requests(examples, ["01.000001"], 8, seed=0)) == [second]
    assert next(requests(examples, ["01.000000"], 8, seed=1)).shown != first.shown


def test_the_longest_request_shows_the_longest_examples() -> None:
    """What must fit into the context."""
    assert longest_request(["a", "ccc", "bb"], 2) == as_tasks(["ccc", "bb"]) == "Task 1: ccc\n\nTask 2: bb"


@pytest.mark.parametrize(
    ("kept", "asked", "expected"),
    [(0, 0, 100), (50, 100, 100), (80, 100, 25), (99, 100, 16), (0, 100, 400), (1, 100, 400)],
)
def test_a_round_asks_for_what_is_missing_at_the_yield_so_far(kept: int, asked: int, expected: int) -> None:
    """Of 100 wanted: (100 - 80) / 0.8 = 25; for the last one 16; never more than 4 times 100."""
    assert to_ask(100, kept, asked) == expected


def test_our_examples_are_48_different_tasks() -> None:
    """None is like another one, each is English and within the bounds of a prompt."""
    tasks = example_tasks()
    assert len(tasks) == len(set(tasks)) == 48
    made = selection(*tasks, wanted=48, limits=Limits((12, 2000), "en", 0.3))
    assert prompts(made) == tasks


# ------------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    "answer",
    [
        "Name two rivers.",
        "  Name two rivers.\n",
        "Task 9: Name two rivers.",
        "**Task 9:** Name two rivers.",
        "New task: Name two rivers.",
        "Your task: Name two rivers.",
        "9. Name two rivers.",
        "1) Name two rivers.\n2) Name two lakes.",
        "Task 9: Name two rivers.\n\nTask 10: Name two lakes.",
        "Sure! Here is one more task:\n\nName two rivers.",
        "Here's another task for you:\n\nTask: Name two rivers.",
        '"Name two rivers."',
        "I am ready to assist you with your tasks.\n\nTask 1: Name two rivers.\n\nTask 2: Sing.",
        "The tasks are all about another topic:\n\n1. Name two rivers.\n2. Name two lakes.",
    ],
)
def test_the_task_of_an_answer(answer: str) -> None:
    """Row 27: one task at most, without labels, prefaces, quotes around all of it, and further tasks."""
    assert task_of(answer) == "Name two rivers."


@pytest.mark.parametrize(
    "answer",
    [
        'Say "hi" and then "ho"',
        "Task management: what is it?",
        "Sort 3, 1, 2.",
        "Add:\n\n1 + 2",
        "Answer:\n1. Why?",
        "Here it rains. Why?",
    ],
)
def test_what_is_part_of_a_task_stays(answer: str) -> None:
    """Quotes within it, a colon, numbers, lines."""
    assert task_of(answer) == answer


@given(st.text())
def test_any_answer_gives_a_task_or_none(answer: str) -> None:
    """It is total; a task has no white space at its ends."""
    task = task_of(answer)
    assert task is None or task == task.strip() != ""


# ---------------------------------------------------------------------------------------------------------- selection


def test_what_is_kept_says_where_it_comes_from() -> None:
    """Id, request, examples that were shown, and the whole answer."""
    made = selection("Task 9: Name two rivers.").selected()
    GENERATED_PROMPTS.check(made.rows)
    DROPPED.check(made.dropped)
    row = (prompt_id("Name two rivers."), "Name two rivers.", "01.000000", [0], "Task 9: Name two rivers.")
    assert made.rows.rows() == [row]


@pytest.mark.parametrize(
    ("answer", "reason", "numbers"),
    [
        (" \n", "no_task", {}),
        ("Why?", "too_few_chars", {"chars": 4, "min_chars": 5}),
        ("x" * 101, "too_many_chars", {"chars": 101, "max_chars": 100}),
        ("Wer schrieb den Faust?", "other_language", {"found": "de", "language": "en"}),
        ("What is the secret?", "held_out", {}),
        ("what is held  out?", "held_out", {"of": "held-out prompt 0", "similarity": 1.0}),
        ("name  TWO rivers.", "near_duplicate", {"of": prompt_id("Name two rivers."), "similarity": 1.0}),
        ("Name one lake.", "like_an_example", {"of": "example 1", "similarity": 1.0}),
        ("Explain how a bicycle works.", "more_than_wanted", {"count": 1}),
    ],
)
def test_what_is_dropped_and_why(answer: str, reason: str, numbers: dict[str, object]) -> None:
    """With the beginning of the text and the numbers behind it; each reason has its words."""
    limits = Limits((5, 100), "en", 0.7)
    made = selection("Name two rivers.", answer, wanted=1, limits=limits, examples=("Sing.", "Name one lake."))
    assert prompts(made) == ["Name two rivers."]
    [(identity, why, said)] = made.dropped
    assert (identity, why) == ("01.000001", reason)
    given = json.loads(said)
    assert given["text"] == answer
    assert numbers.items() <= given.items()
    assert in_words(why, given).startswith(REASONS[reason])


def test_a_task_that_was_cut_off_is_dropped() -> None:
    """What is missing may be what matters. One that another task follows is whole, wherever the answer was cut off."""
    made = selection()
    cut = ["Name two", "Task 1: Name two", "Task 1: Name two rivers.\n\nTask 2: Na", "1. Name two lakes.\n2. Na"]
    for identity, answer in zip(request_ids(1, 4), cut, strict=True):
        made.take(Asked(identity, (0,), {}), answer, "length")
    assert made.reasons == {"cut_off_task": 2}
    assert prompts(made) == ["Name two rivers.", "Name two lakes."]


def test_too_few_says_how_many_of_what() -> None:
    """And what can be done."""
    made = selection("a b c d e f", "a b c d e f", "", wanted=5)
    made.asked, made.rounds = 3, 2
    said = str(made.too_few())
    assert "of 5 prompts wanted, 1 came of 3 requests in 2 rounds. Dropped: 1 near_duplicate, 1 no_task." in said
    assert "Raise generation.rounds" in said


def test_rounds_go_on_until_there_are_as_many_as_wanted() -> None:
    """Of two requests one gives a prompt, one does not fit: the second round asks for 4 times 2."""
    made = Selection(2, ANY, ("Name two seas.", "Name two hills."))
    rounds = made.to_come(8, 1, seed=0)
    first, second = next(rounds)
    answers = pl.DataFrame({"request_id": [first.id], "text": ["Name two rivers."], "finish_reason": ["stop"]})
    made.take_round([first, second], answers, dropped_frame([(second.id, "prompt_too_long", "{}")]))
    asked = next(rounds)
    assert [each.id for each in asked] == request_ids(2, 8)
    texts = [f"Say why the word number {n} is here." for n in range(2)]
    ids = [each.id for each in asked[:2]]
    made.take_round(asked, pl.DataFrame({"request_id": ids, "text": texts, "finish_reason": "stop"}), dropped_frame())
    assert prompts(made) == ["Name two rivers.", texts[0]]
    assert list(rounds) == []
    dropped = {"dropped: prompt_too_long": 1, "dropped: more_than_wanted": 1}
    assert made.numbers() == {"prompts": 2, "requests": 10, "rounds": 2, **dropped}


def test_rounds_end_with_an_error_where_they_give_too_few() -> None:
    made = Selection(2, ANY, ("Name two seas.",))
    rounds = made.to_come(1, 1, seed=0)
    assert len(next(rounds)) == 2
    with pytest.raises(UserError, match="of 2 prompts wanted, 0 came of 2 requests in 1 rounds"):
        next(rounds)


def test_the_order_of_answers_decides_and_nothing_else() -> None:
    """Of two that are alike the first is kept."""
    one, other = "Name two rivers in Asia.", "Name two rivers in Asia!"
    assert prompts(selection(one, other)) == [one]
    assert prompts(selection(other, one)) == [other]


# ---------------------------------------------------------------------------------------------------------- similarity


def test_grams_of_a_text() -> None:
    """Runs of five characters of its normal form."""
    assert normal(" Abc \n D ") == "abc d"
    assert grams("abcdefg") == {"abcde", "bcdef", "cdefg"}
    assert grams("abc") == {"abc"}


def test_the_estimate_is_near_the_true_similarity() -> None:
    """Of 43 grams each, the 7 that touch "our" or "ive" differ: 36 of 50, 0.72; three standard errors are 0.12."""
    a = "write a poem about the sea in four short lines."
    b = "write a poem about the sea in five short lines."
    true = len(grams(a) & grams(b)) / len(grams(a) | grams(b))
    assert true == 36 / 50
    known = Known(0.5)
    known.add("a", a)
    found = known.like(b)
    assert found is not None and found[0] == "a"
    assert abs(found[1] - true) < 0.12


def test_of_several_the_most_similar_is_named() -> None:
    """The first of equals."""
    known = Known(0.3)
    known.add("far", "Write a poem about the sea in rhymes.")
    known.add("near", "Write a poem about the sea in four lines.")
    known.add("again", "write a poem about the sea in four lines.")
    assert (known.like("Write a poem about the sea in four lines!") or ("", 0))[0] == "near"
    assert known.like("How do bees find their way home?") is None


def test_languages_are_known_by_their_codes() -> None:
    """py3langid's; short texts have little confidence, and pass."""
    assert {"en", "de", "zh", "fr"} <= set(languages())
    assert language_of("Wer schrieb den Faust?")[0] == "de"
    assert prompts(selection("Sort 3, 1, 2.", limits=Limits((1, 100), "en", 0.7))) == ["Sort 3, 1, 2."]
