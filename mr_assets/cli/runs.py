"""What there is: `mr status`, `mr report`, `mr recipes`, `mr runs`, and `mr runs remove`."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import click

from mr_assets.cli.terminal import say, say_json
from mr_assets.errors import UserError
from mr_assets.printable import printable


@click.command()
@click.argument("name", required=False)
@click.option("--watch", "watched", is_flag=True, help="Show it again whenever it changes, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for programs.")
def status(name: str | None, watched: bool, as_json: bool) -> None:
    """Show what is done, running, failed, stale or missing, per run and iteration, and the disk space in use.

    For what is running: how far it is, the rate, and the time left. For what failed or was interrupted: in which
    Dagster run, when and why.
    """
    from mr_assets.cli.status import statuses
    from mr_assets.cli.terminal import show, watch
    from mr_assets.runs.data_folder import data_root
    from mr_assets.runs.stored import named_runs, stored_runs

    runs = named_runs(data_root(), name) if name is not None else stored_runs(data_root())
    wanted = [runs[name]] if name else list(runs.values())
    if as_json and watched:
        raise UserError("--json and --watch do not go together: leave one out.")
    if as_json:
        found = [each.as_json() for each in statuses(wanted)] if wanted else []
        say_json(found[0] if name else found)
        return
    if not runs:
        say("No run yet. Start one: mr run small_world_meta_rewarding")
        return
    if watched:
        watch(lambda: [part for each in statuses(wanted) for part in each.parts(watched=True)])
    else:
        show(*(part for each in statuses(wanted) for part in each.parts()))


@click.command()
@click.argument("names", metavar="RUN...", nargs=-1, required=True)
@click.option("--out", metavar="DIR", help="Write the pages there; else into the folder of the run named first.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for programs; of several runs a list.")
def report(names: tuple[str, ...], out: str | None, as_json: bool) -> None:
    """Show what a run has learnt, the pairs that were made and dropped, its figures, and the time per stage.

    The figures need no truth: scores, their reliability, lengths, parse rates, biases, gaps, losses and margins, per
    iteration. Of several runs they stand below each other. What is stale is marked: for example the scores of a
    model that was trained again since.

    All of it, with intervals, curves, pairs to read and what to do next, is written as report.html, a page that stands
    alone, and as report.md: in the folder of the first run if that can be written, or where --out says. Runs that
    differ in their seeds alone are told together. With --json nothing is written.

    \b
    mr report small_world_meta_rewarding
    mr report small_world_meta_rewarding small_world_self_rewarding
    """
    from mr_assets.cli.report import print_report, print_reports, report_as_json
    from mr_assets.runs.data_folder import data_root
    from mr_assets.runs.stored import named_runs
    from mr_assets.text_files import given_path

    known = named_runs(data_root(), *names)
    runs = [known[name] for name in dict.fromkeys(names)]
    if as_json:
        found = [report_as_json(run) for run in runs]
        say_json(found[0] if len(runs) == 1 else found)
        return
    if len(runs) == 1:
        print_report(runs[0])
    else:
        print_reports(runs)
    from mr_assets.report.page import write

    try:
        for path in write(runs, given_path(out, "--out") if out else None):
            say(f"Wrote {path}")
    except UserError as error:
        if out:
            raise
        say(f"note: the page is not written: {error} --out names another folder.", err=True)


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def recipes(name: str | None, as_json: bool) -> None:
    """List the shipped recipes. With NAME, a recipe or a YAML file: every key with its value, range and meaning.

    A key is what --set takes. The star in a key of the iterations stands for the number of a row, or for all.

    \b
    mr recipes small_world_meta_rewarding
    """
    from mr_assets.cli.report import print_recipe, recipe_as_json
    from mr_assets.recipes.load import list_recipes, load_recipe
    from mr_assets.runs.data_folder import data_root
    from mr_assets.runs.judge_prompts import judge_prompts

    if name is not None:
        recipe = load_recipe(name)
        prompts = judge_prompts(recipe, data_root())
        if as_json:
            say_json(recipe_as_json(name, recipe, prompts))
        else:
            print_recipe(name, recipe, prompts)
        return
    known = {each: load_recipe(each).title for each in list_recipes()}
    if as_json:
        say_json([{"recipe": each, "title": title} for each, title in known.items()])
        return
    for each, title in known.items():
        say(f"{each:{max(map(len, known))}} {title}", wrap=True)


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@click.pass_context
def runs(context: click.Context, as_json: bool) -> None:
    """List runs, or remove one: mr runs remove NAME.

    An iteration is complete when its model is there and is not stale.
    """
    if context.invoked_subcommand is None:
        from mr_assets.cli.report import print_runs, runs_as_json
        from mr_assets.runs.data_folder import data_root
        from mr_assets.runs.stored import stored_runs

        known = list(stored_runs(data_root()).values())
        if as_json:
            say_json(runs_as_json(known))
        else:
            print_runs(known)


@runs.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Remove the run NAME: its tables and checkpoints. What it shares with its family stays."""
    from mr_assets.runs.data_folder import data_root
    from mr_assets.runs.stored import named_runs, remove_run

    known = named_runs(data_root(), name)
    if not yes:
        click.confirm(printable(f"Remove {known[name].folder} and everything in it?"), abort=True)
    with _unused(known[name]):
        remove_run(known[name])
    say(f"Removed {name}.")


@contextmanager
def _unused(run: Any) -> Iterator[None]:
    """Nobody works on a run, in the terminal or in the UI; else `UserError`. Through a link, nothing is written.

    Where Dagster has no home yet, none is made: it has nothing under way.
    """
    from mr_assets.runs.data_folder import hand_on

    hand_on(run.data)
    from mr_assets.orchestration.history import refuse_if_busy
    from mr_assets.orchestration.instance import has_history, instance
    from mr_assets.orchestration.lock import holder_of, run_lock
    from mr_assets.orchestration.run_launcher import fail_dead_runs

    what = f"run {run.name}"
    if run.folder.is_symlink() and (holder := holder_of(run.folder)):
        raise UserError(f"{what} is being run by {holder}. Wait for it, or end it, then start again.")
    with nullcontext() if run.folder.is_symlink() else run_lock(run.folder, what, wait=False):
        if has_history():
            with instance() as dagster:
                fail_dead_runs(dagster)
                refuse_if_busy(run.name, dagster)
        yield
