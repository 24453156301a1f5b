"""Arena-Hard: the official files are read and written, and the figures are those of worked cases."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.evaluation.arena_hard import (
    JUDGMENTS,
    Answers,
    Question,
    answer_rows,
    bench_name,
    judgment_row,
    matches,
    read_answers,
    read_judgments,
    read_questions,
    requests,
    score,
    verdict,
    verdicts,
)
from mr_assets.evaluation.client import Answer
from mr_assets.evaluation.json_lines import read_lines, write_lines

SHARED = Path(__file__).parents[3] / "shared" / "benchmarks"
QUESTION = Question("u1", "hard_prompt", "What is {x}?")


@pytest.mark.parametrize(
    ("judgment", "found"),
    [
        ("My final verdict is tie: [[A=B]]", "A=B"),
        ("First [[A>B]], no: [[B>>A]].", "B>>A"),
        ("my verdict: [[a>>b]]", "A>>B"),
        ("[A>B]", "A>B"),
        ("[[B>A]] and [A>B]", "B>A"),
        ("[[A<<B]]", "A<<B"),
        ("[[A>A]]", None),
        ("A>B", None),
        ("", None),
        (None, None),
    ],
)
def test_the_last_verdict_counts(judgment: str | None, found: str | None) -> None:
    assert verdict(judgment) == found


def judged(*games: tuple[str | None, str | None], model: str = "M1", **other: str) -> pl.DataFrame:
    row: dict[str, str | None] = {"category": "hard_prompt", "judge": "j", "model": model, "baseline": "seed"}
    rows = [row | other | {"uid": f"u{n}", "first": first, "second": second} for n, (first, second) in enumerate(games)]
    return pl.DataFrame(rows, JUDGMENTS)


def test_a_significant_verdict_counts_three_times() -> None:
    """u0: lost once as B (A>B), won three times as A (A>>B): 3 of 4. u1: a tie and a tie: 1 of 2. Together 4 of 6."""
    (found,) = score(judged(("A>B", "A>>B"), ("A=B", "A=B")))
    assert found.numbers == pytest.approx({"score": 100 * 4 / 6, "score_low": 50, "score_high": 75})
    assert (found.model, found.baseline, found.judge, found.category) == ("M1", "seed", "j", "hard_prompt")
    assert (found.questions, found.without) == (2, 0)


def test_a_question_counts_where_both_games_have_a_verdict() -> None:
    (found,) = score(judged(("B>A", "A>B"), (None, "B>>A"), ("A>>B", None)))
    assert (found.numbers["score"], found.questions, found.without) == (100, 1, 2)


def test_models_are_scored_by_category_judge_and_baseline() -> None:
    table = pl.concat(
        [
            judged(("B>A", "A>B")),
            judged(("A>B", "B>A"), model="M2"),
            judged(("A=B", "A=B"), category="creative_writing", baseline="other"),
        ]
    )
    found = [(each.category, each.baseline, each.model, each.numbers["score"]) for each in score(table)]
    expected = [("hard_prompt", "seed", "M1", 100), ("hard_prompt", "seed", "M2", 0)]
    assert found == [*expected, ("creative_writing", "other", "M1", 50)]


def test_the_same_judgments_give_the_same_intervals() -> None:
    table = judged(*[("A>B", "A>B"), ("B>>A", "A>B"), ("A>>B", "B>A")] * 10)
    assert score(table) == score(table)


def test_a_model_without_a_verdict_has_no_score() -> None:
    """It stands in its place, with what its games lack; the others' figures are what they would be without it."""
    lost = judged((None, "A>B"), (None, None), model="M0").with_columns(
        first_without=pl.Series(["refused", "cut_off"]), second_without=pl.Series([None, "odd"])
    )
    won = judged(("B>A", "A>B"))
    none, found = score(pl.concat([lost, won]))
    assert (none.model, none.numbers, none.questions, none.without) == ("M0", {}, 0, 2)
    assert none.games_without == {"refused": 1, "cut_off": 1, "unreadable": 1}
    assert [found] == score(won)
    assert found.games_without == {"refused": 0, "cut_off": 0, "unreadable": 0}


