"""Battles in parts: what is asked and who won is what the whole table would say."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mr_assets.judging import PAPERS_VERDICTS
from mr_assets.method import meta_judgments as method
from mr_assets.sampling.shards import SHARD_SCHEMA
from mr_assets.wiring.battles import asked, fought, number_asked, parts

PROMPTS = pl.DataFrame({"prompt_id": ["p"], "prompt": ["Sing."]})
RESPONSES = pl.DataFrame({"response_id": [f"r{i}" for i in range(4)], "prompt_id": "p", "response": list("abcd")})
JUDGMENTS = pl.DataFrame(
    [(f"r{i}", f"r{i}.j{n}", n, text, 1.0) for i in range(4) for n, text in enumerate(("x", "y", "x", f"z{i}"))],
    schema=["response_id", "judgment_id", "n", "judgment", "score"],
    orient="row",
)
"""Of four responses, four judgments each, the first and the third of which are the same: 12 battles, 2 of equals."""


@pytest.fixture(params=[1, 13, 4_000], ids=["a response", "two responses", "all"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("mr_assets.wiring.battles.ROWS", request.param)
    return int(request.param)


@pytest.mark.parametrize("once", [False, True])
def test_parts_say_what_the_whole_says(size: int, once: bool, tmp_path: Path) -> None:
    """One battle of the second response is too long; with `once`, others copy one of their response."""
    battles = method.battles(RESPONSES, JUDGMENTS, sample_distinct_once=once)
    lengths = {1: [12] * 4, 13: [24, 24], 4_000: [48]}[size]
    assert [part.height for part in parts(battles)] == lengths
    wanted = method.to_sample(battles, PROMPTS, RESPONSES, JUDGMENTS)
    assert list(asked(battles, PROMPTS, RESPONSES, JUDGMENTS)) == wanted.to_dicts()
    assert number_asked(battles) == wanted.height == (24 if once else 40)

    too_long = wanted["meta_judgment_id"][9]
    said = [(id, 0, f"Winner: Judgement {'AB'[n % 2]}", "stop", [n]) for n, id in enumerate(wanted["meta_judgment_id"])]
    completions = pl.LazyFrame([row for row in said if row[0] != too_long], SHARD_SCHEMA, orient="row")
    whole = method.meta_judgments(battles, completions, PAPERS_VERDICTS).collect()
    assert whole["invalid"].to_list().count("prompt_too_long") >= 1
    found = fought(battles, completions, [too_long], PAPERS_VERDICTS, tmp_path / "shards")
    assert_frame_equal(found.collect(), whole)


def test_no_battles_are_a_table_without_rows(tmp_path: Path) -> None:
    battles = method.battles(RESPONSES.clear(), JUDGMENTS)
    none = pl.LazyFrame(schema=SHARD_SCHEMA)
    assert list(asked(battles, PROMPTS, RESPONSES, JUDGMENTS)) == []
    whole = method.meta_judgments(battles, none, PAPERS_VERDICTS).collect()
    assert_frame_equal(fought(battles, none, [], PAPERS_VERDICTS, tmp_path).collect(), whole)
