"""The command `mr`: run a recipe, see what is done, list and remove runs, open the UI."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import wraps
from typing import Any, NoReturn

import click

from mr_assets.cli.terminal import say
from mr_assets.errors import UserError
from mr_assets.printable import as_json as as_json_text
from mr_assets.printable import printable, printable_lines

STOPPED = 130  # as a shell says that Ctrl-C ended a command


def says_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Show the user's errors as a message, without a traceback."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from mr_assets.files import storage_trouble

        try:
            return command(*args, **kwargs)
        except UserError as error:
            raise click.ClickException(str(error)) from error
        except Exception as error:  # whatever it was that could not be written: Dagster's history, too
            if trouble := storage_trouble(error):
                raise click.ClickException(trouble) from error
            raise

    return wrapped


class Commands(click.Group):
    """The commands. Whatever an error says acts on no terminal; Ctrl-C ends any of them with a line."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """As click does."""
        with _plain_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, context: click.Context) -> Any:
        """As click does."""
        try:
            with _plain_errors():
                return super().invoke(context)
        except KeyboardInterrupt:
            goes_on = "; the same command goes on" if context.invoked_subcommand == "run" else ""
            say(f"stopped{goes_on}", err=True)
            raise SystemExit(STOPPED) from None


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Spell out what would act on a terminal in the message of an error: names, paths and arguments are in it."""
    try:
        yield
    except click.ClickException as error:
        error.message = printable_lines(error.message)  # type: ignore[misc]
        raise


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
    mr status                             what is done, out of date or missing

    Runs are written to the project's data folder, or to the folder that MR_DATA names.
    """
    log = logging.getLogger("mr_assets")
    log.handlers = log.handlers or [_Said()]


@main.command()
@click.argument("recipe", required=False)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change a field of the recipe. Repeatable.")
@click.option("--name", help="Name of the run: its key prefix and data folder. Default: the recipe's name.")
@click.option("--iterations", type=int, help="Number of iterations; more than the recipe has repeat its last row.")
@click.option("--update", is_flag=True, help="Let a run that exists take over changed settings.")
@click.option("--as-recipe", is_flag=True, help="Make anew what was made with other settings in the UI's launchpad.")
@click.option("--dry-run", is_flag=True, help="Check the recipe and list every step that would be done.")
@says_errors
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

    Goes iteration by iteration through Dagster, skips what is complete, and ends in a table of what was learnt. Stopped
    midway, the same command goes on where it was. What was made with other settings in the UI's launchpad stays so, and
    what follows from it is made of it.

    \b
    mr run small_world_self_rewarding
    mr run small_world_meta_rewarding --set beta=0.2 --name beta_02
    mr run small_world_meta_rewarding --set iterations.4.rho=0.4 --set seed=7 --name rho_04
    mr run small_world_meta_rewarding --set rho=0.3 --name rho_03      (in every iteration)
    mr run small_world_meta_rewarding --iterations 6        (two more iterations of a finished run)
    """
    from mr_assets.inputs.preflight import check_run
    from mr_assets.runs.run import load_run
    from mr_assets.runs.status import departed, titled

    if recipe is None:
        _ask_for_recipe()
    _refuse_run_as_recipe(recipe)
    loaded = load_run(recipe, name=name, sets=sets, iterations=iterations)
    stored = _stored(loaded)
    wanted = adopt(loaded, changed=bool(sets), update=update, extended=iterations is not None)
    wanted = replace(wanted, as_recipe=as_recipe)
    for warning in wanted.recipe.warnings:
        say(f"note: {warning}", err=True)
    for note in check_run(wanted, dry=dry_run):
        say(f"note: {note}", err=True)
    for place, chosen in departed(wanted).items():
        say(f"note: {titled(*place)} stays as chosen: {'; '.join(chosen)} (--as-recipe goes back).", err=True)

    from mr_assets.cli.report import print_report

    if dry_run:
        say("\n".join(_planned(wanted)))
        return
    did = _run_steps(wanted, stored)
    if not did:
        say(f"{wanted.name}: everything is complete; nothing was computed.")
    print_report(wanted)


