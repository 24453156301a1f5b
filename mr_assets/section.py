"""Sections of settings: frozen, strict models whose every field says what it means, and the kinds of their values.

    class Training(Section):
        batch_size: Count = Field(description="examples per optimizer step over all devices")
        num_processes: Annotated[Count, SPEED] = Field(default=1, description="training processes, one per GPU")

The recipe is made of them; the engine and the trainer take theirs as they are.
"""

from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mr_assets.text_files import path_fault


class Section(BaseModel):
    """Unknown keys, values of another kind and numbers that are none are refused; nothing changes afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Speed:
    """What `SPEED` is."""


SPEED = Speed()
"""Marks a field that changes speed and memory alone, and what is made by no more than rounding."""


def speed_fields(section: type[Section]) -> tuple[str, ...]:
    """The fields of a section that are marked with `SPEED`."""
    return tuple(name for name, field in section.model_fields.items() if SPEED in field.metadata)


def section_of(annotation: Any) -> type[Section] | None:
    """The section that a field holds, be it optional or one row of many; None for a plain value."""
    inner = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type)]
    return next((a for a in inner if issubclass(a, Section)), None)


def _possible(path: str) -> str:
    if fault := path_fault(path):
        raise ValueError(fault)
    return path


Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]
File = Annotated[str, Field(min_length=1), AfterValidator(_possible)]  # absolute, or relative to the data folder
