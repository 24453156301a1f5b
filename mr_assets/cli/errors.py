"""How a command of `mr` ends that cannot go on: one message without a traceback, and its exit status."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from mr_assets.cli.terminal import say
from mr_assets.errors import UserError
from mr_assets.printable import printable_lines

STOPPED = 130  # as a shell says that Ctrl-C ended a command


class Commands(click.Group):
    """Commands whose errors are messages that act on no terminal; Ctrl-C ends any of them with a line."""

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
            goes_on = "; the same command goes on" if context.invoked_subcommand == "run" else ""
            say(f"stopped{goes_on}", err=True)
            raise SystemExit(STOPPED) from None


@contextmanager
def _messages() -> Iterator[None]:
    """Make messages of what a user can mend, and spell out what would act on a terminal: names, paths, arguments."""
    from mr_assets.files import storage_trouble

    try:
        yield
    except click.ClickException as error:
        error.message = printable_lines(error.message)  # type: ignore[misc]
        raise
    except UserError as error:
        raise click.ClickException(printable_lines(str(error))) from error
    except Exception as error:  # whatever it was that could not be written: Dagster's history, too
        if trouble := storage_trouble(error):
            raise click.ClickException(printable_lines(trouble)) from error
        raise