def _ask_for_recipe() -> NoReturn:
    """Show what there is to run, run nothing, and end with the status of wrong usage."""
    from mr_assets.orchestration.steps import steps
    from mr_assets.recipes.recipe import list_recipes, load_recipe
    from mr_assets.runs.run import data_root, stored_runs
    from mr_assets.runs.status import command

    say("Name a recipe: mr run RECIPE. Nothing was run.\n\nRuns (each with the command that goes on with it):")
    runs = stored_runs(data_root())
    for each in runs.values():
        try:
            first = next(steps(each), None)
            state = "complete" if first is None else f"next: {first.title}"
        except UserError as error:
            state = str(error).partition("\n")[0]
        done = sum(each.state("checkpoints", t) == "done" for t in each.iterations)
        say(f"  {each.name}: {done} of {len(each.iterations)} iterations, {state}\n      {command(each)}")
    say("\n".join([*([] if runs else ["  none yet"]), "\nRecipes:"]))
    for name in list_recipes():
        say(f"  {name:38} {load_recipe(name).title}")
    raise SystemExit(2)


def _refuse_run_as_recipe(recipe: str) -> None:
    """Raise `UserError` with the right command if a run is named in the place of a recipe."""
    from mr_assets.recipes.yaml_files import shipped
    from mr_assets.runs.run import data_root, stored_runs
    from mr_assets.runs.status import command

    if recipe not in shipped() and (stored := stored_runs(data_root()).get(recipe)):
        raise UserError(f"{recipe} is a run, and no recipe. To go on with it: {command(stored)}")


def _planned(wanted: Any) -> Iterator[str]:
    """Every step that a run would do, and which of its artifacts."""
    from mr_assets.orchestration.steps import plan

    planned = plan(wanted)
    first = planned[0][0].title if planned else ""
    yield f"{wanted.name}: {f'would begin with {first}' if planned else 'nothing to do'}"
    for number, (step, certain) in enumerate(planned, start=1):
        where = f" [{step.partition}]" if step.partition else ""
        doubt = "" if certain else " (if what these are made of comes out otherwise than before)"
        yield f"{number:3}. {step.title}{doubt}: {', '.join(asset + where for asset in step.assets)}"


def _stored(wanted: Any) -> Any:
    """The run of that name as it is stored now; None if there is none."""
    from mr_assets.runs.run import stored_runs

    return stored_runs(wanted.data).get(wanted.name)


