"""Lists of texts, on tables of one iteration that are small enough to filter by hand; no world knows their truth."""

from pathlib import Path
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.explorer.texts import TextList, kinds_of, lists_of
from mr_assets.loop import Place
from mr_assets.method.dropped import REASONS
from mr_assets.recipes.sets import with_sets
from mr_assets.runs.run import Run
from mr_assets_tests.tiny import complete, copied, stored, tiny_run

NO_WORLD = ("world=null", "evaluation=null", "eft.source=e.jsonl", "prompts.source=p.jsonl")
P = "1.3f1c09aa72be"


def responded(k: int, text: str, finish_reason: str = "stop", duplicate_of: str | None = None) -> dict[str, Any]:
    said = {"response": text, "finish_reason": finish_reason, "duplicate_of": duplicate_of, "token_ids": [1]}
    return {"response_id": f"{P}.r{k}", "prompt_id": P[2:], "k": k, **said}


def judged(k: int, n: int, score: float | None, invalid: str | None = None) -> dict[str, Any]:
    of = {"judgment_id": f"{P}.r{k}.j{n}", "response_id": f"{P}.r{k}", "n": n}
    said = f"Judgment {n}" + ("" if score is None else f", Score: {score:g}")
    return {**of, "judgment": said, "score": score, "invalid": invalid, "finish_reason": "stop", "token_ids": [1]}


def battled(first: int, second: int, winner: str | None, **more: str | None) -> dict[str, Any]:
    ids = {"first_id": f"{P}.r0.j{first}", "second_id": f"{P}.r0.j{second}", "response_id": f"{P}.r0"}
    named = {"meta_judgment_id": f"{P}.r0.j{first}-j{second}", "meta_judgment": "text", "finish_reason": "stop"}
    return {**ids, **named, "winner": winner, **more}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A prompt with three responses: one of its scores can be read, one has 5 and 2, one is a duplicate."""
    run = tiny_run(tmp_path_factory.mktemp("texts"), *NO_WORLD)
    stored(run, "prompts", "1", [{"prompt_id": P[2:], "prompt": "Name a river."}])
    responses = [
        responded(0, "The Rhine"),
        responded(1, "A RIVER", "length"),
        responded(2, "The Rhine", "stop", f"{P}.r0"),
    ]
    stored(run, "responses", "1", responses)
    scores: list[tuple[int, float | None, str | None]] = [
        (0, 4.0, None),
        (0, None, "no_score"),
        (0, None, "no_score"),
        (0, None, "off_scale"),
        (1, 5.0, "no_score"),  # it was asked for again
        (1, 2.0, None),
    ]
    stored(run, "judgments", "1", [judged(k, n, score, invalid) for n, (k, score, invalid) in enumerate(scores)])
    battles = [
        battled(0, 1, "first"),
        battled(1, 0, None, invalid="no_winner"),
        battled(0, 2, "second", copied_from=f"{P}.r0.j0-j1"),
        battled(1, 2, None, meta_judgment=None, finish_reason=None),  # equal texts
    ]
    stored(run, "meta_judgments", "1", battles)
    return run


def ids(run: Run, kind: str, **asked: str) -> list[str]:
    """What of iteration 1 is listed, without the ids' common beginning."""
    return [row["id"].removeprefix(f"{P}.") for row in found(run, kind, **asked).rows]


def found(run: Run, kind: str, **asked: str) -> TextList:
    return TextList.of(run, kind, asked, {})


def test_responses_have_the_mean_of_their_valid_scores(run: Run) -> None:
    """4 of one, (5 + 2) / 2 of the other; a duplicate is not judged."""
    listed = found(run, "responses")
    columns = ("id", "iteration", "score", "cut_off", "duplicate_of", "text", "true_score")
    assert [tuple(row[name] for name in columns) for row in listed.rows] == [
        (f"{P}.r0", "1", 4.0, False, None, "The Rhine", None),
        (f"{P}.r1", "1", 3.5, True, None, "A RIVER", None),
        (f"{P}.r2", "1", None, False, f"{P}.r0", "The Rhine", None),
    ]
    assert (listed.count, listed.page, listed.pages, listed.truth, listed.gives) == (3, 1, 1, False, None)


def test_scores_of_other_responses_are_not_told(run: Run, tmp_path: Path) -> None:
    """The responses were sampled again: what was judged are others with the same ids."""
    run = tiny_run(copied(run.data, tmp_path), *NO_WORLD)
    complete(run, "responses", "1", version="v2")
    assert [row["score"] for row in found(run, "responses").rows] == [None, None, None]


@pytest.mark.parametrize(
    ("kind", "asked", "left"),
    [
        ("responses", {"cut_off": "yes"}, ["r1"]),
        ("responses", {"cut_off": "no"}, ["r0", "r2"]),
        ("responses", {"duplicate": "yes"}, ["r2"]),
        ("responses", {"duplicate": "no"}, ["r0", "r1"]),
        ("responses", {"text": "river"}, ["r1"]),
        ("responses", {"text": " RHINE "}, ["r0", "r2"]),  # white space around it is a slip
        ("responses", {"text": "."}, []),  # what is searched for is no pattern
        ("responses", {"score": "..3.5"}, ["r1"]),
        ("responses", {"score": "3..", "cut_off": "no"}, ["r0"]),
        ("judgments", {"score": "4.."}, ["r0.j0", "r1.j4"]),
        ("judgments", {"invalid": "any"}, ["r0.j1", "r0.j2", "r0.j3"]),
        ("judgments", {"invalid": "off_scale"}, ["r0.j3"]),
        ("judgments", {"invalid": "any", "text": "judgment 1"}, ["r0.j1"]),
        ("judgments", {"iteration": "1", "text": "score: 2"}, ["r1.j5"]),
        ("judgments", {"iteration": "2"}, []),
        ("meta_judgments", {"winner": "second"}, ["r0.j0-j2"]),
        ("meta_judgments", {"invalid": "any"}, ["r0.j1-j0"]),
        ("meta_judgments", {"sampled": "yes"}, ["r0.j0-j1", "r0.j1-j0"]),
        ("meta_judgments", {"sampled": "no"}, ["r0.j0-j2", "r0.j1-j2"]),
        ("prompts", {"text": "name a"}, [P[2:]]),
    ],
)
def test_filters_leave_what_they_name(run: Run, kind: str, asked: dict[str, str], left: list[str]) -> None:
    assert ids(run, kind, **asked) == left


