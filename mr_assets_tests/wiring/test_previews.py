"""What the UI shows of a table: readable, short, and nothing in it acts as markup."""

import polars as pl

from mr_assets.runs.run import Run
from mr_assets.wiring import previews
from mr_assets_tests.wiring.conftest import metadata, table, work


def test_figures_that_are_missing_are_not_shown(run: Run) -> None:
    """Nested ones are JSON; what Dagster can plot stays a number."""
    shown = metadata(work(run, "prompts").table(table("a"), {"mean": None, "share": 0.5, "by score": {"5": 2}}))
    assert "mean" not in shown
    assert (shown["share"], shown["by score"]) == (0.5, {"5": 2})


HOSTILE = "<script>alert(1)</script> [a](javascript:x) ![i](http://t) `c` *b* | $x$ &lt; \\ ~s~ # h"


def test_previews_show_texts_and_run_none(run: Run) -> None:
    """Every character that Markdown, HTML or a formula could act on is written by its number; lines are joined."""
    made = work(run, "prompts").table(table(HOSTILE, "two\nlines", "x" * 500, "fourth"), {})
    header, rule, ids, texts = metadata(made)["preview"].splitlines()
    assert header == "| column | row 1 | row 2 | row 3 |"
    assert rule == "| --- | --- | --- | --- |"
    assert ids == "| prompt_id | p0 | p1 | p2 |"
    assert texts.endswith(f" | two lines | {'x' * 160} |")
    hostile = texts.removeprefix("| prompt | ").removesuffix(f" | two lines | {'x' * 160} |")
    assert hostile.startswith("&#60;script&#62;alert&#40;1&#41;&#60;/script&#62; &#91;a&#93;&#40;javascript:x")
    assert not set(hostile.replace("&#", "")) & set("<>[]()`*|$\\~#!&")


def test_previews_leave_token_ids_out(run: Run) -> None:
    frame = pl.DataFrame({"prompt_id": ["a"], "token_ids": [[1]], "chosen_token_ids": [[2]]})
    shown = metadata(work(run, "prompts").table(frame, {}))["preview"]
    assert shown == "| column | row 1 |\n| --- | --- |\n| prompt_id | a |"


def test_previews_are_readable(run: Run) -> None:
    """Messages by their texts, a matrix's numbers to four digits, nothing for what is missing."""
    said = [{"role": "user", "content": "two _words_"}]
    frame = pl.DataFrame({"prompt_id": ["a"], "prompt": [said], "matrix": [[[0.0, 2 / 3]]], "none": [None]})
    lines = metadata(work(run, "prompts").table(frame, {}))["preview"].splitlines()
    assert lines[3:] == ["| prompt | two &#95;words&#95; |", "| matrix | &#91;0, 0.6667&#93; |", "| none |  |"]


def test_previews_are_short_enough_to_be_shown_in_place(run: Run) -> None:
    """Three long hostile texts would be a link to click on; fewer and shorter ones are shown."""
    made = metadata(work(run, "prompts").table(table(*["<" * 500] * 3), {}))["preview"]
    assert len(made) < previews.SHOWN_IN_PLACE
    assert made.startswith("| column | row 1 | row 2 |\n")
    assert made.endswith(f"| prompt | {'&#60;' * 80} | {'&#60;' * 80} |")
