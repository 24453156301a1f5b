"""Conversations as prompts: which lists are some, and how one reads as a text."""

from typing import Any

import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.method.conversations import as_prompt, as_text, asked, turns_fault, with_turns
from mr_assets.method.prompts import check_prompts, draw_prompts
from mr_assets.tables import PROMPTS, SEED_PROMPTS


def turns(*said: str) -> list[dict[str, str]]:
    """Turns from "user: Hi" and the like."""
    return [dict(zip(("role", "content"), each.split(": ", 1), strict=True)) for each in said]


THREE = turns("user: Who wrote Hamlet?", "assistant: Shakespeare.", "user: And Faust?")


@pytest.mark.parametrize("value", [turns("user: Hi"), turns("system: Be brief.", "user: Hi"), THREE])
def test_a_conversation_that_can_be_answered(value: Any) -> None:
    """It ends in the user's turn; the system may begin."""
    assert turns_fault(value) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "is an empty list"),
        (["Hi"], "has a turn 1 that is no object with role and content"),
        ([{"role": "user"}], "has a turn 1 that is no object with role and content"),
        (turns("user: Hi", "assistant: Ho"), "ends in a turn of the assistant, expected the user's, which is answered"),
        (turns("system: Be brief."), "ends in a turn of the system, expected the user's"),
        (turns("user: Hi", "user: Ho"), "has the turns user, user, expected user and assistant in turn"),
        (turns("assistant: Hi", "user: Ho"), "has the turns assistant, user, expected user and assistant in turn"),
        (turns("user: Hi", "system: Ho", "user: Hi"), "has the system's turn as turn 2, expected it at the beginning"),
        (turns("human: Hi"), "has the role 'human', expected system, user or assistant"),
        (turns("tool: 4", "user: Hi"), "has the role 'tool'"),
        ([*turns("user: Hi", "assistant:  \n"), *turns("user: Ho")], "has a turn 2 without text"),
        ([{"role": "user", "content": ["Hi"]}], "has a turn 1 whose content is no text"),
        ([{"role": "user", "content": "Hi", "tool_calls": [1]}], "has tool_calls in turn 1, expected role and content"),
        (turns(*["user: Hi"] * 1001), "has 1,001 turns, expected at most 1,000"),
    ],
)
def test_a_list_that_is_none(value: Any, said: str) -> None:
    """Each fault is named with what was expected."""
    assert (turns_fault(value) or "").startswith(said)


def test_fields_without_a_value_pass() -> None:
    """Many data sets have a column of names that are null."""
    assert turns_fault([{"role": "user", "content": "Hi", "name": None}]) is None
    assert as_prompt([{"role": "user", "content": "Hi", "name": ""}]) == "Hi"


def test_one_message_alone_is_its_text() -> None:
    """It is the same prompt, with the same id, as in a file of texts."""
    assert as_prompt(turns("user: Hi")) == "Hi"
    assert as_prompt(THREE) == THREE


def test_a_conversation_as_the_judge_reads_it() -> None:
    """Row 24: the judge prompt says "User: " before it, so that a first turn of the user's stands bare."""
    assert as_text("Hi") == "Hi"
    assert as_text(THREE) == "Who wrote Hamlet?\n\nAssistant: Shakespeare.\n\nUser: And Faust?"
    assert as_text(turns("system: Be brief.", "user: Hi")) == "System: Be brief.\n\nUser: Hi"


def test_tables_have_turns_where_there_are_conversations_alone() -> None:
    """A table of texts is what it was before there were conversations."""
    assert with_turns(["Hi"]).columns == ["prompt"]
    both = check_prompts(with_turns(["Hi", THREE]))
    SEED_PROMPTS.check(both)
    assert both["prompt"].to_list() == ["Hi", as_text(THREE)]
    assert asked(both) == ["Hi", THREE]
    assert asked(both.drop("turns")) == ["Hi", as_text(THREE)]


def test_a_draw_takes_the_turns_with_it() -> None:
    """Of two draws of one, one has the conversation, and the other is a table of texts."""
    both = check_prompts(with_turns(["Hi", THREE]))
    drawn = [draw_prompts(both, t, [1, 1], seed=0) for t in (1, 2)]
    for each in drawn:
        PROMPTS.check(each)
    assert sorted("turns" in each.columns for each in drawn) == [False, True]
    assert THREE in [prompt for each in drawn for prompt in asked(each)]


def test_a_conversation_and_a_text_that_read_alike_are_a_repeat() -> None:
    """The judge could not tell them apart."""
    with pytest.raises(UserError, match="of 2 prompts, 1 repeated"):
        check_prompts(with_turns([as_text(THREE), THREE]))


def test_a_table_of_another_type_of_turns_is_refused() -> None:
    """The optional column has its type, and its place at the end."""
    table = check_prompts(with_turns([THREE]))
    with pytest.raises(UserError, match="turns is String"):
        SEED_PROMPTS.check(table.with_columns(turns=pl.lit("[]")))
    with pytest.raises(UserError, match="wrong order"):
        SEED_PROMPTS.check(table.select("turns", "prompt_id", "prompt"))
