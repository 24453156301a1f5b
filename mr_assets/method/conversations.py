"""Conversations as prompts: turns whose last one, the user's, the policy answers.

    [{"role": "system", "content": "Answer in French."},
     {"role": "user", "content": "Who wrote Hamlet?"},
     {"role": "assistant", "content": "Shakespeare."},
     {"role": "user", "content": "And Faust?"}]

The policy gets the turns through its chat template. Wherever a prompt is one text, as in the judge's template, in lists
and in searches, it is this one:

    System: Answer in French.

    User: Who wrote Hamlet?

    Assistant: Shakespeare.

    User: And Faust?

If the user begins, the first turn stands without its role: the judge prompt says "User: " before it (A.1).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from mr_assets.tables import MESSAGES

Turns = Sequence[Mapping[str, str]]
Prompt = str | Turns
"""What the policy answers: one message of the user's, or a conversation that ends in one."""

MOST_TURNS = 1000
_LABELS = {"system": "System", "user": "User", "assistant": "Assistant"}


def turns_fault(value: Any) -> str | None:
    """Why a list is no conversation to answer, with what was expected; None if it is one."""
    if not value:
        return "is an empty list, expected turns that end in the user's"
    if len(value) > MOST_TURNS:
        return f"has {len(value):,} turns, expected at most {MOST_TURNS:,}"
    for n, turn in enumerate(value, start=1):
        if not isinstance(turn, Mapping) or not {"role", "content"} <= set(turn):
            return f"has a turn {n} that is no object with role and content"
        if more := [name for name, held in turn.items() if name not in ("role", "content") and held]:
            return f"has {', '.join(map(str, more))} in turn {n}, expected role and content alone"
        if not isinstance(turn["content"], str):
            return f"has a turn {n} whose content is no text"
        if not turn["content"].strip():
            return f"has a turn {n} without text"
    roles = [turn["role"] for turn in value]
    if odd := [role for role in roles if role not in _LABELS]:
        return f"has the role {odd[0]!r}, expected system, user or assistant"
    if "system" in roles[1:]:
        return f"has the system's turn as turn {roles.index('system', 1) + 1}, expected it at the beginning alone"
    spoken = roles[roles[0] == "system" :]
    if roles[-1] != "user":
        return f"ends in a turn of the {roles[-1]}, expected the user's, which is answered"
    if any(role != ("user", "assistant")[n % 2] for n, role in enumerate(spoken)):
        return f"has the turns {', '.join(spoken)}, expected user and assistant in turn, the user first"
    return None


def as_prompt(turns: Turns) -> Prompt:
    """A conversation without faults as a prompt: one message of the user's alone is its text."""
    if len(turns) == 1:
        return turns[0]["content"]
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]


def as_text(prompt: Prompt) -> str:
    """A prompt as one text, see above."""
    if isinstance(prompt, str):
        return prompt
    labelled = [f"{_LABELS[turn['role']]}: {turn['content']}" for turn in prompt]
    bare = prompt[0]["role"] == "user"
    return "\n\n".join([prompt[0]["content"], *labelled[1:]] if bare else labelled)


def with_turns(prompts: Sequence[Prompt]) -> pl.DataFrame:
    """Prompts as columns: prompt, and turns where one is a conversation."""
    frame = pl.DataFrame({"prompt": [as_text(prompt) for prompt in prompts]}, schema={"prompt": pl.String})
    if all(isinstance(prompt, str) for prompt in prompts):
        return frame
    turns = [None if isinstance(prompt, str) else list(prompt) for prompt in prompts]
    return frame.with_columns(turns=pl.Series(turns, dtype=MESSAGES))


def asked(prompts: pl.DataFrame) -> list[Prompt]:
    """What the policy answers, by row of a table with the columns prompt and, if there are conversations, turns."""
    texts = prompts["prompt"].to_list()
    if "turns" not in prompts.columns:
        return texts
    return [text if turns is None else turns for text, turns in zip(texts, prompts["turns"].to_list(), strict=True)]
