"""Results of benchmarks in the run's folder, with the judge's name."""

from pathlib import Path

import pytest

from mr_assets.evaluation.results import Results, judge_folder, read_results


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    """By benchmark and judge; the same again gives way, and what is none of ours is passed over."""
    old, new = (Results("alpaca_eval", "org/a", [{"model": "M1", "win_rate": rate}]) for rate in (1.0, 2.0))
    other = Results("alpaca_eval", "b", [], {"endpoint": "http://x/v1"})
    for each in (old, other, new):
        path = each.write(tmp_path)
        assert path.name == "results.json" and path.parents[2] == tmp_path / "benchmarks"
    (tmp_path / "benchmarks" / "alpaca_eval" / "c").mkdir()
    (tmp_path / "benchmarks" / "alpaca_eval" / "c" / "results.json").write_text('{"rows": []}')
    assert read_results(tmp_path) == [other, new]
    assert read_results(tmp_path / "none") == []


@pytest.mark.parametrize(("judge", "folder"), [("gpt-4o", "gpt-4o"), ("a.b_c", "a.b_c")])
def test_a_name_that_a_folder_can_have_is_one(judge: str, folder: str) -> None:
    assert judge_folder(judge) == folder


@pytest.mark.parametrize("judge", ["../x", "a/b", ".hidden", "", "é", "a" * 300])
def test_any_other_name_stays_one_folder(judge: str) -> None:
    found = judge_folder(judge)
    assert "/" not in found and not found.startswith(".") and len(found) <= 100
    assert found != judge_folder(judge + "/")
