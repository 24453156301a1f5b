"""`mr run` and `mr extend`: what is launched, and what a run that exists keeps."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, NoReturn

import click

from mr_assets.cli.errors import end_stopped
from mr_assets.cli.terminal import say
from mr_assets.errors import UserError
from mr_assets.runs.stored import save


def check_executor() -> None:
    """Raise `UserError` with what is missing for what MR_EXECUTOR names, before an object store is read."""
    if "MR_EXECUTOR" in os.environ:
        from mr_assets.definitions import executor

        executor()


@click.command()
@click.argument("recipe", required=False)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change a field of the recipe. Repeatable.")
@click.option("--name", help="Name of the run: its key prefix and data folder. Default: the recipe's name.")
@click.option(
    "--iterations", type=int, help="Number of iterations. Beyond the recipe's rows, the last row is repeated."
)
@click.option("--update", is_flag=True, help="If the run exists: replace its settings by those given now.")
@click.option("--as-recipe", is_flag=True, help="Undo what was overridden in the launchpad: the recipe's values again.")
@click.option("--dry-run", is_flag=True, help="Check the recipe and list every step. Nothing is run.")
def run(
    recipe: str | None,
    sets: tuple[str, ...],
    name: str | None,
    iterations: int | None,
    update: bool,
    as_recipe: bool,
    dry_run: bool,
) -> None:
    """Run RECIPE: a shipped name (see `mr recipes`) or a YAML file. Without one, list runs and recipes, and do nothing.

    Dagster materializes one iteration after the other and skips what is complete. A table of what was learnt comes at
    the end. After a stop, the same command goes on from there. What was overridden in the UI's launchpad stays
    overridden, and everything downstream is made of it.

    \b
    mr run small_world_self_rewarding
    mr run small_world_meta_rewarding --set beta=0.2 --name beta_02
    mr run small_world_meta_rewarding --set iterations.4.rho=0.4 --set seed=7 --name rho_04
    mr run small_world_meta_rewarding --set rho=0.3 --name rho_03      (in every iteration)
    mr run small_world_meta_rewarding --iterations 6        (two more iterations of a finished run)
    """
    from mr_assets.inputs.preflight import check_run
    from mr_assets.loop import titled
    from mr_assets.recipes.checks import warnings
    from mr_assets.runs.status import departed
    from mr_assets.runs.stored import load_run

    if recipe is None:
        _ask_for_recipe()
    check_executor()
    _refuse_run_as_recipe(recipe)
    loaded = load_run(recipe, name=name, sets=sets, iterations=iterations)
    stored = _stored(loaded)
    wanted = adopt(loaded, changed=bool(sets), update=update, extended=iterations is not None)
    wanted = replace(wanted, as_recipe=as_recipe)
    for warning in warnings(wanted.recipe):
        say(f"note: {warning}", err=True)
    for note in check_run(wanted, dry=dry_run):
        say(f"note: {note}", err=True)
    for place, overridden in departed(wanted).items():
        say(f"note: {titled(*place)} stays overridden: {'; '.join(overridden)} (--as-recipe goes back).", err=True)

    from mr_assets.cli.report import print_report

    if dry_run:
        say("\n".join(_planned(wanted)))
        return
    with stoppable():
        did = _run_steps(wanted, stored)
    if not did:
        say(f"{wanted.name}: everything is complete; nothing was computed.")
    print_report(wanted)


def _ask_for_recipe() -> NoReturn:
    """Show what there is to run, run nothing, and end with the status of wrong usage."""
    from mr_assets.orchestration.steps import steps
    from mr_assets.recipes.load import list_recipes, load_recipe
    from mr_assets.runs.data_folder import data_root
    from mr_assets.runs.status import command, state
    from mr_assets.runs.stored import stored_runs

    say("Name a recipe: mr run RECIPE. Nothing was run.\n\nRuns (each with the command that goes on with it):")
    runs = stored_runs(data_root())
    for each in runs.values():
        try:
            first = next(steps(each), None)
            going_on = "complete" if first is None else f"next: {first.title}"
        except UserError as error:
            going_on = str(error).partition("\n")[0]
        done = sum(state(each, "checkpoints", t) == "done" for t in each.iterations)
        say(f"  {each.name}: {done} of {len(each.iterations)} iterations, {going_on}\n      {command(each)}")
    say("\n".join([*([] if runs else ["  none yet"]), "\nRecipes:"]))
    for name in list_recipes():
        say(f"  {name:38} {load_recipe(name).title}")
    raise SystemExit(2)


def _refuse_run_as_recipe(recipe: str) -> None:
    """Raise `UserError` with the right command if a run is named in the place of a recipe."""
    from mr_assets.recipes.yaml_files import find_recipe, shipped
    from mr_assets.runs.data_folder import data_root
    from mr_assets.runs.status import command
    from mr_assets.runs.stored import stored_runs

    if recipe not in shipped() and (stored := stored_runs(data_root()).get(recipe)):
        with suppress(UserError):
            find_recipe(recipe)  # a file of that name, here
            return
        raise UserError(f"{recipe} is a run, not a recipe. To go on with it: {command(stored)}")


def _planned(wanted: Any) -> Iterator[str]:
    """Every step that a run would do, and which of its artifacts."""
    from mr_assets.orchestration.steps import plan

    planned = plan(wanted)
    first = planned[0][0].title if planned else ""
    yield f"{wanted.name}: {f'would begin with {first}' if planned else 'nothing to do'}"
    for number, (step, certain) in enumerate(planned, start=1):
        where = f" [{step.partition}]" if step.partition else ""
        doubt = "" if certain else " (only if something upstream changes)"
        yield f"{number:3}. {step.title}{doubt}: {', '.join(asset + where for asset in step.assets)}"


def _stored(wanted: Any) -> Any:
    """The run of that name as it is stored now; None if there is none."""
    from mr_assets.runs.stored import stored_runs

    return stored_runs(wanted.data).get(wanted.name)


def adopt(wanted: Any, *, changed: bool, update: bool, extended: bool) -> Any:
    """The run to launch: what was launched before under that name, unless `update` takes the new settings.

    Raises `UserError` if settings given now contradict those of a run that exists.
    """
    from mr_assets.recipes.differences import differences

    stored = _stored(wanted)
    if stored is None and (wanted.folder / "recipe.yaml").exists() and not update:
        raise UserError(
            f"run {wanted.name} exists, but its {wanted.folder / 'recipe.yaml'} cannot be read any more. "
            "Give this one another --name, or put this recipe in its place with --update."
        )
    if stored is None or update:
        return wanted
    rows, target = len(stored.recipe.iterations), len(wanted.recipe.iterations)
    if extended and target < rows:
        say(f"note: run {wanted.name} has {rows} iterations, and keeps them.", err=True)
    kept = stored.with_iterations(max(rows, target) if extended else rows)
    both = [(*each.recipe.iterations, *each.rows_to_come) for each in (kept, wanted)]
    common = min(map(len, both))
    whole = [
        each.recipe.model_copy(update={"iterations": all_rows[:common]})
        for each, all_rows in zip((kept, wanted), both, strict=True)
    ]
    drift = differences(*whole)
    if drift and changed:
        lines = "\n".join(f"  {d.path}: launched with {d.old}, now {d.new}" for d in drift)
        raise UserError(
            f"run {wanted.name} exists with other settings:\n{lines}\n"
            "Give the changed one a name of its own (--name), or let this run take them over (--update)."
        )
    for d in drift:
        say(f"note: the recipe file now has {d.path} = {d.new}; this run goes on with {d.old}.", err=True)
    return kept


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, with its own status. What failed after a signal was stopped by it.

    Dagster's handlers do not say which signal came; Python writes their numbers into a pipe, whoever handles them.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    pipe, handler = signal.set_wakeup_fd(writing), signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except (KeyboardInterrupt, UserError) as error:
        os.write(writing, b"\0")  # so that there is something to read
        number = next((n for n in os.read(reading, 4096) if n in (signal.SIGINT, signal.SIGTERM)), None)
        if number is None and isinstance(error, UserError):
            raise
        end_stopped(number or signal.SIGINT, "; the same command goes on")
    finally:
        signal.signal(signal.SIGTERM, handler)
        signal.set_wakeup_fd(pipe)
        os.close(reading)
        os.close(writing)


@contextmanager
def _run_lock(wanted: Any, stored: Any) -> Iterator[Any]:
    """Nobody else works on a run, and it is still the one that was `stored`; the Dagster instance. Else `UserError`."""
    from mr_assets.runs.data_folder import hand_on

    hand_on(wanted.data)
    from mr_assets.orchestration.history import refuse_if_busy
    from mr_assets.orchestration.instance import instance
    from mr_assets.orchestration.lock import run_lock
    from mr_assets.orchestration.run_launcher import fail_dead_runs

    with run_lock(wanted.folder, f"run {wanted.name}", wait=False) as former, instance() as dagster:
        fail_dead_runs(dagster, former)
        refuse_if_busy(wanted.name, dagster)
        if _stored(wanted) != stored:
            raise UserError(
                f"run {wanted.name} was changed by another command meanwhile. Look at it (mr status), then start again."
            )
        yield dagster


def _run_steps(wanted: Any, stored: Any) -> bool:
    """Launch what is to do; whether there was anything. Before that nothing is written.

    What is predicted is kept before the first step of a launch; not where nothing is to do, as it would come too late.
    """
    from mr_assets.inputs.run_plan import keep_prediction
    from mr_assets.orchestration.history import refuse_if_busy
    from mr_assets.orchestration.lock import run_lock
    from mr_assets.orchestration.steps import launch, steps
    from mr_assets.planning.disk import said_of_removed
    from mr_assets.planning.prediction import read_prediction
    from mr_assets.runs.pruning import prune

    began, did = time.monotonic(), False
    with _run_lock(wanted, stored) as dagster:
        predicts = save(wanted) or read_prediction(wanted) is None
        for step in steps(wanted):
            if predicts and not did:
                keep_prediction(wanted)
            did = True
            say(f"{wanted.name}, {step.title}: {', '.join(step.assets)}", bold=True, err=True)
            if step.partition is None:
                shared = f"the one-off assets of family {wanted.family}"
                with run_lock(wanted.data / wanted.family, shared, wait=True):
                    refuse_if_busy(wanted.family, dagster)
                    still = next(steps(wanted), None)  # another run may have made them meanwhile
                    if still is not None and still.partition is None:
                        launch(wanted, still, dagster)
            else:
                launch(wanted, step, dagster)
        for line in said_of_removed(prune(wanted)):
            say(line, err=True)
    if did:
        minutes, seconds = divmod(time.monotonic() - began, 60)
        say(f"{wanted.name}: done in {minutes:.0f} min {seconds:.0f} s", bold=True, err=True)
    return did


@click.command()
@click.argument("name", metavar="RUN")
@click.argument("iterations", type=int)
def extend(name: str, iterations: int) -> None:
    """Give RUN more iterations, ITERATIONS in all. They are made later: in the UI, by its sensor, or by `mr run`.

    New iterations have the rows that the recipe had at the launch. Beyond these, the last row is repeated. Nothing is
    computed now. The UI shows them after *Reload definitions* (Deployment > Code locations).

    \b
    mr extend small_world_meta_rewarding 6
    """
    from mr_assets.inputs.preflight import check_run
    from mr_assets.inputs.run_plan import keep_prediction
    from mr_assets.runs.data_folder import data_root
    from mr_assets.runs.status import command
    from mr_assets.runs.stored import all_runs

    known = {run.name: run for run in all_runs(data_root())}
    if name not in known:
        raise UserError(f"there is no run {name!r}. Runs: {', '.join(known)}.")
    run = known[name]
    if iterations <= (now := len(run.iterations)):
        raise UserError(f"run {name} has {now} iterations; name a larger number, {now + 2} for example.")
    stored, longer = _stored(run), run.with_iterations(iterations)
    for note in check_run(longer):
        say(f"note: {note}", err=True)
    with _run_lock(longer, stored):
        save(longer)
        keep_prediction(longer)
    say(
        f"{name} has {iterations} iterations now; {now + 1} to {iterations} are to be made.\n"
        "In the UI: Deployment > Code locations > Reload definitions; then materialize, backfill, or let the sensor "
        f"{name}_hands_off go on.\nIn the terminal: {command(longer)}"
    )


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--from", "first", type=int, required=True, help="The first iteration that is not shared.")
@click.option("--name", "branched", required=True, help="Name of the new run.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a field of the recipe, from that iteration on. Repeatable.",
)
def branch(name: str, first: int, branched: str, sets: tuple[str, ...]) -> None:
    """Begin a new run where RUN stands before an iteration, for example to try other settings in the last one.

    Everything before that iteration is shared: the same files, nothing is computed or copied. Either run can be
    removed.

    \b
    mr branch small_world_meta_rewarding --from 4 --name no_length_control --set rho=0
    mr run small_world_meta_rewarding --name no_length_control --set iterations.4.rho=0.0     (as it then says)
    """
    from mr_assets.inputs.preflight import check_run
    from mr_assets.orchestration.history import tell_shared
    from mr_assets.runs.branch import branch, shared
    from mr_assets.runs.data_folder import data_root
    from mr_assets.runs.status import command
    from mr_assets.runs.stored import named_runs, remove_run

    source = named_runs(data_root(), name)[name]
    new = branch(source, branched, first, sets)
    try:
        for note in check_run(new):
            say(f"note: {note}", err=True)
        with _run_lock(new, new) as dagster:
            tell_shared(new, shared(new, first), name, dagster)
    except BaseException:
        remove_run(new)
        raise
    say(
        f"{branched} shares the iterations before {first} with {name}; from {first} on they are to be made.\n"
        f"In the terminal: {command(new)}\n"
        "In the UI: Deployment > Code locations > Reload definitions; then materialize or backfill."
    )
