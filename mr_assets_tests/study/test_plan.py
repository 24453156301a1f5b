"""What is to be run: seed by seed, without what has a result that holds; and that a command dies with the study."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from mr_assets.errors import UserError
from mr_assets.runs.code_versions import code_version
from mr_assets.runs.run import Run
from mr_assets.runs.stored import load_run
from mr_assets_tests.real_run import PROJECT, wait_for
from mr_assets_tests.study.__main__ import carried_out, made, minutes, mr, planned, said
from mr_assets_tests.study.arms import ARMS, Arm
from mr_assets_tests.study.results import MADE, Result, read, settings

TWO = [ARMS["meta"], ARMS["self"]]


def result(arm: Arm, seed: int, seconds: float = 60) -> Result:
    """A result as it would be made now."""
    code = {asset: code_version(asset) for asset in MADE}
    return Result(arm.name, seed, "2026-11-29", seconds, {}, {}, {"cpu": "EPYC"}, settings(arm.loaded(seed)), code)


def test_all_arms_of_a_seed_come_before_the_next_seed() -> None:
    found = planned({}, TWO, [201, 202], keep_earlier=False)
    assert [(each.seed, each.arm.name) for each in found] == [
        (201, "meta"),
        (201, "self"),
        (202, "meta"),
        (202, "self"),
    ]


def test_what_has_a_result_is_not_run_again() -> None:
    there = {("meta", 201): result(ARMS["meta"], 201)}
    assert [each.arm.name for each in planned(there, TWO, [201], keep_earlier=False)] == ["self"]


def test_a_result_of_other_settings_or_code_is_made_again_and_says_why() -> None:
    """Earlier code counts if a person says so, other settings never."""
    good = result(ARMS["meta"], 201)
    code = replace(good, code={**good.code, "judgments": "of then"})
    [again] = planned({("meta", 201): code}, TWO[:1], [201], keep_earlier=False)
    assert again.why == "code of judgments"
    assert planned({("meta", 201): code}, TWO[:1], [201], keep_earlier=True) == []
    other = replace(good, settings={**good.settings, "dpo.beta": 0.5})
    [again] = planned({("meta", 201): other}, TWO[:1], [201], keep_earlier=True)
    assert again.why == "dpo.beta"


def test_minutes_are_those_that_were_measured() -> None:
    """The median of 2, 4 and 9 minutes; of an arm without a result what it is said to take."""
    there = {("meta", seed): result(ARMS["meta"], seed, 60 * m) for seed, m in ((1, 2), (2, 4), (3, 9))}
    assert minutes(there, ARMS["meta"]) == 4
    assert minutes(there, ARMS["self"]) == ARMS["self"].minutes


def test_the_plan_says_what_and_how_long(tmp_path: Path) -> None:
    """8 + 5 minutes, twice."""
    words = said(planned({}, TWO, [201, 202], keep_earlier=False), TWO, [201, 202], tmp_path)
    assert f"2 arms, 2 seeds (201, 202); runs in {tmp_path}" in words
    assert "0 results are there, 4 are to be made: about 0 h 26 min." in words


def test_a_command_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mr run no_such_recipe ended with 1\. The same command goes on"):
        mr(tmp_path, "run", "no_such_recipe")


def test_an_arm_that_fails_keeps_no_other_waiting(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two arms the first fails; the second has its result, written at once."""

    def made(arm: Arm, seed: int, data: Path) -> Run:
        if arm.name == "meta":
            raise UserError("the engine died")
        return finished

    monkeypatch.setattr("mr_assets_tests.study.__main__.made", made)
    plan = planned({}, TWO, [201], keep_earlier=False)
    assert carried_out(plan, tmp_path / "data", tmp_path / "results") == ["meta_201"]
    assert list(read(tmp_path / "results")) == [("self", 201)]


def test_what_an_arm_shares_is_branched_and_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the arm that it shares three iterations with is there; else, and once it is branched, it is run alone."""
    said: list[list[str]] = []
    runs: dict[str, Run] = {}
    monkeypatch.setattr("mr_assets_tests.study.__main__.mr", lambda data, *arguments: said.append(list(arguments)))
    monkeypatch.setattr("mr_assets_tests.study.__main__.stored_runs", lambda data: runs)
    monkeypatch.setattr("mr_assets_tests.study.__main__.named_runs", lambda data, name: {name: None})
    monkeypatch.setattr("mr_assets_tests.study.__main__.state", lambda run, asset, at: "done")
    arm = ARMS["self_lc"]
    made(arm, 201, tmp_path)
    assert [each[0] for each in said] == ["run"]
    runs["self_201"] = load_run(arm.recipe, name="self_201", sets=ARMS["self"].sets_of(201), data=tmp_path)
    made(arm, 201, tmp_path)
    assert said[1] == [
        *("branch", "self_201", "--from", "4", "--name", "self_lc_201"),
        *("--set", "iterations.4.rho=0.1"),
    ]
    assert said[2] == said[0] and "seed=201" in said[0]
    runs["self_lc_201"] = runs["self_201"]
    made(arm, 201, tmp_path)
    assert [each[0] for each in said[3:]] == ["run"]


def test_an_arm_begins_with_what_the_first_one_of_its_seed_has_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same seed alone, and not before the first one is there."""
    first = load_run(ARMS["meta"].recipe, name="meta_201", sets=ARMS["meta"].sets_of(201), data=tmp_path)
    shared: list[tuple[Run, Run]] = []
    runs: dict[str, Run] = {}
    monkeypatch.setattr("mr_assets_tests.study.__main__.mr", lambda *_: None)
    monkeypatch.setattr("mr_assets_tests.study.__main__.share", lambda source, run: shared.append((source, run)))
    monkeypatch.setattr("mr_assets_tests.study.__main__.stored_runs", lambda data: runs)
    monkeypatch.setattr("mr_assets_tests.study.__main__.named_runs", lambda data, name: {name: None})
    made(ARMS["self"], 201, tmp_path)
    runs["meta_201"] = first
    made(ARMS["self"], 202, tmp_path)
    made(ARMS["meta"], 201, tmp_path)
    assert shared == []
    made(ARMS["self"], 201, tmp_path)
    [(source, run)] = shared
    assert source is first
    assert (run.name, run.recipe) == ("self_201", ARMS["self"].loaded(201))


@pytest.mark.slow
def test_a_command_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """By SIGKILL, too: here a study whose command is a server that would stay."""
    script = (
        "from pathlib import Path; from mr_assets_tests.study.__main__ import mr;"
        f"mr(Path({str(tmp_path)!r}), 'explore', '--port', '0')"
    )
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    study = subprocess.Popen([sys.executable, "-c", script], env=env, stdout=subprocess.DEVNULL)
    try:
        [command] = wait_for(lambda: psutil.Process(study.pid).children(), 60)
        wait_for(lambda: len(command.threads()) > 1, 60)
    finally:
        study.send_signal(signal.SIGKILL)
        study.wait()
    _, alive = psutil.wait_procs([command], timeout=60)
    assert not alive