def answers(model: str, lengths: list[int]) -> Answers:
    return Answers(model, {f"u{n}": "word " * length for n, length in enumerate(lengths)})


def test_style_is_controlled_where_the_answers_are_known() -> None:
    """M1 wins where its answer is the longer one and loses where it is the shorter one: nothing else is in it."""
    table = judged(*[("B>A", "A>B"), ("B>A", "A>B"), ("B>A", "A>B"), ("A>B", "B>A"), ("A=B", "A=B")] * 8)
    (found,) = score(table, [answers("M1", [30, 30, 30, 10, 20] * 8), answers("seed", [20] * 40)])
    numbers = found.numbers
    assert numbers["score"] == pytest.approx(70)
    assert numbers["equal_style"] == pytest.approx(50, abs=5)
    assert numbers["equal_style_low"] <= numbers["equal_style"] <= numbers["equal_style_high"]
    assert numbers["style_controlled"] > numbers["equal_style"]


def test_tokens_that_were_counted_are_taken_where_both_answers_have_them() -> None:
    """By their bytes the answers are alike; by the tokens of the files M1's is twice as long where it wins."""
    games = [("B>A", "A>B"), ("A>B", "B>A")] * 10
    mine, seed = answers("M1", [10] * 20), answers("seed", [10] * 20)
    counted = {uid: 40 if n % 2 == 0 else 20 for n, uid in enumerate(mine.texts)}
    alike, told = (
        score(judged(*games), [mine._replace(tokens=counted), seed._replace(tokens=tokens)])[0]
        for tokens in ({}, dict.fromkeys(seed.texts, 30))
    )
    assert alike.numbers["equal_style"] == pytest.approx(50, abs=0.1)
    assert alike.numbers["equal_style"] == pytest.approx(alike.numbers["style_controlled"])
    assert told.numbers["equal_style"] != pytest.approx(told.numbers["style_controlled"], abs=1)


def test_answers_that_were_judged_must_be_given() -> None:
    with pytest.raises(UserError, match="M1: has no answer to the question u1"):
        score(judged(("A=B", "A=B"), ("A=B", "A=B")), [answers("M1", [1]), answers("seed", [1, 1])])


def test_the_judge_sees_the_baseline_first_and_then_the_model() -> None:
    questions = [QUESTION, QUESTION._replace(uid="u2", category="creative_writing")]
    mine, seed = Answers("M1", {"u1": "mine {y}", "u2": "a"}), Answers("seed", {"u1": "theirs", "u2": "b"})
    first, second, creative, _ = requests(matches(questions, [mine], [seed]))
    assert [request.id for request in (first, second, creative)] == ["M1 u1 1", "M1 u1 2", "M1 u2 1"]
    assert first.parameters == {"temperature": 0.0, "max_tokens": 16000}
    assert "Begin your evaluation by generating your own answer" in first.messages[0]["content"]
    assert first.messages[1]["content"] == (
        "<|User Prompt|>\nWhat is {x}?\n\n<|The Start of Assistant A's Answer|>\ntheirs\n<|The End of Assistant A's "
        "Answer|>\n\n<|The Start of Assistant B's Answer|>\nmine {y}\n<|The End of Assistant B's Answer|>"
    )
    assert "Answer|>\nmine {y}\n<|The End of Assistant A's" in second.messages[1]["content"]
    assert "generating your own answer" not in creative.messages[0]["content"]


