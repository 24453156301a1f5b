"""What SFT trains on: prompts and completions as token ids, and what is too long for it."""

from collections.abc import Sequence

import polars as pl

from mr_assets.method.conversations import Prompt
from mr_assets.method.sft_dataset import sft_dataset
from mr_assets.tables import DROPPED, EFT_DATASET
from mr_assets.templates import Template
from mr_assets_tests.method.tables import ids

JUDGE = Template("judge", "Judge {response}!", ("response",))
META = Template("meta", "Is {first} or {second} better?", ("first", "second"))


class Encoder:
    """Code points: 1 before a message, 2 before the values of a template, 3 before a conversation, 0 at an end."""

    def prompt_ids(self, prompt: Prompt) -> Sequence[int]:
        if isinstance(prompt, str):
            return [1, *ids(prompt)]
        return [3, *ids("".join(turn["content"] for turn in prompt))]

    def template_ids(self, template: Template, values: dict[str, str]) -> Sequence[int]:
        return [2, *ids("".join(values[name] for name in template.fields))]

    def completion_ids(self, text: str) -> Sequence[int]:
        return [*ids(text), 0]


def eft(*examples: tuple[Sequence[str], str]) -> pl.DataFrame:
    """Examples 0, 1, ...: the turns of the prompt, the user's first, and the completion."""
    rows = [
        (
            str(n),
            [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(turns)],
            [{"role": "assistant", "content": said}],
        )
        for n, (turns, said) in enumerate(examples)
    ]
    return pl.DataFrame(rows, schema=EFT_DATASET.schema, orient="row")


def test_each_prompt_is_encoded_as_the_engine_will_see_it() -> None:
    """A message by its text, a filled template by its values, a conversation turn by turn. a is 97, b 98."""
    made = sft_dataset(
        eft((["a"], "b"), (["Judge a!"], "b"), (["Is a or b better?"], "a"), (["Judge a!", "b", "c"], "")),
        Encoder(),
        JUDGE,
        META,
        max_length=None,
    )
    assert made.rows.rows() == [
        ("0", [1, 97], [98, 0]),
        ("1", [2, 97], [98, 0]),
        ("2", [2, 97, 98], [97, 0]),
        ("3", [3, *ids("Judge a!bc")], [0]),
    ]
    assert made.dropped.is_empty()


def test_a_template_that_is_not_asked_for_is_a_text_like_any_other() -> None:
    made = sft_dataset(eft((["Judge a!"], "b")), Encoder(), META, max_length=None)
    assert made.rows["prompt_token_ids"].to_list() == [[1, *ids("Judge a!")]]


def test_what_is_too_long_is_dropped_and_never_cut() -> None:
    """1 + 2 tokens of the prompt and 1 + 1 or 2 + 1 of the completion: five are allowed, six are not."""
    made = sft_dataset(eft((["aa"], "b"), (["aa"], "bb")), Encoder(), max_length=5)
    assert made.rows.rows() == [("0", [1, 97, 97], [98, 0])]
    assert made.dropped.rows() == [("1", "too_long", '{"tokens": 6, "max_length": 5}')]


def test_of_nothing_the_columns_are_left() -> None:
    made = sft_dataset(eft(), Encoder(), JUDGE, max_length=5)
    token_ids = pl.List(pl.Int32)
    assert made.rows.schema == {
        "example_id": pl.String,
        "prompt_token_ids": token_ids,
        "completion_token_ids": token_ids,
    }
    assert made.rows.is_empty()
    DROPPED.check(made.dropped)
