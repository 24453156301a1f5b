"""What a run can be called."""

import pytest
from dagster._core.definitions.utils import VALID_GROUP_NAME_REGEX

from mr_assets.errors import UserError
from mr_assets.recipes.names import check_run_name


@pytest.mark.parametrize("name", ["a", "x1", "1", "small_world_meta_rewarding", "beta_02", "a" * 60])
def test_run_name(name: str) -> None:
    """A run's name is good for Dagster too, as a group and in an unquoted asset selection."""
    assert check_run_name(name) == name
    assert VALID_GROUP_NAME_REGEX.match(name)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Beta-0.2", "Try beta_0_2"),
        ("a-b", "Try a_b"),
        ("a__b", "Try a_b"),
        ("_a", "Try a"),
        ("a/b", "Try a_b"),
        ("../x", "Try x"),
        ("größe", "Try gr_e"),
        ("a\n", "Try a"),
        ("", "expected lower-case"),
        ("-", "expected lower-case"),
        ("a" * 61, "at most 60"),
        ("small_world", "taken"),
        ("seeds", "taken"),
    ],
)
def test_run_name_refused(name: str, part: str) -> None:
    """What would not be a key, a group and a folder of its own is refused, with a name that would be."""
    with pytest.raises(UserError) as error:
        check_run_name(name)
    assert part in str(error.value) and repr(name) in str(error.value)
