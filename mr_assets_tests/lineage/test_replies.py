"""The lineage of ranked replies, on tables of two replies to one prompt and one that is held out."""

from pathlib import Path
from typing import Any

import pytest

from mr_assets.ids import parsed
from mr_assets.lineage.facts import EftJudgment, Example
from mr_assets.lineage.replies import has_reply, reply
from mr_assets.lineage.staleness import Staleness
from mr_assets.method.dropped import REASONS
from mr_assets.runs.run import Run
from mr_assets_tests.tiny import complete, stored, tiny_run

ASKED, HELD_OUT = "eft.77b0c2d4e5f6", "eft.000000000001"
SECOND, ELEVENTH, HELD = f"{ASKED}.r1", f"{ASKED}.r10", f"{HELD_OUT}.r0"


def ranked(identity: str, rank: int, **more: object) -> dict[str, Any]:
    told = {"tree_id": "t1", "message_id": f"m{rank}", "prompt": "Name a river.", "response": f"Rhine {rank}"}
    return {"response_id": identity, "rank": rank, "replies": 2, "held_out": False, **told, **more}


def judged(identity: str, n: int, score: float | None, invalid: str | None = None) -> dict[str, Any]:
    said = {"judgment": f"judgment {n}", "score": score, "invalid": invalid, "finish_reason": "stop"}
    return {"judgment_id": f"{identity}.j{n}", "response_id": identity, "n": n, "token_ids": [1], **said}


def example(identity: str, kind: str, said: str, judgment_id: str | None, score: float | None) -> dict[str, Any]:
    texts = {"prompt": ("user", "asked"), "completion": ("assistant", said)}
    messages = {name: [{"role": role, "content": text}] for name, (role, text) in texts.items()}
    of = {"tree_id": "t1", "message_id": "m1", "rank": 1, "judgment_id": judgment_id, "score": score}
    return {"example_id": identity, "kind": kind, **messages, **of}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Of the second reply judgment 0 is an example and 1 was dropped, 2 has no score and 3 has one at the second try.

    An answer was made of its rank. Of the eleventh there is an example, of the held-out one nothing.
    """
    run = tiny_run(tmp_path, "eft.source=open_assistant:trees.jsonl", "eft.examples=null")
    stored(run, "ranked_replies", None, [ranked(SECOND, 1), ranked(ELEVENTH, 10), ranked(HELD, 0, held_out=True)])
    judgments = [judged(SECOND, 3, 3.0, "no_score"), judged(SECOND, 0, 4.0), judged(SECOND, 1, 2.0)]
    stored(run, "eft_judgments", None, [*judgments, judged(SECOND, 2, None, "no_score"), judged(ELEVENTH, 0, 5.0)])
    examples = [
        example(f"{SECOND}.j0", "judgment", "judgment 0", f"{SECOND}.j0", 4.0),
        example(f"{SECOND}.answer", "instruction", "Rhine 1", None, None),
        example(f"{ELEVENTH}.j0", "judgment", "judgment 0", f"{ELEVENTH}.j0", 5.0),
    ]
    gone = [(f"{SECOND}.j1", "ranks_differ", "{}"), (f"{SECOND}.meta4", "kind_share", "{}")]
    stored(run, "eft_dataset", None, examples, [*gone, (f"{ELEVENTH}.j1", "ranks_differ", "{}")])
    return run


@pytest.mark.parametrize(
    ("identity", "there"),
    [
        (SECOND, True),
        (HELD, True),
        (f"{ASKED}.r2", False),
        (f"{SECOND}.j0", True),
        (f"{SECOND}.j2", True),  # a judgment, though no example
        (f"{SECOND}.j4", False),
        (f"{SECOND}.answer", True),
        (f"{SECOND}.meta4", True),  # dropped: why can be answered
        (f"{SECOND}.rank", False),
        (f"{ASKED}.r2.j0", False),
    ],
)
def test_a_run_has_what_its_tables_name_and_what_they_dropped(run: Run, identity: str, there: bool) -> None:
    assert has_reply(run, parsed(identity)) is there


def test_a_run_without_rankings_has_no_reply(tmp_path: Path) -> None:
    assert not has_reply(tiny_run(tmp_path), parsed(SECOND))


def test_a_reply_has_what_people_said_of_it(run: Run) -> None:
    found = reply(Staleness(run), SECOND)
    assert (found.id, found.tree_id, found.message_id, found.rank, found.replies) == (SECOND, "t1", "m1", 1, 2)
    assert (found.prompt, found.text, found.held_out) == ("Name a river.", "Rhine 1", False)
    assert (found.provenance.asset, found.provenance.partition) == ("ranked_replies", None)
    held = reply(Staleness(run), HELD)
    assert (held.held_out, held.judgments, held.examples, held.dropped) == (True, (), (), ())


def test_each_judgment_says_whether_it_is_an_example_and_why_not(run: Run) -> None:
    """In the order of n. One that was asked again has a score, and its old reason is none; nor was it dropped."""
    found = reply(Staleness(run), f"{SECOND}.j1").judgments
    by = found[0].provenance
    assert by.asset == "eft_judgments"
    said = [(0, 4.0, True, None), (1, 2.0, False, REASONS["ranks_differ"]), (2, None, False, REASONS["no_score"])]
    said.append((3, 3.0, False, None))
    assert found == tuple(
        EftJudgment(f"{SECOND}.j{n}", n, f"judgment {n}", score, kept, why, by) for n, score, kept, why in said
    )


def test_what_was_made_of_a_reply_is_its_own_alone(run: Run) -> None:
    """The eleventh's id begins as the second's does, and is another."""
    found = reply(Staleness(run), f"{SECOND}.answer")
    by = found.examples[0].provenance
    assert by.asset == "eft_dataset"
    assert found.examples == (
        Example(f"{SECOND}.j0", "judgment", "asked", "judgment 0", 4.0, f"{SECOND}.j0", by),
        Example(f"{SECOND}.answer", "instruction", "asked", "Rhine 1", None, None, by),
    )
    assert [(each.id, each.reason, each.why) for each in found.dropped] == [
        (f"{SECOND}.j1", "ranks_differ", REASONS["ranks_differ"]),
        (f"{SECOND}.meta4", "kind_share", REASONS["kind_share"]),
    ]


def test_what_was_made_of_other_replies_is_left_out(run: Run) -> None:
    """The replies were read again, with other content: what was made before is not made of them."""
    complete(run, "ranked_replies", version="v2")
    found = reply(Staleness(run), SECOND)
    assert (found.judgments, found.examples, found.dropped) == ((), (), ())
    complete(run, "eft_judgments")
    again = reply(Staleness(run), SECOND).judgments
    assert [(each.n, each.kept) for each in again] == [(0, False), (1, False), (2, False), (3, False)]
