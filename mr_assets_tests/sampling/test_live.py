"""A process has one engine at a time, in it or in processes of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mr_assets.sampling import live
from mr_assets.sampling.live import close_engine, is_open, open_engine
from mr_assets_tests.sampling.fake import engine_settings


class Opened:
    """Stands where the engine would be; remembers the policies of those that were ended."""

    ended: ClassVar[list[Any]] = []

    def __init__(self, *key: Any, log: Path | None) -> None:
        self.key = key
        self.in_flight = 0
        self.closed = False

    def close(self) -> None:
        self.ended.append(self.key[1])
        self.closed = True


class Elsewhere(Opened):
    """Stands where engines in processes of their own would be."""


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The policies of the engines that were ended."""
    close_engine()
    monkeypatch.setattr(live, "VLLMSampler", Opened)
    monkeypatch.setattr(live, "Replicas", Elsewhere)
    monkeypatch.setattr(live, "samples_on_cpu", lambda: True)
    monkeypatch.setattr(Opened, "ended", [])
    yield Opened.ended
    close_engine()


def test_one_engine_lives_and_is_used_again(ended: list[Any], tmp_path: Path) -> None:
    """The same policy and settings give the same engine; anything else closes it and starts another."""
    first = open_engine(tmp_path, "M0", engine_settings())
    assert open_engine(str(tmp_path), "M0", engine_settings()) is first
    assert open_engine(tmp_path, "M1", engine_settings()) is not first
    open_engine(tmp_path, "M1", engine_settings(dtype="float32"))
    assert ended == ["M0", "M1"]
    close_engine()
    close_engine()
    assert ended == ["M0", "M1", "M1"]


def test_an_engine_with_requests_left_in_it_is_not_used_again(ended: list[Any], tmp_path: Path) -> None:
    """Their completions would come out among the next asset's."""
    first = open_engine(tmp_path, "M0", engine_settings())
    first.in_flight = 1  # type: ignore[misc]
    assert open_engine(tmp_path, "M0", engine_settings()) is not first


def test_an_engine_that_was_closed_is_not_used_again(ended: list[Any], tmp_path: Path) -> None:
    """A stage that failed closes it."""
    first = open_engine(tmp_path, "M0", engine_settings())
    assert is_open(tmp_path, "M0") and not is_open(tmp_path, "M1")
    first.close()
    assert not is_open(tmp_path, "M0")
    assert open_engine(tmp_path, "M0", engine_settings()) is not first


def test_where_the_log_is_makes_no_other_engine(ended: list[Any], tmp_path: Path) -> None:
    first = open_engine(tmp_path, "M0", engine_settings(), log=tmp_path / "a.log")
    assert open_engine(tmp_path, "M0", engine_settings(), log=tmp_path / "b.log") is first


@pytest.mark.parametrize(
    ("cpu", "said", "elsewhere"),
    [
        (True, {}, False),
        (False, {}, True),
        (True, {"replicas": 2}, True),
        (True, {"own_process": True}, True),
        (False, {"own_process": False}, False),
    ],
)
def test_an_engine_has_a_process_of_its_own_on_cuda_and_where_there_are_several(
    ended: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpu: bool, said: dict[str, Any], elsewhere: bool
) -> None:
    """Or as the recipe says."""
    monkeypatch.setattr(live, "samples_on_cpu", lambda: cpu)
    assert isinstance(open_engine(tmp_path, "M0", engine_settings(**said)), Elsewhere) == elsewhere
