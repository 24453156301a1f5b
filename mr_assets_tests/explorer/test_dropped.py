"""What was dropped, counted and listed: by artifact and reason, on two short tables of rows."""

from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.explorer.dropped import DroppedList
from mr_assets.lineage.facts import Dropped
from mr_assets.method.dropped import REASONS
from mr_assets.runs.run import Run
from mr_assets_tests.tiny import complete, copied, stored, tiny_run

P, Q = "3f1c09aa72be", "77d0b8c1e2f3"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three seed prompts are too long; iteration 1 has no actor pair of two prompts, and two responses lost a draw."""
    run = tiny_run(tmp_path_factory.mktemp("dropped"))
    stored(run, "seed_prompts", None, [], [(f"line {n}", "too_long", "{}") for n in (7, 8, 9)])
    pairs = [(Q, "equal_scores", '{"score_max": 4.0}'), (P, "single_response", "{}")]
    stored(run, "actor_pairs", "1", [], pairs)
    responses = [(f"1.{P}.r1", "lost_draw", "{}"), (f"1.{P}.r0", "lost_draw", "{}"), (f"1.{Q}.r0", "odd", "{}")]
    stored(run, "selected_responses", "1", [], responses)
    stored(run, "elo_pairs", "1", [], [])
    return run


def groups(listed: DroppedList) -> list[tuple[str, str | None, str, int]]:
    return [(g.provenance.asset, g.provenance.partition, g.reason, g.count) for g in listed.groups]


ONCE = [("seed_prompts", None, "too_long", 3)]
FIRST = [
    ("actor_pairs", "1", "equal_scores", 1),
    ("actor_pairs", "1", "single_response", 1),
    ("selected_responses", "1", "lost_draw", 2),
    ("selected_responses", "1", "odd", 1),
]


def test_all_is_counted_in_the_order_of_the_loop(run: Run) -> None:
    """What is made once first; of an artifact the commonest reason, of equally common ones by name."""
    listed = DroppedList.of(run, {})
    assert groups(listed) == ONCE + FIRST
    assert (listed.count, listed.rows) == (8, [])  # ids are listed of a single group


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ({"iteration": "1"}, FIRST),
        ({"iteration": "2"}, []),
        ({"asset": "seed_prompts"}, ONCE),
        ({"asset": "actor_pairs"}, FIRST[:2]),
        ({"reason": "lost_draw"}, FIRST[2:3]),
        ({"asset": "actor_pairs", "reason": "lost_draw"}, []),
        ({"iteration": "", "asset": "", "reason": ""}, ONCE + FIRST),  # as an empty form asks
    ],
)
def test_what_is_asked_for_is_counted(
    run: Run, asked: dict[str, str], left: list[tuple[str, str | None, str, int]]
) -> None:
    assert groups(DroppedList.of(run, asked)) == left


def test_of_a_single_group_the_ids_are_listed_with_their_numbers(run: Run) -> None:
    listed = DroppedList.of(run, {"iteration": "1", "asset": "actor_pairs", "reason": "equal_scores"})
    by = listed.groups[0].provenance
    why = "all responses to the prompt have the same score (4)"
    assert listed.rows == [Dropped(Q, "equal_scores", why, {"score_max": 4.0}, by)]
    draw = DroppedList.of(run, {"iteration": "1", "asset": "selected_responses", "reason": "lost_draw"})
    assert [row.id for row in draw.rows] == [f"1.{P}.r0", f"1.{P}.r1"]
    assert DroppedList.of(run, {"asset": "selected_responses", "reason": "lost_draw"}).rows == []
    once = DroppedList.of(run, {"asset": "seed_prompts", "reason": "too_long"})
    assert [row.id for row in once.rows] == ["line 7", "line 8", "line 9"]


def test_a_group_has_its_reason_in_words_or_as_it_is(run: Run) -> None:
    lost, odd = DroppedList.of(run, {"iteration": "1", "asset": "selected_responses"}).groups
    assert (lost.why, odd.why) == (REASONS["lost_draw"], "odd")


def test_ids_come_page_by_page(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("dropped", "pages"):
        monkeypatch.setattr(f"mr_assets.explorer.{module}.PAGE", 2)
    asked = {"asset": "seed_prompts", "reason": "too_long"}
    pages = [DroppedList.of(run, {**asked, "page": page}) for page in ("1", "2", "3")]
    assert [[row.id for row in each.rows] for each in pages] == [["line 7", "line 8"], ["line 9"], []]
    assert [(each.page, each.pages, each.count) for each in pages] == [(1, 2, 3), (2, 2, 3), (3, 2, 3)]


def test_the_page_that_says_more_of_an_id(run: Run) -> None:
    """Of a prompt without an actor pair that of the pair, of another prompt its own, of what is made once none."""
    listed = DroppedList.of(run, {"iteration": "1", "asset": "actor_pairs", "reason": "equal_scores"})
    [row] = listed.rows
    assert listed.whole_id(row) == f"1.{Q}.actor"
    [odd] = DroppedList.of(run, {"iteration": "1", "asset": "selected_responses", "reason": "odd"}).rows
    assert listed.whole_id(odd) == f"1.{Q}.r0"
    judge = Dropped(P, "not_judged", "", {}, odd.provenance)
    assert listed.whole_id(judge) == f"1.{P}"
    [line, *_] = DroppedList.of(run, {"asset": "seed_prompts", "reason": "too_long"}).rows
    assert listed.whole_id(line) is None


def test_the_address_keeps_what_was_asked_for(run: Run) -> None:
    listed = DroppedList.of(run, {"iteration": "1", "asset": "actor_pairs"})
    assert listed.address() == "/runs/tiny/dropped?iteration=1&asset=actor_pairs"
    assert listed.address(reason="equal_scores", asset=None) == "/runs/tiny/dropped?iteration=1&reason=equal_scores"
    assert DroppedList.of(run, {}).address() == "/runs/tiny/dropped"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"iteration": "9"}, "iteration is '9', expected one of 1, 2."),
        ({"page": "0"}, "page is '0', expected a number from 1 on."),
        ({"asset": "evaluation"}, "asset is 'evaluation', expected one of seed_prompts, eft_dataset, sft_checkpoint, "),
    ],
)
def test_what_cannot_be_asked_for_is_said(run: Run, asked: dict[str, str], said: str) -> None:
    with pytest.raises(UserError) as error:
        DroppedList.of(run, asked)
    assert str(error.value).startswith(said)


def test_what_is_not_complete_has_dropped_nothing(run: Run, tmp_path: Path) -> None:
    """Its rows may be those of a run that was killed."""
    run = tiny_run(copied(run.data, tmp_path))
    run.record_path("seed_prompts").unlink()
    assert groups(DroppedList.of(run, {})) == FIRST
    complete(run, "seed_prompts")
    assert groups(DroppedList.of(run, {})) == ONCE + FIRST
