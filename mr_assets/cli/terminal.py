"""What `mr` shows on a terminal: plain text that cannot act there, and tables that fit into it.

Titles, names, paths, reasons and the texts of models come from outside. All that is printed here is plain text: nothing
in it is markup, and each character that would act on a terminal is spelled out (`mr_assets.printable`).

A table that is too wide for the terminal is given less air, then becomes a few lines per row:

    pair 2.3f1c09aa72be.actor  score gap 2, length gap -14, trained on yes
      prompt: Write w s v k in upper case.
      chosen: W S V K
      rejected: You get: W S V K
"""

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from mr_assets.printable import as_json, printable_lines

if TYPE_CHECKING:  # rich takes a tenth of a second to load, and `mr trace` needs none of it
    from rich.console import Console, ConsoleOptions, Group, RenderableType
    from rich.text import Text

PIPED = 150  # characters of a line where it goes to a file or to another program
UNBROKEN = 24  # characters up to which a word is not broken: the ids of everything have fewer
WATCHED_SECONDS = 2.0
BRANCHES = re.compile("[ │]*(?:[├└]─ )?")
GOES_ON = str.maketrans("├└─", "│  ")


def console() -> "Console":
    """Standard output: as wide as the terminal, or `PIPED` where it is none."""
    from rich.console import Console

    found = Console(markup=False, emoji=False, highlight=False)
    return found if found.is_terminal else Console(width=PIPED, markup=False, emoji=False, highlight=False)