def test_reasons_are_counted_among_what_the_other_filters_leave(run: Run) -> None:
    """The commonest first; which of them is asked for changes the rows, and not the counts."""
    told = [("no_score", 2, REASONS["no_score"]), ("off_scale", 1, REASONS["off_scale"])]
    for invalid, count in (("off_scale", 1), ("any", 3), ("", 6)):
        listed = found(run, "judgments", invalid=invalid)
        assert (listed.count, listed.reasons) == (count, told)
    assert [reason.texts for reason in found(run, "judgments", text="judgment 1").reasons] == [1]
    asked_again = {row["id"]: row["asked_again"] for row in found(run, "judgments").rows}
    assert [identity for identity, again in asked_again.items() if again] == [f"{P}.r1.j4"]


def test_a_page_has_its_rows_and_the_list_all_its_pages(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("texts", "pages"):
        monkeypatch.setattr(f"mr_assets.explorer.{module}.PAGE", 4)
    first, second = (found(run, "judgments", page=page) for page in ("1", "2"))
    assert [len(each.rows) for each in (first, second)] == [4, 2]
    assert (second.count, second.page, second.pages) == (6, 2, 2)
    assert [row["text"] for row in second.rows] == ["Judgment 4, Score: 5", "Judgment 5, Score: 2"]


def test_what_is_wrong_is_said_by_filter_and_nothing_is_listed(run: Run) -> None:
    listed = found(run, "responses", score="many", cut_off="perhaps", iteration="9", page="0", text="river")
    assert listed.wrong == {
        "iteration": "iteration is '9', expected one of 1, 2.",
        "score": "'many' is no range. Expected from..to, like 1..2.5, 1.. or ..-20.",
        "cut_off": "cut off is 'perhaps', expected one of yes, no.",
        "page": "page is '0', expected a number from 1 on.",
    }
    assert (listed.rows, listed.count, listed.asked["text"]) == ([], 0, "river")


def test_a_filter_of_other_texts_is_unknown(run: Run) -> None:
    with pytest.raises(UserError) as error:
        found(run, "prompts", winner="first", odd="x")
    assert str(error.value) == "unknown filter winner, odd. There are iteration, text, page."


def test_what_is_stale_is_said_of_the_iterations_that_are_listed(run: Run) -> None:
    """Nothing is there of iteration 2."""
    changed = [("judgments", "1"), ("judgments", "2"), ("responses", "1")]
    now: dict[Place, str] = dict.fromkeys(changed, "n changed")
    assert TextList.of(run, "judgments", {}, now).stale == ["judgments of iteration 1: n changed"]
    assert TextList.of(run, "prompts", {}, now).stale == []


def test_the_address_of_a_list_keeps_what_was_asked_for(run: Run) -> None:
    """What is asked for otherwise takes its place; nothing takes it away."""
    listed = found(run, "judgments", invalid="any", text="a&b", page="1")
    assert listed.address() == "/runs/tiny/judgments?invalid=any&text=a%26b"
    assert listed.address(page=2, invalid=None) == "/runs/tiny/judgments?text=a%26b&page=2"
    assert found(run, "judgments").address() == "/runs/tiny/judgments"


def test_the_lists_that_a_run_has_and_where_they_are(run: Run) -> None:
    """What is made once is of no iteration. A run has the seed model's judgments if it makes its EFT data of them."""
    assert kinds_of(run) == ["prompts", "responses", "judgments", "meta_judgments"]
    ranked = tiny_run(run.data, "eft.source=open_assistant:trees.jsonl", "eft.examples=null")
    assert kinds_of(ranked)[-1] == "eft_judgments"
    of_second, of_all = lists_of(ranked, "2"), lists_of(ranked, None)
    assert (of_second["judgments"], of_all["judgments"]) == (
        "/runs/tiny/judgments?iteration=2",
        "/runs/tiny/judgments",
    )
    assert of_second["eft_judgments"] == "/runs/tiny/eft_judgments"


def test_what_a_list_is_of(run: Run) -> None:
    """Whether its texts give a score or a winner, are made once, and which filters have few values."""
    kinds = {kind: found(run, kind) for kind in kinds_of(run)}
    assert {kind: each.gives for kind, each in kinds.items()} == {
        "prompts": None,
        "responses": None,
        "judgments": "score",
        "meta_judgments": "winner",
    }
    assert not any(each.once or each.asks_again for each in kinds.values())
    assert list(kinds["responses"].choices) == ["cut_off", "duplicate"]
    assert kinds["meta_judgments"].choices["winner"] == ("first", "second")
    again = Run("tiny", with_sets(run.recipe, ["judgments.score_line=asked_again"]), run.data)
    assert [kind for kind in kinds_of(again) if found(again, kind).asks_again] == ["judgments"]
    assert found(tiny_run(run.data), "responses").truth and not found(tiny_run(run.data), "prompts").truth
