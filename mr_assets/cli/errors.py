"""How a command of `mr` ends that cannot go on: one message without a traceback, and its exit status."""

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import click

from mr_assets.cli.terminal import say
from mr_assets.errors import UserError
from mr_assets.printable import printable_lines


class Commands(click.Group):
    """Commands whose errors are messages that act on no terminal; Ctrl-C ends any of them with a line."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As click does; then the process ends at once: to free all that Dagster and vLLM hold takes Python seconds."""
        try:
            return super().__call__(*args, **kwargs)
        except SystemExit as end:
            atexit._run_exitfuncs()
            with suppress(OSError):  # whoever read it is gone
                sys.stdout.flush()
            os._exit(end.code if isinstance(end.code, int) else 0)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """As click does."""
        with _messages():
            return super().make_context(*args, **kwargs)

    def invoke(self, context: click.Context) -> Any:
        """As click does."""
        try:
            with _messages():
                return super().invoke(context)
        except KeyboardInterrupt:
            end_stopped()


def end_stopped(number: int = signal.SIGINT, goes_on: str = "") -> NoReturn:
    """End as a shell says that a signal ended a command, 130 after Ctrl-C, with a line on standard error."""
    say(f"stopped{goes_on}", err=True)
    raise SystemExit(128 + number) from None


@contextmanager
def _messages() -> Iterator[None]:
    """Make messages of what a user can mend, and spell out what would act on a terminal: names, paths, arguments."""
    from mr_assets.files import storage_trouble

    try:
        yield
    except click.ClickException as error:
        error.message = printable_lines(error.message)  # type: ignore[misc]
        raise
    except (click.exceptions.Exit, click.Abort):
        raise
    except UserError as error:
        raise click.ClickException(printable_lines(str(error))) from error
    except Exception as error:  # whatever it was that could not be written: Dagster's history, too
        if trouble := storage_trouble(error, database=_history()):
            raise click.ClickException(printable_lines(trouble)) from error
        raise


def _history() -> Path:
    """The folder of Dagster's history; imported late, as Dagster takes a second to load."""
    from mr_assets.orchestration.instance import home

    return home()
