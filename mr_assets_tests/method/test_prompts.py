import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.errors import UserError
from mr_assets.ids import prompt_id
from mr_assets.method.prompts import check_prompts, draw_prompts
from mr_assets.tables import PROMPTS, SEED_PROMPTS
from mr_assets_tests.method.tables import shuffled


def seed_prompts(count: int) -> pl.DataFrame:
    return check_prompts(pl.DataFrame({"prompt": [f"prompt {n}" for n in range(count)]}))


def test_checked_prompts_have_the_hash_of_their_text_as_id() -> None:
    """Ids name their ancestors: prompt_id is a short hash of the text."""
    checked = check_prompts(pl.DataFrame({"source": ["x", "y"], "prompt": ["Hi", "Ho"]}))
    assert checked.rows() == [(prompt_id("Hi"), "Hi"), (prompt_id("Ho"), "Ho")]
    SEED_PROMPTS.check(checked)


def test_missing_column_is_named_with_the_columns_found() -> None:
    """Errors show expected and received."""
    with pytest.raises(UserError, match=r"column named prompt, found the columns: text \(String\)"):
        check_prompts(pl.DataFrame({"text": ["Hi"]}))


def test_column_of_numbers_is_refused() -> None:
    """Errors show expected and received."""
    with pytest.raises(UserError, match=r"prompt \(Int64\)"):
        check_prompts(pl.DataFrame({"prompt": [1, 2]}))


def test_no_prompts_at_all_are_refused() -> None:
    """An empty file is a mistake, not an empty run."""
    with pytest.raises(UserError, match="at least one"):
        check_prompts(pl.DataFrame(schema={"prompt": pl.String}))


def test_blank_and_repeated_prompts_are_counted_with_examples() -> None:
    """Every fault is counted and the first rows are shown, row numbers from 1; a blank one is not also a repeat."""
    frame = pl.DataFrame({"prompt": ["Hi", "", " \n", None, "\t", "Hi", "Ho"]})
    with pytest.raises(UserError) as error:
        check_prompts(frame)
    assert "of 7 prompts, 4 empty or blank (first: row 2: ''; row 3: ' \\n'; row 4: None)" in str(error.value)
    assert "1 repeated (first: row 6: 'Hi')" in str(error.value)


def test_disjoint_iterations_partition_the_seed_prompts() -> None:
    """Row 1: the prompts of different iterations are disjoint; 4 + 3 + 3 of 10 use every prompt once."""
    seeds = seed_prompts(10)
    drawn = [draw_prompts(seeds, t, [4, 3, 3], 7) for t in (1, 2, 3)]
    assert [d.height for d in drawn] == [4, 3, 3]
    assert sorted(pl.concat(drawn)["prompt_id"]) == sorted(seeds["prompt_id"])
    PROMPTS.check(drawn[0])


@pytest.mark.parametrize("disjoint", [True, False])
def test_a_draw_is_in_the_order_of_ids(disjoint: bool) -> None:
    """Its order says nothing, so it is the one in which a reader can skip row groups."""
    drawn = draw_prompts(seed_prompts(40), 2, [10, 10], 7, disjoint)["prompt_id"]
    assert drawn.to_list() == sorted(drawn)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 5), st.booleans())
def test_adding_an_iteration_changes_no_earlier_one(counts: list[int], more: int, disjoint: bool) -> None:
    """Row 1: iterations can be added to a finished run."""
    seeds = seed_prompts(25)
    for t in range(1, len(counts) + 1):
        before = draw_prompts(seeds, t, counts, "s", disjoint)
        assert before.equals(draw_prompts(seeds, t, [*counts, more], "s", disjoint))


def test_draw_does_not_depend_on_row_order_but_on_the_seed() -> None:
    """A seeded draw belongs to the prompt's id."""
    seeds = seed_prompts(40)
    drawn = draw_prompts(seeds, 2, [10, 10], 7)
    assert drawn.equals(draw_prompts(shuffled(seeds, 3), 2, [10, 10], 7))
    assert set(drawn["prompt_id"]) != set(draw_prompts(seeds, 2, [10, 10], 8)["prompt_id"])


def test_independent_draws_differ_between_iterations_and_may_overlap() -> None:
    """Row 1's other position: every iteration draws from all prompts; 2 x 8 of 10 must overlap."""
    seeds = seed_prompts(10)
    one, two = (draw_prompts(seeds, t, [8, 8], 7, disjoint=False) for t in (1, 2))
    assert set(one["prompt_id"]) & set(two["prompt_id"])
    assert set(one["prompt_id"]) != set(two["prompt_id"])


def test_too_few_prompts_say_how_many_are_needed() -> None:
    """Fails for all iterations before the first is sampled: 6 + 6 = 12 of 10."""
    with pytest.raises(UserError, match=r"6 \+ 6 = 12, but there are 10"):
        draw_prompts(seed_prompts(10), 1, [6, 6], 7)
    with pytest.raises(UserError, match="need 11, but there are 10"):
        draw_prompts(seed_prompts(10), 1, [6, 11], 7, disjoint=False)


def test_unknown_iteration_is_refused() -> None:
    """Iterations are those of the recipe."""
    with pytest.raises(UserError, match="iterations 1 to 2, not 3"):
        draw_prompts(seed_prompts(10), 3, [1, 1], 7)
