"""A prompt's rows, out of tables of any size."""

from pathlib import Path

import polars as pl

from mr_assets.lineage.rows import dropped_of, of_prompt, rows_of
from mr_assets.runs.run import Run
from mr_assets_tests.lineage.conftest import dropped, table


def test_a_prompts_rows_are_those_that_name_it(finished: Run) -> None:
    """Of every table; without token ids; sorted by id, which is the first column."""
    prompt = table(finished, "prompts")["prompt_id"][2]
    keys = {
        "prompts": "prompt_id",
        "responses": "response_id",
        "judgments": "judgment_id",
        "meta_judgments": "meta_judgment_id",
        "selected_responses": "response_id",
        "battle_matrices": "response_id",
        "actor_pairs": "pair_id",
        "elo_pairs": "pair_id",
        "dpo_dataset": "pair_id",
    }
    for asset, key in keys.items():
        found = rows_of(finished, asset, "1", prompt)
        expected = sorted(i for i in table(finished, asset)[key] if prompt in i)
        assert found.columns[0] == key
        assert found[key].to_list() == expected
        assert not [c for c in found.columns if "token_ids" in c]
    assert rows_of(finished, "responses", "1", prompt).height == 4


def test_what_was_left_out_of_a_prompt_is_its_own_and_its_descendants(finished: Run) -> None:
    prompt = table(finished, "prompts")["prompt_id"][2]
    everything = dropped(finished, "selected_responses")
    expected = sorted(i for i in everything["id"] if prompt in i)
    assert expected
    assert dropped_of(finished, "selected_responses", "1", prompt)["id"].to_list() == expected
    assert dropped_of(finished, "prompts", "1", prompt).is_empty()


def test_a_prompt_is_not_taken_for_a_longer_one() -> None:
    """Iteration 1 is not 11, response 1 is not 10 of another, and "/" is past everything that begins with "p."."""
    ids = pl.DataFrame({"id": ["1.p.r1", "1.p.r10.j3-j4", "11.p.r1", "1.pq.r1", "1.p", "1.p/", "1.p.judge", "2.p.r1"]})
    assert ids.filter(of_prompt("id", "1", "p"))["id"].to_list() == ["1.p.r1", "1.p.r10.j3-j4", "1.p.judge"]


def test_the_filter_reaches_the_reader(tmp_path: Path) -> None:
    """No row beyond the prompt's is handed on: the plan has the filter in the scan itself."""
    path = tmp_path / "t.parquet"
    pl.DataFrame({"id": ["1.p.r1"], "text": ["x"]}).write_parquet(path)
    plan = pl.scan_parquet(path).filter(of_prompt("id", "1", "p")).explain()
    assert "SELECTION" in plan
    assert not plan.startswith("FILTER")