def test_the_baseline_is_the_official_one_of_a_category_or_the_first() -> None:
    questions = [QUESTION, QUESTION._replace(uid="u2", category="creative_writing")]
    texts = {"u1": "a", "u2": "b"}
    seed, official = Answers("seed", texts), Answers("o3-mini-2025-01-31", texts)
    found = matches(questions, [seed, Answers("M1", texts)], [seed, official])
    assert [(each.model, each.question.uid, each.baseline) for each in found] == [
        ("seed", "u1", "o3-mini-2025-01-31"),
        *(("M1", "u1", "o3-mini-2025-01-31"), ("M1", "u2", "seed")),
    ]
    with pytest.raises(UserError, match="M1: has no answer to the question u2"):
        matches(questions, [Answers("M1", {"u1": "a"})], [seed])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    questions = [QUESTION, QUESTION._replace(uid="u2", category="creative_writing")]
    mine = Answers("M1", {"u1": "é", "u2": "b"})
    write_lines(tmp_path / "answers.jsonl", answer_rows(questions, mine))
    assert read_answers(tmp_path / "answers.jsonl") == mine
    match, _ = matches(questions, [mine], [Answers("seed", {"u1": "x", "u2": "y"})])
    texts = (("[[A>B]]", "no"), ("[[A=B]]", None))
    rows = [judgment_row(match, "j", {"M1 u1 1": Answer(a), "M1 u1 2": Answer(b, "length")}) for a, b in texts]
    assert rows[0]["games"][0] == {"score": "A>B", "judgment": {"answer": "[[A>B]]"}, "prompt": match.games[0]}
    assert rows[0]["games"][1]["without"] == "cut_off"
    assert rows[1]["games"][1] is None
    write_lines(tmp_path / "judgments.jsonl", rows)
    read = read_judgments(tmp_path / "judgments.jsonl")
    assert read.select("first", "second").rows() == [("A>B", None), ("A=B", None)]
    assert read.select("first_without", "second_without").rows() == [(None, "cut_off"), (None, "refused")]
    assert read.equals(verdicts(rows))


def test_another_file_is_refused(tmp_path: Path) -> None:
    def refused(read: Any, row: dict[str, Any]) -> str:
        write_lines(tmp_path / "file.jsonl", [row])
        with pytest.raises(UserError) as refusal:
            read(tmp_path / "file.jsonl")
        return str(refusal.value)

    asked = {"uid": "u", "category": "poems", "prompt": "p"}
    assert "category 'poems', expected arena-hard-v0.1, hard_prompt, creative_writing" in refused(read_questions, asked)
    said = {"uid": "u", "model": "m", "messages": [{"role": "assistant", "content": "text"}]}
    assert "answer 1: its last message has no content with an answer" in refused(read_answers, said)
    names = {"uid": "u", "category": "c", "judge": "j", "model": "m", "baseline": "b"}
    odd = names | {"games": [{"score": "A>B"}, {"score": "A>A"}]}
    assert "expected two games with a score such as 'A>B' or null, came ['A>B', 'A>A']" in refused(read_judgments, odd)
    assert "expected two games" in refused(read_judgments, names | {"games": [{"score": "A>B"}]})


def test_a_file_of_two_models_is_refused(tmp_path: Path) -> None:
    rows = [*answer_rows([QUESTION], Answers("a", {"u1": "x"})), *answer_rows([QUESTION], Answers("b", {"u1": "x"}))]
    write_lines(tmp_path / "file.jsonl", rows)
    with pytest.raises(UserError, match="has answers of a, b"):
        read_answers(tmp_path / "file.jsonl")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the official files are not here")
@pytest.mark.parametrize(
    ("version", "baseline", "count", "counted"),
    [("v0.1", "gpt-4-0314", 500, 0), ("v2.0", "o3-mini-2025-01-31", 750, 750)],
)
def test_the_official_files_are_read_and_written(
    tmp_path: Path, version: str, baseline: str, count: int, counted: int
) -> None:
    questions = read_questions(SHARED / f"arena_hard_{version}_question.jsonl")
    path = SHARED / f"arena_hard_{version}_answer_{baseline.removesuffix('-2025-01-31')}.jsonl"
    answers = read_answers(path)
    assert (len(questions), bench_name(questions)) == (count, f"arena-hard-{version}")
    assert (answers.model, len(answers.texts), len(answers.tokens)) == (baseline, count, counted)
    write_lines(tmp_path / "answers.jsonl", answer_rows(questions, answers))
    assert read_answers(tmp_path / "answers.jsonl") == answers._replace(tokens={})
    theirs = {row["uid"]: row for row in read_lines(path, "answers", {}, "")}
    for ours in read_lines(tmp_path / "answers.jsonl", "answers", {}, ""):
        said = theirs[ours["uid"]]
        assert ours["messages"] == said["messages"]
        assert {*ours} <= {*said}
