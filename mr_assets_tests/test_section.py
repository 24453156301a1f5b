"""What a section of settings takes and refuses, and what is known of its fields."""

from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from mr_assets.section import SPEED, Count, File, Positive, Rate, Section, Share, Text, section_of, speed_fields


class Kinds(Section):
    count: Count = 1
    share: Share = 0.5
    positive: Positive = 0.5
    rate: Rate = 0.5
    text: Text = "a"
    file: File = "a"


class Training(Section):
    batch_size: Count = Field(description="shapes what is made")
    micro_batch_size: Annotated[Count, SPEED] = Field(description="speed alone")
    accelerate_config: Annotated[File | None, SPEED] = Field(default=None, description="speed alone")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("count", 1), ("share", 0.0), ("share", 1.0), ("positive", 1e-9), ("rate", 0.999)),
        *(("text", " "), ("file", "models/8b"), ("file", "/home/me/über.txt"), ("file", "~/prompts.txt")),
    ],
)
def test_the_ends_of_each_kind_are_taken(field: str, value: Any) -> None:
    assert getattr(Kinds(**{field: value}), field) == value


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("count", 0, "greater than or equal to 1"),
        ("count", 1.0, "valid integer"),  # strict: nothing is turned into another kind
        ("count", "1", "valid integer"),
        ("count", True, "valid integer"),
        ("share", -0.01, "greater than or equal to 0"),
        ("share", 1.01, "less than or equal to 1"),
        ("positive", 0.0, "greater than 0"),
        ("positive", float("nan"), "finite number"),
        ("positive", float("inf"), "finite number"),
        ("rate", 0.0, "greater than 0"),
        ("rate", 1.0, "less than 1"),
        ("text", "", "at least 1 character"),
        ("file", "", "at least 1 character"),
        ("file", "a\0b", "a path cannot hold a NUL character"),
        ("file", "x" * 256, "it has 256 bytes; a path has at most 4,095, and each name in it at most 255"),
    ],
)
def test_what_is_beyond_them_is_refused(field: str, value: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        Kinds(**{field: value})
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]


def test_an_unknown_field_is_refused() -> None:
    """A word that is spelled wrongly would else be a setting that does nothing."""
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Kinds(counts=3)  # type: ignore[call-arg]


def test_nothing_changes_afterwards() -> None:
    section = Kinds()
    with pytest.raises(ValidationError, match="frozen"):
        section.count = 2
    assert section.count == 1


def test_fields_of_speed_are_those_that_are_marked() -> None:
    """Optional ones, too, in the order of the section; of a section without any there are none."""
    assert speed_fields(Training) == ("micro_batch_size", "accelerate_config")
    assert speed_fields(Kinds) == ()


@pytest.mark.parametrize(
    ("annotation", "section"),
    [
        (Training, Training),
        (Training | None, Training),
        (tuple[Training, ...], Training),
        (Kinds | Training, Kinds),
        (int, None),
        (str | None, None),
        (tuple[str, ...], None),
        (dict[str, Any], None),
        (Count, None),
    ],
)
def test_the_section_that_a_field_holds(annotation: Any, section: type[Section] | None) -> None:
    """Be it optional or one row of many; a plain value is none."""
    assert section_of(annotation) is section
