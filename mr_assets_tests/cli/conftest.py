"""The command `mr` in a data folder of its own, in this process; and runs that are there, complete or nearly so."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mr_assets.cli.main import main
from mr_assets.loop import LOOP
from mr_assets.runs.run import Run
from mr_assets.runs.status import places
from mr_assets.runs.stored import save
from mr_assets_tests.tiny import SMALL, complete, files, tiny_run

Mr = Callable[..., Result]
Refused = Callable[..., str]
SETS = [part for text in SMALL for part in ("--set", text)]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of the commands under test."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("MR_DATA", str(folder))
    monkeypatch.setenv("DAGSTER_HOME", "")
    return folder


@pytest.fixture
def mr(data: Path) -> Mr:
    return lambda *arguments, answer=None: CliRunner().invoke(main, [str(a) for a in arguments], input=answer)


@pytest.fixture
def refused(mr: Mr, data: Path) -> Refused:
    """What a command says that fails as it should: a message, no traceback, nothing written."""

    def invoke(*arguments: object) -> str:
        before = files(data)
        result = mr(*arguments)
        assert result.exit_code not in (0, None), result.output
        assert isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        assert files(data) == before
        return " ".join(result.output.split())

    return invoke


@pytest.fixture
def dagster_home(data: Path, fresh_home: Path) -> Path:
    """A Dagster home in the data folder, in which nothing has run."""
    return shutil.copytree(fresh_home, data / ".dagster")


@pytest.fixture
def launched(data: Path, dagster_home: Path) -> Run:
    """A run that is complete but for the last model."""
    run = tiny_run(data)
    save(run)
    for asset in run.loop.per("family"):
        complete(run, asset)
    for model in ("seed", "0"):
        complete(run, "evaluation", model)
    for t in run.iterations:
        for asset in LOOP.per("iteration"):
            if (asset, t) != ("checkpoints", "2"):
                complete(run, asset, t)
    return run


@pytest.fixture
def done(data: Path, dagster_home: Path) -> Run:
    """A run of which everything has its record; its tables have no rows."""
    run = tiny_run(data)
    save(run)
    for asset, partition in places(run):
        complete(run, asset, partition)
    return run


def worked(result: Result) -> str:
    """All that a command said that worked."""
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def said(result: Result) -> str:
    """What a command that worked wrote to standard output."""
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def as_json(result: Result) -> Any:
    """What is on standard output, which is JSON by the letter and nothing else."""
    return json.loads(said(result), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
