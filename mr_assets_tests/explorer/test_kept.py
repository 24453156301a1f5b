"""What is kept is given again only while its files are the same; many who ask at a time are answered once."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from mr_assets.explorer import kept
from mr_assets.explorer.kept import Kept, Looks, Seen, Shared


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "SETTLED", -60)


@pytest.mark.usefixtures("settled")
def test_a_value_is_kept_until_a_file_is_another(tmp_path: Path) -> None:
    """Written, replaced by one of the same size and times, added, taken away: each is seen."""
    file, made, looks = tmp_path / "a" / "1.json", [], Looks()
    file.parent.mkdir()
    file.write_text("one")

    def make() -> int:
        made.append(1)
        return len(made)

    def asked(values: Kept[int]) -> int:
        return values.of("key", Seen.together(looks.at(tmp_path)), make)

    values: Kept[int] = Kept(10, lambda _: 1)
    assert (asked(values), asked(values)) == (1, 1)
    file.write_text("three")
    assert (asked(values), asked(values)) == (2, 2)
    times = file.stat()
    (tmp_path / "b").write_text("seven")
    os.utime(tmp_path / "b", ns=(times.st_atime_ns, times.st_mtime_ns))
    (tmp_path / "b").rename(file)
    assert (asked(values), asked(values)) == (3, 3)
    (tmp_path / "a" / "2.json").touch()
    assert (asked(values), asked(values)) == (4, 4)
    file.unlink()
    assert (asked(values), asked(values)) == (5, 5)
    file.parent.rename(tmp_path / "c")
    assert asked(values) == 6


@pytest.mark.usefixtures("settled")
def test_what_is_not_there_is_seen_when_it_comes_and_a_link_is_no_way(tmp_path: Path) -> None:
    """A link to a folder around it would never end. The time of a folder tells of a file with any name."""
    looks, there, comes = Looks(), tmp_path / "a", tmp_path / "b" / "recipe.yaml"
    there.mkdir()
    comes.parent.mkdir()
    (there / "around").symlink_to(tmp_path)
    (there / "nowhere").symlink_to(tmp_path / "c")
    first, absent = looks.at(there), looks.at(comes)
    assert looks.at(there) is first and looks.at(comes) is absent
    Path(os.fsdecode(os.fsencode(there) + b"/\xff")).write_text("")
    comes.write_text("seed: 0")
    assert looks.at(there) != first and looks.at(comes) != absent


def test_what_was_changed_just_now_is_not_kept(tmp_path: Path) -> None:
    """Within one tick of the clock a file can change without a trace."""
    (tmp_path / "file").write_text("one")
    values: Kept[int] = Kept(10, lambda _: 1)
    assert values.of("key", Seen.of(tmp_path), lambda: 1) == 1
    assert values.of("key", Seen.of(tmp_path), lambda: 2) == 2


@pytest.mark.usefixtures("settled")
def test_the_ones_asked_for_last_are_kept_up_to_a_size(tmp_path: Path) -> None:
    values: Kept[str] = Kept(5, len)
    seen = Seen.of(tmp_path)
    for key in ("aa", "bb", "aa", "cc"):
        values.of(key, seen, lambda key=key: key)  # type: ignore[misc]
    assert values.of("aa", seen, lambda: "new") == "aa"
    assert values.of("bb", seen, lambda: "new") == "new"
    assert values.of("long", seen, lambda: "longer than all") == "longer than all"


def test_who_asks_before_the_work_begins_shares_it_and_who_asks_later_gets_the_next() -> None:
    began, go_on, done = threading.Event(), threading.Event(), []

    def work() -> int:
        done.append(1)
        began.set()
        go_on.wait(10)
        return len(done)

    async def ask() -> list[int]:
        shared = Shared()
        first = asyncio.ensure_future(shared.do("key", work))
        while not began.is_set():
            await asyncio.sleep(0.01)
        later = [asyncio.ensure_future(shared.do("key", work)) for _ in range(5)]
        await asyncio.sleep(0.05)
        go_on.set()
        return list(await asyncio.gather(first, *later))

    assert asyncio.run(ask()) == [1, 2, 2, 2, 2, 2]
