"""What is shown on a terminal: tables that fit, ids that stay whole, text that never acts."""

import io
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mr_assets.cli.terminal import Column, Table, Wrapped, cells_of, plain, wrapped
from mr_assets.recipes.load import list_recipes
from mr_assets.runs.run import Run
from mr_assets.runs.status import places
from mr_assets.runs.stored import save
from mr_assets_tests.cli.conftest import Mr, said
from mr_assets_tests.test_printable import HOSTILE
from mr_assets_tests.tiny import NAME, complete

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")  # rich's own colours
PAIR = "2.3f1c09aa72be.actor"
LONG = "a_run_whose_name_has_as_many_characters_as_a_name_may_have_x"
MARKUP = "[red]no[/] [/] [link=file:///]x[/link] [bold"


def printed(part: object, columns: int) -> list[str]:
    """The lines of something on a terminal of so many columns, without rich's colours."""
    file = io.StringIO()
    Console(file=file, force_terminal=True, width=columns, markup=False).print(part, crop=False)
    return ESCAPE.sub("", file.getvalue()).splitlines()


def pairs_table(*names: str) -> Table:
    numbers = [Column(title, number=True) for title in ("score gap", "length gap")]
    table = Table("pairs", [Column("pair"), *numbers, *(Column(t, text=True, least=18) for t in ("prompt", "chosen"))])
    for name in names:
        table.add(name, "1.25", "-14", "Write w s v k in upper case and back again.", "W S V K")
    return table


@pytest.mark.parametrize("columns", [200, 150, 100, 80, 60, 40, 20])
def test_names_and_ids_are_whole_in_any_width(columns: int) -> None:
    """As a table or as lines; a line is longer than the terminal only where a name alone is."""
    names = [PAIR, f"{LONG}/{PAIR}"]
    lines = printed(pairs_table(*names), columns)
    for name in names:
        assert sum(name in line.split() for line in lines) == 1
    for line in lines:
        assert cells_of(line.rstrip()) <= columns or any(len(word) > columns - 10 for word in line.split())
    said = " ".join(lines)
    for part in ("1.25", "-14", "Write", "again."):
        assert part in said


def test_a_narrow_terminal_has_lines_in_place_of_a_row() -> None:
    texts = ["  prompt: Write w s v k in upper case and back again.", "  chosen: W S V K"]
    numbers = "score gap 1.25, length gap -14"
    assert printed(pairs_table(PAIR), 60) == ["pairs", f"pair {PAIR}  {numbers}", *texts]
    assert printed(pairs_table(PAIR), 55) == ["pairs", f"pair {PAIR}", f"  {numbers}", *texts]
    assert any("│" in line and PAIR in line for line in printed(pairs_table(PAIR), 150))


@pytest.mark.parametrize("columns", [150, 80, 40])
@pytest.mark.parametrize("text", [*HOSTILE, MARKUP])
def test_text_from_outside_does_not_act(text: str, columns: int) -> None:
    """In a title, a name, a cell, a line: spelled out, and nothing of it is markup."""
    table = Table(text, [Column(text), Column("what", text=True)])
    table.add(text, text)
    for part in (table, Wrapped(text), plain(text)):
        lines = printed(part, columns)
        assert all(line.isprintable() for line in lines)
        assert "".join(HOSTILE.get(text, text).split()) in "".join("".join(lines).replace("│", "").split())


@given(st.text(), st.one_of(st.none(), st.integers(1, 100)))
def test_wrapped_text_loses_no_word(text: str, columns: int | None) -> None:
    """Words come in their order, whole; only one that is wider than the terminal is longer than its line."""
    lines = wrapped(text, columns)
    assert all(line.isprintable() for line in lines)
    assert [word for line in lines for word in line.split(" ") if word.strip("│├└─")] == [
        word for line in wrapped(text, None) for word in line.split(" ") if word.strip("│├└─")
    ]
    if columns is not None:
        for line in lines:
            assert cells_of(line) <= columns or len(line.split()) <= 1


def test_a_continued_line_is_indented() -> None:
    assert wrapped("  one two three", 10) == ["  one two", "    three"]
    assert wrapped("one two three", 9, "  ") == ["  one two", "    three"]
    assert wrapped("one two", None) == ["one two"]
    assert wrapped("│  ├─ one two", 10) == ["│  ├─ one", "│  │    two"]
    assert wrapped("   └─ one two", 10) == ["   └─ one", "        two"]


@pytest.mark.parametrize("columns", [80, 60])
def test_status_report_and_runs_fit_a_terminal(
    mr: Mr, done: Run, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line is wider, and what one copies is whole."""
    for variable, value in (("FORCE_COLOR", "1"), ("COLUMNS", str(columns)), ("TERM", "xterm")):
        monkeypatch.setenv(variable, value)
    name = "a_name_of_as_many_letters_as_one_gives_runs"
    long = replace(done, name=name)
    save(long)
    for asset, partition in places(long):
        complete(long, asset, partition)
    commands = [["status", name], ["report", name], ["runs"], ["recipes"], ["recipes", NAME]]
    for command in commands:
        shown = ESCAPE.sub("", said(mr(*command)))
        for line in shown.split("\n"):
            assert len(line) <= columns or str(done.data) in line, line
        wanted = {"recipes": list_recipes() if len(command) == 1 else [NAME, "dpo.beta"]}.get(command[0], [name])
        for word in wanted:
            assert re.search(rf"\b{word}\b", shown), shown
