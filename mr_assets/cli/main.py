"""The command `mr`: run a recipe, see what is done, ask where a row comes from, open the UI."""

import logging
import multiprocessing
import signal

import click

from mr_assets.cli.alpaca_eval import alpaca_eval
from mr_assets.cli.arena_hard import arena_hard
from mr_assets.cli.benchmark import benchmark
from mr_assets.cli.cluster import cluster
from mr_assets.cli.errors import Commands
from mr_assets.cli.export import export
from mr_assets.cli.lineage import compare, pairs, trace, verify
from mr_assets.cli.mt_bench import mt_bench
from mr_assets.cli.new import new
from mr_assets.cli.pilot import pilot
from mr_assets.cli.plan import plan
from mr_assets.cli.run import branch, extend, run
from mr_assets.cli.runs import recipes, report, runs, status
from mr_assets.cli.spotcheck import spotcheck
from mr_assets.cli.terminal import say
from mr_assets.cli.ui import explore, ui


class _Said(logging.Handler):
    """What modules log, on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """As logging does."""
        say(record.getMessage(), err=True)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="mr_assets")
def main() -> None:
    """Meta-Rewarding language models (Wu et al. 2024) as a Dagster project.

    A model answers prompts, judges its own answers, compares its own judgments, and is trained on what it prefers; four
    times over. Every artifact is a Dagster asset with the iteration as its partition key.

    \b
    mr run small_world_meta_rewarding     four iterations on a laptop, in minutes
    mr ui                                 the same artifacts in the Dagster UI
    mr status                             what is done, stale or missing

    Runs are written to the project's data folder, or to the folder that MR_DATA names.
    """
    log = logging.getLogger("mr_assets")
    log.handlers = log.handlers or [_Said()]


if multiprocessing.parent_process() is not None:  # a step of Dagster's multiprocess executor, which tells it to stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

_COMMANDS = (
    run,
    extend,
    branch,
    new,
    pilot,
    plan,
    status,
    report,
    compare,
    trace,
    pairs,
    verify,
    spotcheck,
    export,
    benchmark,
    alpaca_eval,
    arena_hard,
    mt_bench,
    recipes,
    runs,
    explore,
    ui,
    cluster,
)
for _command in _COMMANDS:
    main.add_command(_command)
