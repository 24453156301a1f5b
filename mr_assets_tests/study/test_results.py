"""A result says what a finished run's records say, is read again as it was written, and holds while nothing changes."""

from dataclasses import replace
from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.runs.run import Run
from mr_assets_tests.study.arms import ARMS, SEEDS
from mr_assets_tests.study.results import Result, changed, collected, read, settings, write
from mr_assets_tests.tiny import tiny_recipe, tiny_run

META = ARMS["meta"]


@pytest.fixture
def result(finished: Run) -> Result:
    return collected(finished, META, 7)


def test_it_has_the_records_figures(finished: Run, result: Result) -> None:
    assert list(result.models) == ["seed", "M0", "M1", "M2"]
    assert result.last == "M2"
    for key, name in (("seed", "seed"), ("0", "M0"), ("2", "M2")):
        record = finished.record("evaluation", key)
        assert record is not None
        assert result.models[name]["true_score"] == pytest.approx(record.numbers["true_score"], abs=1e-4)
    for t in ("1", "2"):
        for kind, asset in (("actor", "actor_pairs"), ("judge", "elo_pairs")):
            record = finished.record(asset, t)
            assert record is not None
            assert result.pairs[t][kind] == record.rows
            assert sum(result.pairs[t][f"{kind} dropped"].values()) == record.dropped
    record = finished.record("responses", "1")
    assert record is not None and result.code["responses"] == record.code
    assert result.cpu


def test_seconds_are_those_of_what_an_arm_does_not_share(finished: Run) -> None:
    """The family's are no arm's; nor is what another arm made."""
    every = [(asset, t) for asset in finished.loop.per("iteration") for t in ("1", "2")]
    every += [("evaluation", key) for key in finished.models]
    took = [record.seconds for place in every if (record := finished.record(*place))]
    assert collected(finished, META, 7).seconds == pytest.approx(sum(took), abs=0.1)
    assert collected(finished, META, 7, [finished]).seconds == 0


def test_it_is_read_as_it_was_written(result: Result, tmp_path: Path) -> None:
    assert write(result, tmp_path / "study").name == "7.meta.json"
    assert read(tmp_path / "study") == {("meta", 7): result}
    assert read(tmp_path / "none") == {}


def test_a_run_that_is_not_finished_has_no_result(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"run tiny is not finished: there is no seed_prompts\. Run the study again"):
        collected(tiny_run(tmp_path), META, 7)


def test_it_holds_while_settings_and_code_are_the_same(result: Result) -> None:
    """What only changes speed is no difference; nor is a field that all earlier runs had one value of."""
    assert changed(result, tiny_recipe()) == []
    assert changed(result, tiny_recipe("dpo.cpu_threads=1", "engine.shard_size=60")) == []
    assert changed(result, tiny_recipe("iterations.2.rho=0.4")) == ["iterations.2.rho"]
    before = {path: value for path, value in result.settings.items() if path != "switches.judge_pairs"}
    assert before != result.settings
    assert changed(replace(result, settings=before), tiny_recipe()) == []
    shuffled = tiny_recipe("switches.judge_pairs=shuffled")
    assert changed(replace(result, settings=before), shuffled) == ["switches.judge_pairs"]
    other = replace(result, code={**result.code, "judgments": "of then"})
    assert changed(other, tiny_recipe()) == ["code of judgments"]


def test_settings_name_the_row_that_they_are_of() -> None:
    """And no other evaluation's section: those change no figure."""
    found = settings(META.loaded(SEEDS[0]))
    assert [found[f"iterations.{t}.judge_training"] for t in (3, 4)] == [False, False]
    assert (found["iterations.1.rho"], found["iterations.4.keep_epoch"], found["seed"]) == (0.0, 3, SEEDS[0])
    assert found["evaluation.prompts"] == 300
    assert "engine.shard_size" not in found
