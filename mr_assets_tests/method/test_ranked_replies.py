"""Ranked replies: what is kept, why the rest is not, and which prompts are held out."""

from dataclasses import replace

import polars as pl
import pytest

from mr_assets.method.ranked_replies import (
    Message,
    by_prompt,
    hash_of,
    in_parts,
    ranked_replies,
    same,
    without_held_out,
)
from mr_assets.tables import DROPPED, RANKED_REPLIES, Selected


def prompt(identity: str, text: str = "Why?") -> Message:
    return Message(identity, identity, None, text, "prompter", "en", reviewed=True, deleted=False, rank=None)


def reply(to: str, rank: int | None, text: str = "So.") -> Message:
    return Message(to, f"{to}.{rank}", to, text, "assistant", "en", reviewed=True, deleted=False, rank=rank)


def kept(*messages: Message, held_out: float = 0.0) -> Selected:
    return ranked_replies(messages, language="en", held_out=held_out)


def reasons(found: Selected) -> dict[str, str]:
    return dict(found.dropped.select("id", "reason").iter_rows())


def test_replies_are_in_the_order_of_their_ranks_whatever_the_order_of_the_messages() -> None:
    """Ranks 1 and 4 are places 0 and 1: a reply between them was left out. The published rank stays beside the id."""
    messages = [reply("t", 4, "Worse."), prompt("t"), reply("t", 1, "Better.")]
    found = kept(*messages)
    RANKED_REPLIES.check(found.rows)
    DROPPED.check(found.dropped)
    assert found.rows.rows() == [
        (f"eft.{hash_of('t')}.r0", "t", "t.1", "Why?", "Better.", 1, 2, False),
        (f"eft.{hash_of('t')}.r1", "t", "t.4", "Why?", "Worse.", 4, 2, False),
    ]
    assert found.rows.equals(kept(*reversed(messages)).rows)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"language": "de"}, "foreign_language"),
        ({"deleted": True}, "was_deleted"),
        ({"reviewed": False}, "not_reviewed"),
        ({"text": " \n"}, "blank_text"),
        ({"final": False}, "tree_not_final"),
    ],
)
def test_a_message_that_is_not_in_order_is_dropped(bad: dict[str, object], reason: str) -> None:
    """Of three replies one goes and two stay; a prompt takes its replies with it, which are not counted again."""
    good = [prompt("t"), *(reply("t", rank) for rank in (0, 1, 2))]
    without = kept(good[0], replace(good[1], **bad), *good[2:])  # type: ignore[arg-type]
    assert (without.rows["rank"].to_list(), reasons(without)) == ([1, 2], {"t.0": reason})
    nothing = kept(replace(good[0], **bad), *good[1:])  # type: ignore[arg-type]
    assert (nothing.rows.height, reasons(nothing)) == (0, {"t": reason})


def test_two_different_ranks_are_needed() -> None:
    """A reply without a rank is none of two; equal ranks rank nothing; a prompter's answer is no reply."""
    one = kept(prompt("t"), reply("t", 0), reply("t", None))
    assert reasons(one) == {"t": "too_few_ranked", "t.None": "not_ranked"}
    equal = kept(prompt("t"), reply("t", 0), replace(reply("t", 0), id="other"))
    assert reasons(equal) == {"t": "equal_ranks"}
    asked = kept(prompt("t"), reply("t", 0), replace(reply("t", 1), role="prompter"))
    assert reasons(asked) == {"t": "too_few_ranked", "t.1": "no_assistant"}


def test_a_message_that_was_read_before_counts_once() -> None:
    """Two exports one after the other hold the same trees."""
    messages = [prompt("t"), reply("t", 0), reply("t", 1)]
    twice = kept(*messages, *messages)
    assert twice.rows.equals(kept(*messages).rows)
    assert twice.dropped["reason"].to_list() == ["repeated_message"] * 3


def many(count: int) -> list[Message]:
    return [each for n in range(count) for each in (prompt(f"t{n}", f"Q{n}"), reply(f"t{n}", 0), reply(f"t{n}", 1))]


def test_a_share_of_the_prompts_is_held_out_with_all_replies() -> None:
    """A quarter of ten is 2.5, rounded to 2; the parts share no prompt, and together are everything."""
    found = kept(*many(10), held_out=0.25)
    train, held = in_parts(found.rows)
    assert (train["prompt"].n_unique(), held["prompt"].n_unique()) == (8, 2)
    assert held.height == 4
    assert pl.concat([train, held]).sort("response_id").equals(found.rows)
    assert kept(*reversed(many(10)), held_out=0.25).rows.equals(found.rows)


def test_a_text_that_two_trees_ask_is_on_one_side() -> None:
    """However it is written. Twenty trees ask ten questions: three tenths of ten are held out, each in both trees."""
    again = [prompt(f"u{n}", f"  q{n} ") for n in range(10)]
    replies = [reply(f"u{n}", rank) for n in range(10) for rank in (0, 1)]
    found = kept(*many(10), *again, *replies, held_out=0.3)
    sides = found.rows.group_by(pl.col("prompt").map_elements(same, pl.String)).agg(pl.col("held_out").unique())
    assert sides["held_out"].list.len().to_list() == [1] * 10
    assert in_parts(found.rows)[1]["tree_id"].n_unique() == 6


def test_seed_prompts_that_are_held_out_are_dropped() -> None:
    """All ten questions in other letters, and one of its own: the eight to train on and that one stay."""
    found = kept(*many(10), held_out=0.2).rows
    prompts = pl.DataFrame({"prompt": [*(f" q{n}\n" for n in range(10)), "Another?"]})
    left = without_held_out(prompts, found)["prompt"]
    held = {same(text) for text in in_parts(found)[1]["prompt"]}
    assert (len(left), len(held)) == (9, 2)
    assert not held & {same(text) for text in left}
    assert without_held_out(prompts, RANKED_REPLIES.empty()).equals(prompts)


def test_replies_by_prompt_begin_with_the_best() -> None:
    found = kept(prompt("b"), reply("b", 1), reply("b", 0), prompt("a"), reply("a", 3), reply("a", 2)).rows
    assert [[row["rank"] for row in rows] for rows in by_prompt(found)] == [[2, 3], [0, 1]]
