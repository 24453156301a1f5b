"""Where a step's output is kept, and that Ctrl-C does not reach the processes that mirror it."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from mr_assets.dagster_internals import ConfigurableClassData, LocalComputeLogManager
from mr_assets.orchestration.compute_logs import ComputeLogs

KEY = ["a run", "compute_logs", "responses"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def blocked() -> bool:
    """Whether this thread, and what it starts, is spared Ctrl-C."""
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def made(settings: str) -> LocalComputeLogManager:
    """As Dagster makes it of the section compute_logs of dagster.yaml."""
    named = ConfigurableClassData("mr_assets.orchestration.compute_logs", "ComputeLogs", settings)
    return named.rehydrate(as_type=LocalComputeLogManager)


def test_they_are_where_dagster_keeps_them_by_default(home: Path) -> None:
    """Without a word in dagster.yaml; what it says goes before."""
    assert made("{}").get_captured_local_path(KEY, "out") == str(home.joinpath("storage", *KEY)) + ".out"
    other = made(f"base_dir: {home}/other\npolling_timeout: 2.5\n")
    assert isinstance(other, ComputeLogs)
    assert other.get_captured_local_path(KEY, "err") == str(home.joinpath("other", *KEY)) + ".err"
    assert other.polling_timeout == 2.5


def test_what_mirrors_a_step_is_started_without_ctrl_c(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It inherits the mask of then; the step itself, and what comes after it, can be interrupted as before."""
    seen: list[tuple[str, Sequence[str], bool]] = []

    @contextmanager
    def helpers(self: ComputeLogs, log_key: Sequence[str]) -> Iterator[str]:
        seen.append(("started", log_key, blocked()))
        yield "captured"
        seen.append(("ended", log_key, blocked()))

    monkeypatch.setattr(LocalComputeLogManager, "capture_logs", helpers)
    with ComputeLogs(str(home)).capture_logs(KEY) as captured:
        assert str(captured) == "captured" and not blocked()
    assert seen == [("started", KEY, True), ("ended", KEY, False)]


def test_ctrl_c_works_again_where_they_cannot_be_started(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def helpers(self: ComputeLogs, log_key: Sequence[str]) -> Iterator[str]:
        raise OSError("no more processes")
        yield ""

    monkeypatch.setattr(LocalComputeLogManager, "capture_logs", helpers)
    with pytest.raises(OSError, match="no more processes"), ComputeLogs(str(home)).capture_logs(KEY):
        pass
    assert not blocked()


def test_a_mask_that_was_there_before_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def helpers(self: ComputeLogs, log_key: Sequence[str]) -> Iterator[str]:
        yield ""

    monkeypatch.setattr(LocalComputeLogManager, "capture_logs", helpers)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with ComputeLogs(str(home)).capture_logs(KEY):
            assert blocked()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
