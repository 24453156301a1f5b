"""Paths and small text files that a person writes: what is read, and what is told of what is not."""

import os
from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.text_files import given_path, is_file_or_folder, is_regular, read_text_file


@pytest.mark.parametrize("content", [b"a\nb\n", b"\xef\xbb\xbfa\nb\n", b"a\r\nb\r\n", b"a\rb\r"])
def test_marks_and_line_ends_are_no_text(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t").write_bytes(content)
    assert read_text_file(tmp_path / "t", "template") == "a\nb\n"


def test_the_limit_is_met_while_reading(tmp_path: Path) -> None:
    """A sparse file of a terabyte is refused as soon as more than the limit has come."""
    with open(tmp_path / "t", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match=r"template .* has more than 262,144 bytes"):
        read_text_file(tmp_path / "t", "template")


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, said in (
        (tmp_path, "it is a folder"),
        (tmp_path / "fifo", "it is no regular file"),
        (Path("/dev/zero"), "it is no regular file"),
        (tmp_path / "none", "No such file"),
        (tmp_path / ("x" * 300), "File name too long"),
        (Path("a\0"), "null"),
    ):
        with pytest.raises(UserError, match=rf"recipe .*cannot be read.*{said}"):
            read_text_file(path, "recipe")
        assert not is_regular(path)
        assert is_file_or_folder(path) == (path == tmp_path)


@pytest.mark.parametrize("text", ["~no_such_user/a", "a\0", "x" * 256, "x/" * 2048, "a\ud83d"])
def test_paths_that_no_file_can_have(text: str) -> None:
    with pytest.raises(UserError, match=r"prompts\.source = .*Name another path"):
        given_path(text, "prompts.source")


@pytest.mark.parametrize("text", ["[a]", "a b", "{x}%20", "größe*?", "x" * 255, "./..", "-"])
def test_paths_that_a_file_can_have(text: str) -> None:
    assert given_path(text, "prompts.source") == Path(text)
    assert given_path("~/" + text, "prompts.source") == Path.home() / text
