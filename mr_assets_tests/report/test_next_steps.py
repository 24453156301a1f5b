"""What to do next: the same of several runs is said once, and every command that is told works on its own run."""

from dataclasses import replace
from pathlib import Path

from mr_assets.report.report import report
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets_tests.report.conftest import a_run
from mr_assets_tests.tiny import complete


def seeds(data: Path, count: int) -> list[Run]:
    """Runs that differ in their seeds."""
    return [a_run(data, f"seed_{n}", f"seed={n}") for n in range(count)]


def found(run: Run, value: float, came: str) -> None:
    """Have the check of how many judgments can be read find this, in iteration 1."""
    record = complete(run, "judgments", "1")
    parse_rate = {"value": value, "rows": 480, "came": came, "numbers": {"all": 480}}
    write_record(run.record_path("judgments", "1"), replace(record, checks={"parse_rate": parse_rate}))


def test_what_several_runs_lack_is_said_once(tmp_path: Path) -> None:
    runs = seeds(tmp_path, 5)
    for run in runs:
        run.record_path("checkpoints", "2").unlink()
    [missing] = [step for step in report(runs).next if step.startswith("Not there yet")]
    assert missing.startswith("Not there yet of seed_0, seed_1, seed_2 and 2 more: M2")
    assert missing.count("mr run") == 3 and missing.endswith("; ...")


def test_what_one_of_several_lacks_names_it(tmp_path: Path) -> None:
    runs = seeds(tmp_path, 2)
    runs[1].record_path("checkpoints", "2").unlink()
    [missing] = [step for step in report(runs).next if step.startswith("Not there yet")]
    assert missing.startswith("Not there yet of seed_1: M2")
    assert missing.endswith("mr run small_world_meta_rewarding --name seed_1 --set seed=1")


def test_a_check_of_several_runs_is_said_once_with_the_first_ones_figure(tmp_path: Path) -> None:
    runs = seeds(tmp_path, 3)
    found(runs[0], 0.8, "80%: 384 of 480")
    found(runs[1], 0.1, "10%: 48 of 480")
    found(runs[2], 0.7, "70%: 336 of 480")
    first, second, *_ = report(runs).next
    assert first.startswith("judgments of iteration 1 of seed_1 stops the run. Expected at least 90%")
    assert second.startswith("judgments of iteration 1 of seed_0 and seed_2 warns. In seed_0: Expected at least 90%")
    assert "came 80%" in second and "70%" not in second


def test_of_one_run_the_name_is_not_said(tmp_path: Path) -> None:
    run = a_run(tmp_path, "a")
    found(run, 0.8, "80%: 384 of 480")
    assert report([run]).next[0].startswith("judgments of iteration 1 warns. Expected at least 90%")