def width() -> int | None:
    """Of the terminal that standard output is; None if it is none, and then no line is wrapped."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() or os.environ.get("FORCE_COLOR") else None


def plain(text: str, style: str = "") -> "Text":
    """Text from anywhere, for rich: shown as it is, never obeyed."""
    from rich.text import Text

    return Text(printable_lines(text), style)


def say(text: str, *, err: bool = False, bold: bool = False, wrap: bool = False) -> None:
    """Print text from anywhere, line by line as it is, to standard output or standard error.

    wrap: break the lines of standard output at blanks, so that they fit the terminal.
    """
    lines = "\n".join(wrapped(text, width())) if wrap else printable_lines(text)
    click.secho(lines, err=err, bold=bold or None)


def say_json(value: Any) -> None:
    """JSON alone on standard output."""
    click.echo(as_json(value))


def mebibytes(count: int) -> str:
    """A number of bytes for a reader."""
    return f"{count / 2**20:,.1f} MiB"


def show(*parts: "RenderableType") -> None:
    """Print tables and texts to standard output; strings are wrapped at words."""
    where = console()
    for part in parts:
        where.print(Wrapped(part) if isinstance(part, str) else part, crop=False, soft_wrap=isinstance(part, str))


def watch(parts: "Callable[[], Sequence[RenderableType]]") -> None:
    """Show what `parts` gives, and again every few seconds in the same place, until Ctrl-C; then what was last there.

    Where standard output is no terminal, it is printed again whenever it changes.
    """
    from rich.live import Live

    last: Sequence[RenderableType] = ()
    where, printed = console(), ""
    with suppress(KeyboardInterrupt):
        if not where.is_terminal:
            while True:
                with where.capture() as captured:
                    where.print(_group(parts()), crop=False)
                if captured.get() != printed:
                    printed = captured.get()
                    click.echo(printed)
                time.sleep(WATCHED_SECONDS)
        with Live(console=where, screen=True, auto_refresh=False) as live:
            while True:
                last = parts()
                live.update(_group(last), refresh=True)
                time.sleep(WATCHED_SECONDS)
    show(*last)


def _group(parts: "Sequence[RenderableType]") -> "Group":
    from rich.console import Group

    return Group(*(Wrapped(part) if isinstance(part, str) else part for part in parts))


def wrapped(text: str, columns: int | None, indent: str = "", hanging: str = "  ") -> list[str]:
    """The lines of a text, broken at blanks alone; `indent` before each, and `hanging` before what continues one.

    A word that is wider than `columns` stays whole. Without `columns` nothing is broken. A continued line keeps the
    indentation of its first, and the bars of a tree ("├─ ") go on in it.
    """
    found = []
    for line in printable_lines(text).split("\n"):
        words = line.split(" ") if columns is not None else [line]
        own = indent + BRANCHES.match(line)[0].translate(GOES_ON)  # type: ignore[index]
        so_far = f"{indent}{words[0]}"
        for word in words[1:]:
            if columns is not None and so_far.strip() and cells_of(f"{so_far} {word}") > columns:
                found.append(so_far.rstrip())
                so_far = f"{own}{hanging}{word}"
            else:
                so_far += f" {word}"
        found.append(so_far.rstrip() if columns is not None else so_far)
    return found


def cells_of(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


@dataclass(frozen=True)
class Wrapped:
    """A text that is broken at blanks to fit the terminal."""

    text: str
    style: str = ""
    hanging: str = "  "

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Text]":
        """As rich asks for it."""
        from rich.text import Text

        columns = options.max_width if console.is_terminal else None
        yield Text(
            "\n".join(wrapped(self.text, columns, hanging=self.hanging)), self.style, no_wrap=True, overflow="ignore"
        )


@dataclass(frozen=True)
class Column:
    """A column of a table.

    number: its cells are to the right; text: its cells are broken at blanks, and below the others in a narrow terminal;
    least: characters that a text needs to be read. Cells of neither are names and ids, which stay whole.
    """

    title: str
    number: bool = False
    text: bool = False
    least: int = 1


@dataclass
class Table:
    """Rows of plain text under a title; the first column names the row. styles: of cells, by what they say."""

    title: str
    columns: Sequence[Column]
    rows: list[Sequence[str]] = field(default_factory=list)
    styles: Mapping[str, str] = field(default_factory=dict)

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return len(self.rows)

    def add(self, *cells: str) -> None:
        """Add a row."""
        self.rows.append(cells)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[RenderableType]":
        """As rich asks for it."""
        from rich.box import HEAVY_HEAD, SIMPLE_HEAD
        from rich.table import Table as RichTable

        if self.title:
            yield Wrapped(self.title, "bold")
        for box, between, edges, padding in ((HEAVY_HEAD, 3, 1, (0, 1)), (SIMPLE_HEAD, 2, 0, (0, 1, 0, 0))):
            widths = self._widths(options.max_width - between * len(self.columns) - edges)
            if widths is not None:
                table = RichTable(box=box, show_edge=bool(edges), padding=padding)
                for column, columns in zip(self.columns, widths, strict=True):
                    justify = "right" if column.number else "left"
                    table.add_column(plain(column.title), justify=justify, width=columns, overflow="fold")  # type: ignore[arg-type]
                for row in self.rows:
                    table.add_row(*(plain(cell, self.styles.get(cell, "")) for cell in row))
                yield table
                return
        for row in self.rows:
            yield from self._lines(row, options.max_width)

    def fits(self, columns: int) -> bool:
        """Whether it is a table in a terminal of so many columns."""
        return self._widths(columns - 2 * len(self.columns)) is not None

    def _widths(self, room: int) -> list[int] | None:
        """The width of each column, together no more than `room`; None if names and ids would be broken."""
        cells = [[printable_lines(row[i]) for row in self.rows] for i in range(len(self.columns))]
        least, most = [], []
        for column, found in zip(self.columns, cells, strict=True):
            lines = [cells_of(line) for cell in (column.title, *found) for line in cell.split("\n")]
            words = [min(UNBROKEN, cells_of(word)) for cell in found for word in cell.split()]
            title = max(map(cells_of, column.title.split()), default=1)
            most.append(max(lines))
            least.append(max(title, *words, min(column.least, most[-1])) if column.text else max(title, *lines[1:], 1))
        if sum(least) > room:
            return None
        widths = list(least)
        while sum(widths) < min(room, sum(most)):
            narrow = [i for i, (now, wish) in enumerate(zip(widths, most, strict=True)) if now < wish]
            widths[min(narrow, key=widths.__getitem__)] += 1
        return widths

    def _lines(self, row: Sequence[str], columns: int) -> "Iterator[Text]":
        """A row as lines: what names it, the short cells, then each text."""
        from rich.text import Text

        cells = [(c, cell) for c, cell in zip(self.columns[1:], row[1:], strict=True) if cell not in ("", "-")]
        name = printable_lines(f"{self.columns[0].title} {row[0]}")
        short = printable_lines(", ".join(f"{column.title} {cell}" for column, cell in cells if not column.text))
        beside = cells_of(name) + cells_of(short) + 2 <= columns
        yield Text(f"{name}  {short}".rstrip() if beside else name, "bold", no_wrap=True, overflow="ignore")
        for part in [short] * (not beside) + [f"{c.title}: {cell}" for c, cell in cells if c.text]:
            yield Text("\n".join(wrapped(part, columns, "  ")), no_wrap=True, overflow="ignore")