def adopt(wanted: Any, *, changed: bool, update: bool, extended: bool) -> Any:
    """The run to launch: what was launched before under that name, unless `update` takes the new settings.

    Raises `UserError` if settings given now contradict those of a run that exists.
    """
    from mr_assets.recipes.recipe import differences

    stored = _stored(wanted)
    if stored is None and (wanted.folder / "recipe.yaml").exists() and not update:
        raise UserError(
            f"run {wanted.name} exists, but its {wanted.folder / 'recipe.yaml'} cannot be read any more. "
            "Give this one another --name, or take over the run with --update."
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


def _idle(namespace: str, instance: Any) -> None:
    """Raise `UserError` if the UI, the sensor or a backfill works on the same artifacts."""
    from mr_assets.orchestration.history import under_way

    if busy := under_way(namespace, instance):
        raise UserError(f"{busy} Wait for it, or cancel it in the UI (mr ui), then start again.")


@contextmanager
def _run_lock(wanted: Any, stored: Any) -> Iterator[Any]:
    """Nobody else works on a run, and it is still the one that was `stored`; the Dagster instance. Else `UserError`."""
    os.environ["MR_DATA"] = str(wanted.data)
    from mr_assets.orchestration.instance import instance
    from mr_assets.orchestration.run_launcher import fail_dead_runs
    from mr_assets.orchestration.steps import run_lock

    with run_lock(wanted.folder, f"run {wanted.name}", wait=False), instance() as dagster:
        fail_dead_runs(dagster)
        _idle(wanted.name, dagster)
        if _stored(wanted) != stored:
            raise UserError(f"run {wanted.name} was changed by another command meanwhile. Look at it, and start again.")
        yield dagster


def _run_steps(wanted: Any, stored: Any) -> bool:
    """Launch what is to do; whether there was anything. Before that nothing is written."""
    from mr_assets.orchestration.steps import launch, run_lock, steps

    began, did = time.monotonic(), False
    with _run_lock(wanted, stored) as dagster:
        wanted.save()
        for step in steps(wanted):
            did = True
            say(f"{wanted.name}, {step.title}: {', '.join(step.assets)}", bold=True, err=True)
            if step.partition is None:
                shared = f"the one-off assets of family {wanted.family}"
                with run_lock(wanted.data / wanted.family, shared, wait=True):
                    _idle(wanted.family, dagster)
                    still = next(steps(wanted), None)  # another run may have made them meanwhile
                    if still is not None and still.partition is None:
                        launch(wanted, still, dagster)
            else:
                launch(wanted, step, dagster)
    if did:
        minutes, seconds = divmod(time.monotonic() - began, 60)
        say(f"{wanted.name}: done in {minutes:.0f} min {seconds:.0f} s", bold=True, err=True)
    return did


@main.command()
@click.argument("name", metavar="RUN")
@click.argument("iterations", type=int)
@says_errors
def extend(name: str, iterations: int) -> None:
    """Give RUN more iterations, ITERATIONS in all, to be made in the UI, by its sensor or by `mr run`.

    The new ones go by the rows that its recipe had at the launch; beyond them, the last row is repeated. Nothing is
    computed. The UI shows them after *Reload definitions* (Deployment, Code locations).

    \b
    mr extend small_world_meta_rewarding 6
    """
    from mr_assets.inputs.preflight import check_run
    from mr_assets.runs.run import all_runs, data_root
    from mr_assets.runs.status import command

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
        longer.save()
    say(
        f"{name} has {iterations} iterations now; {now + 1} to {iterations} are to be made.\n"
        "In the UI: Deployment > Code locations > Reload definitions; then materialize, backfill, or let the sensor "
        f"{name}_hands_off go on.\nIn the terminal: {command(longer)}"
    )


@main.command()
@click.argument("name", required=False)
@click.option("--watch", "watched", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for programs.")
@says_errors
def status(name: str | None, watched: bool, as_json: bool) -> None:
    """What is done, running, failed, out of date or missing, per run and iteration, and the disk that it takes.

    Of what is running it says how far it is, at which rate, and the time left; of what failed or was interrupted, in
    which Dagster run, when and why.
    """
    from mr_assets.cli.report import statuses
    from mr_assets.cli.terminal import show, watch, width
    from mr_assets.runs.run import data_root, named_runs, stored_runs

    runs = named_runs(data_root(), name) if name is not None else stored_runs(data_root())
    wanted = [runs[name]] if name else list(runs.values())
    if as_json and watched:
        raise UserError("--json and --watch exclude each other: leave one out.")
    if as_json:
        found = [each.as_json() for each in statuses(wanted)] if wanted else []
        say_json(found[0] if name else found)
        return
    if not runs:
        say("No run yet. Start one: mr run small_world_meta_rewarding")
        return
    if watched and width() is None:
        raise UserError("--watch shows one place of a terminal again and again, and the output is none. Leave it out.")
    if watched:
        watch(lambda: [part for each in statuses(wanted) for part in each.parts()])
    else:
        show(*(part for each in statuses(wanted) for part in each.parts()))


def say_json(value: Any) -> None:
    """JSON alone on standard output."""
    click.echo(as_json_text(value))


@main.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for programs.")
@says_errors
def report(name: str, as_json: bool) -> None:
    """The table of what a run has learnt, pairs made and left out, and time per stage.

    What is out of date, the scores of a model that was trained again since for one, says so.
    """
    from mr_assets.cli.report import print_report, report_as_json
    from mr_assets.runs.run import data_root, named_runs

    runs = named_runs(data_root(), name)
    if as_json:
        say_json(report_as_json(runs[name]))
    else:
        print_report(runs[name])


@main.command()
@click.argument("name", metavar="RUN")
@click.argument("other", required=False)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="A setting to compare with. Repeatable.")
@click.option("--iteration", metavar="T", help="One iteration; by default all that have pairs.")
@click.option("--limit", default=10, show_default=True, help="Differences to show per table.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for programs.")
@says_errors
def compare(
    name: str, other: str | None, sets: tuple[str, ...], iteration: str | None, limit: int, as_json: bool
) -> None:
    """Which preference pairs of RUN other settings would change, or another run has, and why. Writes nothing.

    Without OTHER and --set, the pairs are compared with what the recipe says: what the launchpad changed.

    \b
    mr compare small_world_meta_rewarding --set rho=0.3
    mr compare small_world_meta_rewarding --set elo_ridge=0.1 --iteration 1
    mr compare small_world_meta_rewarding beta_02
    """
    from mr_assets.cli.report import print_comparison
    from mr_assets.lineage.compare import comparable, other_recipe, sampled_anew, with_other_run, with_other_settings
    from mr_assets.runs.run import data_root, named_runs

    if other and sets:
        raise UserError("compare with another run or with other settings, not with both: leave OTHER or --set out.")
    known = named_runs(data_root(), *filter(None, (name, other)))
    run = known[name]
    if iteration is not None and iteration not in run.iterations:
        raise UserError(f"--iteration {iteration}: run {name} has iterations 1 to {run.iterations[-1]}.")
    wanted = [iteration] if iteration else [t for t in comparable(run) if not other or t in comparable(known[other])]
    if not wanted:
        runs = " and ".join(dict.fromkeys((name, other or name)))
        raise UserError(f"there are no pairs to compare yet. Materialize actor_pairs of {runs}.")
    changed, found = other_recipe(run, sets), []
    for t in wanted:
        found += with_other_run(run, known[other], t) if other else with_other_settings(run, changed, t)
        if not other and (anew := sampled_anew(run, changed, t)):
            say(f"note: {', '.join(anew)} of iteration {t} would change, too; compared as stored.", err=True)
    if as_json:
        say_json([each.as_json() for each in found])
    else:
        print_comparison(f"{name} and {other or 'other settings'}", found, limit)


@main.command()
@click.argument("identity", metavar="ID")
@click.option("--more", is_flag=True, help="The whole tree: every response, judgment and battle, and who made it.")
@click.option("--full", is_flag=True, help="Whole texts in place of their beginnings.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for programs.")
@says_errors
def trace(identity: str, more: bool, full: bool, as_json: bool) -> None:
    """Where ID comes from and what came of it: a pair, prompt, response, judgment, battle or model.

    Fifteen lines answer the question; --more shows all there is to tell, --full with whole texts.
    Of a pair that was not made, or of a response that was left out, it says why. Where two runs have the same id, write
    run/ID.

    \b
    mr trace 2.3f1c09aa72be.actor           the pair, its responses, judgments, policy, training
    mr trace 2.3f1c09aa72be.r4.j10          a judgment
    mr trace beta_02/2.3f1c09aa72be.r4      a response of the run beta_02
    mr trace M2                             a model
    """
    from mr_assets.lineage import trace_any, tree
    from mr_assets.runs.run import data_root, stored_runs

    lineage = trace_any(identity, stored_runs(data_root()))
    if as_json:
        say_json(lineage.as_json())
        return
    say("\n".join(tree.lines(lineage, full=full) if more or full else tree.brief(lineage)), wrap=True)


@main.command()
@click.argument("name", metavar="RUN", required=False)
@click.option("--iteration", metavar="T", help="One iteration; by default all.")
@click.option("--kind", type=click.Choice(["actor", "judge"]), help="One kind; by default both.")
@click.option("--score-gap", metavar="A..B", help="Score of chosen less rejected, from A to B; either may be left out.")
@click.option("--length-gap", metavar="A..B", help="Characters of chosen less rejected.")
@click.option("--elo-gap", metavar="A..B", help="Elo of chosen less rejected; judge pairs alone have one.")
@click.option("--reward-margin", metavar="A..B", help="Reward margin after training.")
@click.option("--true-gap", metavar="A..B", help="True score of chosen less rejected, where a world knows it.")
@click.option(
    "--truth",
    type=click.Choice(["agrees", "equal", "contradicts"]),
    help="What the truth says of the pair, where a world knows it.",
)
@click.option("--text", help="In the prompt, the chosen or the rejected text, in any case.")
@click.option(
    "--sort",
    type=click.Choice(["pair_id", "score_gap", "length_gap", "elo_gap", "reward_margin", "true_gap"]),
    default="pair_id",
    show_default=True,
    help="Gaps and margin: the largest first.",
)
@click.option("--ascending", is_flag=True, help="The smallest first.")
@click.option("--limit", default=20, show_default=True, help="Pairs to show; 0 for all.")
@click.option("--json", "as_json", is_flag=True, help="As JSON with whole texts, for programs.")
@says_errors
def pairs(
    name: str | None,
    iteration: str | None,
    kind: str | None,
    score_gap: str | None,
    length_gap: str | None,
    elo_gap: str | None,
    reward_margin: str | None,
    true_gap: str | None,
    truth: str | None,
    text: str | None,
    sort: str,
    ascending: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List the preference pairs of RUN, or of every run; `mr trace` tells all about one.

    \b
    mr pairs small_world_meta_rewarding --iteration 2 --kind actor --score-gap 2.. --sort score_gap
    mr pairs --text "upper case" --length-gap ..-20
    mr pairs small_world_meta_rewarding --truth contradicts
    """
    from mr_assets.cli.report import pairs_as_json, print_pairs
    from mr_assets.lineage.pairs import Query
    from mr_assets.runs.run import data_root, named_runs, stored_runs

    known = named_runs(data_root(), name) if name is not None else stored_runs(data_root())
    gaps = {"score_gap": score_gap, "length_gap": length_gap, "elo_gap": elo_gap}
    gaps |= {"reward_margin": reward_margin, "true_gap": true_gap}
    query = Query.parsed(iteration, kind, text, truth, **gaps)
    among = [known[name]] if name else list(known.values())
    found, count = query.answer(among, sort, limit, ascending=ascending)
    if as_json:
        say_json(pairs_as_json(found, among))
    else:
        print_pairs(found, count, among)


@main.command()
@click.argument("name", metavar="RUN")
@click.option("--iteration", metavar="T", help="One iteration; by default all.")
@click.option("--limit", default=20, show_default=True, help="Faults to show; 0 for all.")
@click.option("--json", "as_json", is_flag=True, help="All faults as JSON, for programs.")
@says_errors
def verify(name: str, iteration: str | None, limit: int, as_json: bool) -> None:
    """Work RUN out again from its raw texts and report every row that does not follow from its ancestors.

    Scores, means, tiers, pairs, battles, matrices, Elo, dataset and what was left out; contents, models, training logs
    and the figures that are shown against their records; files that cannot be read. Exits with 1 if
    anything is wrong. Writes nothing, asks no model.
    """
    from dataclasses import asdict

    from mr_assets.lineage.verification import verify as faults_of
    from mr_assets.runs.run import data_root, named_runs

    runs = named_runs(data_root(), name)
    if iteration is not None and iteration not in runs[name].iterations:
        raise UserError(f"--iteration {iteration}: run {name} has iterations 1 to {runs[name].iterations[-1]}.")
    found = list(faults_of(runs[name], [iteration] if iteration else None))
    if as_json:
        say_json([asdict(fault) for fault in found])
    else:
        shown = found[:limit] if limit else found
        for fault in shown:
            say(printable(str(fault)))
        more = f", {len(found) - len(shown)} of them not shown (--limit 0)" if len(shown) < len(found) else ""
        count = f"{len(found)} fault{'s' * (len(found) > 1)}{more}"
        say(f"{name}: {count if found else 'everything follows from its ancestors'}")
    if found:
        raise SystemExit(1)


@main.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@says_errors
def recipes(name: str | None, as_json: bool) -> None:
    """The shipped recipes; of one of them, or of a YAML file, every key with its value, range and meaning.

    A key is what --set takes. The star in a key of the iterations stands for a row's number, or for all.

    \b
    mr recipes small_world_meta_rewarding
    """
    from mr_assets.cli.report import print_recipe, recipe_as_json
    from mr_assets.recipes.recipe import list_recipes, load_recipe

    if name is not None:
        recipe = load_recipe(name)
        if as_json:
            say_json(recipe_as_json(name, recipe))
        else:
            print_recipe(name, recipe)
        return
    known = {each: load_recipe(each).title for each in list_recipes()}
    if as_json:
        say_json([{"recipe": each, "title": title} for each, title in known.items()])
        return
    for each, title in known.items():
        say(f"{each:38} {title}", wrap=True)


@main.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@click.pass_context
@says_errors
def runs(context: click.Context, as_json: bool) -> None:
    """List runs, or remove one: mr runs remove NAME.

    An iteration is complete when its model is there and made of what is there now.
    """
    if context.invoked_subcommand is None:
        from mr_assets.cli.report import print_runs, runs_as_json
        from mr_assets.runs.run import data_root, stored_runs

        known = list(stored_runs(data_root()).values())
        if as_json:
            say_json(runs_as_json(known))
        else:
            print_runs(known)


@runs.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@says_errors
def remove(name: str, yes: bool) -> None:
    """Remove the run NAME: its tables and checkpoints. What it shares with its family stays."""
    from mr_assets.runs.run import data_root, named_runs, remove_run

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
    os.environ["MR_DATA"] = str(run.data)
    from mr_assets.orchestration.instance import home, instance
    from mr_assets.orchestration.run_launcher import fail_dead_runs
    from mr_assets.orchestration.steps import holder_of, run_lock

    what = f"run {run.name}"
    if run.folder.is_symlink() and (holder := holder_of(run.folder)):
        raise UserError(f"{what} is being run by process {holder}. Wait for it, or end it, then start again.")
    with nullcontext() if run.folder.is_symlink() else run_lock(run.folder, what, wait=False):
        if home().is_dir():
            with instance() as dagster:
                fail_dead_runs(dagster)
                _idle(run.name, dagster)
        yield


HOST = click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; beyond loopback at your own risk."
)
ALLOW_HOST = click.option(
    "--allow-host",
    "allowed",
    multiple=True,
    metavar="NAME",
    help="Answer under this name too, a reverse proxy's for example. Repeatable; also MR_ALLOWED_HOSTS=NAME,NAME.",
)


@main.command()
@click.option("--port", default=3001, show_default=True, help="Port on this machine.")
@HOST
@ALLOW_HOST
@click.option("--with-starter", is_flag=True, hidden=True)
@says_errors
def explore(port: int, host: str, allowed: tuple[str, ...], with_starter: bool) -> None:
    """Pages over the preference pairs of every run: where each comes from, down to every judgment and battle.

    They only read, and are known under the names of this machine and of --host alone. `mr ui` serves them, too.
    """
    from mr_assets.explorer.serve import serve
    from mr_assets.runs.run import data_root

    serve(data_root(), host, port, allowed=allowed, with_starter=with_starter)


@main.command()
@click.option("--port", default=3000, show_default=True, help="Port on this machine.")
@HOST
@ALLOW_HOST
@click.option("--pages-port", type=int, help="Port of the pages of `mr explore`. Default: the one after --port.")
@says_errors
def ui(port: int, host: str, allowed: tuple[str, ...], pages_port: int | None) -> None:
    """The Dagster UI with its daemon: materialize any asset of any iteration, backfill, look.

    Beside it the pages over preference pairs, as `mr explore` serves them. No page of another site can use either.
    """
    from mr_assets.orchestration.steps import MODULE
    from mr_assets.orchestration.webserver import serve_ui

    serve_ui(MODULE, host, port, pages_port or port + 1, allowed)
