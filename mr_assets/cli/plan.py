"""`mr plan`: what a recipe asks for, before a person pays for it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mr_assets.cli.terminal import say_json

if TYPE_CHECKING:
    from mr_assets.cli.terminal import Table
    from mr_assets.inputs.run_plan import Earlier
    from mr_assets.planning.measured import Off
    from mr_assets.planning.plan import Compared, Plan
    from mr_assets.runs.run import Run


@click.command()
@click.argument("recipe")
@click.option("--gpu", metavar="NAME", help="The GPU to plan for, such as h200, h100, a100-40, l40s, 4090.")
@click.option("--count", type=click.IntRange(min=1), help="How many of them. Default: 1.")
@click.option("--shape", metavar="SIZE", help="Plan for a model of this size, such as 8b, in place of the recipe's.")
@click.option("--from", "from_run", metavar="RUN", help="Plan with what this run measured: lengths, shares, rates.")
@click.option(
    "--pilot",
    "prompts",
    type=click.IntRange(min=1),
    metavar="PROMPTS",
    help="Plan with what a pilot of so many prompts measures; it is made first unless it is there.",
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change a field of the recipe. Repeatable.")
@click.option("--iterations", type=int, help="Number of iterations; more than the recipe has repeat its last row.")
@click.option("--name", help="Name of the run, as for `mr run`. Default: the recipe's name.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for programs.")
def plan(
    recipe: str,
    gpu: str | None,
    count: int | None,
    shape: str | None,
    from_run: str | None,
    prompts: int | None,
    sets: tuple[str, ...],
    iterations: int | None,
    name: str | None,
    as_json: bool,
) -> None:
    """Say what RECIPE would take: requests, tokens, hours, memory and disk, and what does not fit.

    Nothing is run, and no GPU is needed. Without --gpu, the plan is for the GPUs of this machine, if it has any. Hours
    are computed from the GPU's data sheet and an assumed efficiency; lengths of texts are assumed. --from takes both
    from a run that was made, --pilot from a few prompts that are tried first (mr pilot), as far as that measured them;
    with --gpu, or if the run's model has another shape, the lengths alone. Then it says how far off the assumptions
    were. If the run that is planned is there already, in part or whole, what was predicted at its launch is held
    against the time that it took.

    \b
    mr plan llama_3_8b_meta_rewarding --gpu h200
    mr plan llama_3_8b_meta_rewarding --gpu a100-40 --count 8 --set dpo.micro_batch_size=1
    mr plan small_world_meta_rewarding --from rho_03
    mr plan small_world_meta_rewarding --pilot 16
    """
    from mr_assets.cli.terminal import Wrapped, show
    from mr_assets.inputs.run_plan import Earlier, gpus_here, plan_of
    from mr_assets.planning.data_sheets import Card, known_gpu
    from mr_assets.planning.measured import seconds_so_far
    from mr_assets.planning.plan import compared, verdict
    from mr_assets.planning.prediction import read_prediction
    from mr_assets.planning.shapes import model_shape
    from mr_assets.runs.data_folder import resolve
    from mr_assets.runs.stored import load_run, named_runs, stored_and_unreadable_runs

    if from_run and prompts:
        raise click.UsageError("--from and --pilot both say what was measured. Give one of them.")
    run = load_run(recipe, name=name, sets=sets, iterations=iterations)
    earlier = Earlier(named_runs(run.data, from_run)[from_run]) if from_run else None
    chosen: Card | None = known_gpu(gpu) if gpu else None
    number = count or 1
    if chosen is None:
        chosen, number = gpus_here(count)
    if prompts:
        from mr_assets.cli.pilot import made_pilot

        earlier = Earlier(made_pilot(run, prompts).run, pilot=True)
    folder = resolve(run.recipe.model.seed, run.data)
    found, origin = model_shape(run.recipe.model.seed, folder, shape)
    plan = plan_of(run, found, chosen, number, earlier, measured_here=gpu is None)
    assumptions = [origin, *_assumed(plan)]
    there, _ = stored_and_unreadable_runs(run.data, [run.name])
    old: list[Compared] = []
    at_launch = read_prediction(run) if run.name in there else None
    if at_launch and at_launch.seconds:
        old = compared(at_launch.seconds, seconds_so_far(there[run.name]))
    elif run.name in there and run.name != from_run:  # its own rates would fit it
        stored = there[run.name]
        again = plan_of(stored, found, chosen, number, earlier, measured_here=gpu is None)
        old, notes = _taken(stored, again)
        assumptions += notes
    off: list[Off] = []
    if earlier:
        off, notes = _off(run, plan, earlier)
        assumptions += notes
    if as_json:
        compared_and_off = {"compared": [asdict(each) for each in old], "how_far_off": [asdict(each) for each in off]}
        say_json(plan_as_json(plan) | {"assumptions": assumptions} | compared_and_off)
        return
    first = Wrapped(verdict(plan), hanging="")
    tables = [stages_table(plan), memory_table(plan)]
    tables += [off_table(plan.measured.origin, off)] if plan.measured else []
    tables += [compared_table(run.name, old, at_launch=bool(at_launch and at_launch.seconds))] if old else []
    show(first, "", *_problems(plan), *tables, "\n".join(assumptions))


def _taken(stored: "Run", again: "Plan") -> "tuple[list[Compared], list[str]]":
    """What a stored run took, against a plan of it by today's code, and what is to be said of that."""
    from mr_assets.inputs.run_plan import not_comparable
    from mr_assets.planning.measured import seconds_so_far
    from mr_assets.planning.plan import compared, seconds_of
    from mr_assets.planning.prediction import made_on

    if why := not_comparable(stored, again):
        return [], [f"What run {stored.name} took is not held against this plan: {why}."]
    found = compared(seconds_of(again), seconds_so_far(stored))
    return found, [_not_noted(f"run {stored.name}")] if found and made_on(stored) is None else []


def _off(run: "Run", plan: "Plan", earlier: "Earlier") -> "tuple[list[Off], list[str]]":
    """How far off what was assumed of the earlier run was, and what is to be said of that.

    Rates are those of its launch, else by the data sheet of the GPU that is planned for, if that is the one it was on.
    """
    from mr_assets.inputs.run_plan import lengths_assumed_of, plan_of
    from mr_assets.planning.measured import how_far_off
    from mr_assets.planning.plan import rates_of
    from mr_assets.planning.prediction import read_prediction

    assert plan.measured is not None
    found, said = plan.measured, read_prediction(earlier.run)
    assumed = said.in_place_of(lengths_assumed_of(run)) if said else lengths_assumed_of(run)
    if (said and said.rates) or not (plan.gpu and found.rates):
        return how_far_off(assumed, found, said.rates if said else {}), []
    if found.on not in (None, plan.gpu.name):
        why = f"they are of {found.on}, not of {plan.gpu.name}"
        note = f"Tokens per second in {found.origin} are not held against the data sheet: {why}."
        return how_far_off(assumed, found, {}), [note]
    rates = rates_of(plan_of(earlier.run, plan.shape, plan.gpu, plan.count, earlier))
    return how_far_off(assumed, found, rates), [_not_noted(found.origin)] if found.on is None else []


def _not_noted(what: str) -> str:
    return f"On which machine {what} was made is not noted: it is taken to be the one that is planned for."


def _problems(plan: "Plan") -> list[str]:
    said = []
    for problem in plan.problems:
        said.append(f"- {problem.said}")
        if problem.change:
            said.append(f"  To change: {' '.join(f'--set {change}' for change in problem.change)}")
    return [*said, ""] if said else []


def stages_table(plan: "Plan") -> "Table":
    """One row per stage: what it asks for, how long it takes, what it leaves on the disk."""
    from mr_assets.cli.terminal import Column, Table
    from mr_assets.planning.fits import size
    from mr_assets.planning.stages import Sampling

    titles = ("of", "requests", "in", "cached", "out", "hours", "disk")
    table = Table("stages", [Column("stage"), *(Column(title, number=True) for title in titles)])
    for row in plan.rows:
        stage, hours = row.stage, "-" if row.seconds is None else f"{row.seconds / 3600:.2f}"
        most = ("~" if plan.measured else "<") if stage.at_most else ""
        if isinstance(stage, Sampling):
            tokens = (short(stage.tokens_in), f"{stage.cached:.0%}", short(stage.tokens_out))
            cells = (f"{most}{stage.requests:,}", *tokens)
        else:
            cells = (f"{most}{stage.examples:,}", short(stage.tokens * stage.epochs), "-", "-")
        table.add(stage.asset, stage.partition or "-", *cells, hours, size(row.disk.kept))
    return table


def memory_table(plan: "Plan") -> "Table":
    """What one GPU holds while it samples and trains; in the last row the host, before a training goes to the GPUs."""
    from mr_assets.cli.terminal import Column, Table
    from mr_assets.planning.fits import size

    table = Table(
        "memory of one GPU, and of the host", [Column("for"), Column("in all", number=True), Column("parts", text=True)]
    )
    for name, memory in plan.memory.items():
        parts = ", ".join(f"{part} {size(count)}" for part, count in memory.parts.items())
        table.add(name, size(memory.needed), parts)
    parts = ", ".join(f"{name} {size(count)}" for name, count in plan.host.items())
    table.add("host memory", size(max(plan.host.values())), f"to load the models of all processes: {parts}")
    return table


def compared_table(name: str, old: "Sequence[Compared]", *, at_launch: bool = False) -> "Table":
    """One row per asset: what is planned for the artifacts that are there, and what they took.

    at_launch: whether it was planned then; else it is planned now.
    """
    from mr_assets.cli.terminal import Column, Table

    titles = ("planned, s", "took, s", "planned / took")
    when = "planned at its launch, and taken" if at_launch else "planned and taken"
    table = Table(f"{name}: {when}", [Column("stage"), *(Column(title, number=True) for title in titles)])
    for each in old:
        table.add(each.asset, f"{each.planned:,.1f}", f"{each.took:,.1f}", f"{each.planned / max(each.took, 1e-9):.2f}")
    return table


def off_table(origin: str, off: "Sequence[Off]") -> "Table":
    """One row per assumption: what a plan takes without a run, what was measured, and by how much it was off."""
    from mr_assets.cli.terminal import Column, Table

    titles = ("assumed", "measured", "assumed / measured")
    table = Table(
        f"how far off the assumptions were: {origin}", [Column("of"), *(Column(t, number=True) for t in titles)]
    )
    for each in off:
        ratio = f"{each.assumed / each.measured:.2f}" if each.measured else "-"
        table.add(each.what, f"{each.assumed:,.4g}", f"{each.measured:,.4g}", ratio)
    return table


def _assumed(plan: "Plan") -> list[str]:
    from mr_assets.planning.data_sheets import SAMPLING_EFFICIENCY, TRAINING_EFFICIENCY, Gpu
    from mr_assets.planning.fits import changes
    from mr_assets.planning.memory import kv_tokens
    from mr_assets.planning.other_models import others

    lengths = plan.lengths
    origin = f"Mean lengths in {plan.measured.origin}" if plan.measured else "Assumed lengths"
    said = [
        f"{origin}, in tokens: prompt {lengths.prompt:.0f}, response {lengths.response:.0f}, judgment "
        f"{lengths.judgment:.0f}, meta-judgment {lengths.meta_judgment:.0f}; judge prompt {lengths.judge_prompt:,.0f}, "
        f"meta-judge prompt {lengths.meta_judge_prompt:,.0f}."
    ]
    if plan.measured:
        said.append(f"~ is as large a share of the most that there can be as in {plan.measured.origin}.")
        if plan.measured.unlike:
            said.append(
                f"Of {plan.measured.origin} lengths and shares are taken, and no rates: {plan.measured.unlike}."
            )
        if plan.rates:
            said.append(
                "Its rates of sampling are without the engine's start, those of training with the trainer's. Few "
                "prompts do not fill an engine that samples many completions at a time: their rates are then too low."
            )
    else:
        reasons = {row.stage.asset: row.stage.at_most for row in plan.rows if row.stage.at_most}
        said += [f"< is at most: {asset}: {why}." for asset, why in reasons.items()]
    for other in others(plan.recipe):
        if other.field not in plan.memory:
            said.append(
                f"What {other.field} = {other.folder} takes is not known: it is no folder whose shape can be read, and "
                "its name has no known size."
            )
    said += _resumed_from(plan)
    if isinstance(plan.gpu, Gpu):
        if plan.measured and plan.rates:
            measured, origin = ", ".join(plan.rates), plan.measured.origin
            said.append(f"Hours of {measured} are at the rates of {origin}, those of the rest by the GPU's data sheet.")
        said.append(
            f"Hours: {plan.gpu.bandwidth:,.0f} GB/s and {plan.gpu.tflops:,.0f} bf16 TFLOP/s ({plan.gpu.source}), of "
            f"which sampling is assumed to reach {SAMPLING_EFFICIENCY:.0%} and training {TRAINING_EFFICIENCY:.0%}. "
            "Starts of engine and trainer are not counted."
        )
    if plan.gpu:
        said.append(
            f"The engine's cache holds {kv_tokens(plan.shape, plan.begun.engine, plan.gpu.memory):,.0f} tokens."
        )
    if changed := changes(plan.recipe, plan.begun):
        said.append(f"Hours, memory and disk are with what these GPUs can begin: {' '.join(changed)}.")
    return said


def _resumed_from(plan: "Plan") -> list[str]:
    """What the training that takes most room needs besides its model; nothing if none can be resumed."""
    from mr_assets.planning.disk import writes_beside
    from mr_assets.planning.fits import size, training_of
    from mr_assets.planning.stages import Training

    trained = [(row.disk.passing, row.stage) for row in plan.rows if isinstance(row.stage, Training)]
    room, most = max(trained, key=lambda each: each[0])
    if not room:
        return []
    said = f"Disk: a training needs up to {size(room)} besides its model, for the checkpoint to resume from"
    if writes_beside(most, training_of(plan.recipe, most.asset)):
        return [f"{said}, and a second one while that is written: the first one goes when the second is whole."]
    return [f"{said}."]


def short(count: float) -> str:
    """A number of tokens for a reader: 950, 1.2k, 385M, 1.3G."""
    for unit, size in zip("GMk", (1e9, 1e6, 1e3), strict=True):
        if count >= size:
            return f"{count / size:.0f}{unit}" if count >= 100 * size else f"{count / size:.1f}{unit}"
    return f"{count:.0f}"


def plan_as_json(plan: "Plan") -> dict[str, Any]:
    """For programs: sizes in bytes, times in seconds."""
    from mr_assets.planning.plan import verdict

    rows = []
    for row in plan.rows:
        counts = {key: value for key, value in asdict(row.stage).items() if key != "at_most"}
        rows.append(
            counts
            | {"at_most_because": row.stage.at_most or None, "roofline_seconds": row.roofline, "seconds": row.seconds}
            | {"disk_bytes": row.disk.kept, "disk_bytes_while_working": row.disk.passing}
        )
    return {
        "run": plan.name,
        "verdict": verdict(plan),
        "fits": None if plan.gpu is None else not plan.problems,
        "gpu": asdict(plan.gpu) if plan.gpu else None,
        "count": plan.count,
        "shape": asdict(plan.shape) | {"weights": plan.shape.weights},
        "hours": plan.hours,
        "disk_bytes": plan.disk.most,
        "disk_bytes_kept": plan.disk.kept,
        "stages": rows,
        "memory_bytes": {name: memory.parts for name, memory in plan.memory.items()},
        "host_memory_bytes": dict(plan.host),
        "problems": [asdict(problem) for problem in plan.problems],
        "lengths": asdict(plan.lengths),
        "measured_in": plan.measured.run if plan.measured else None,
        "measured_by": None if plan.measured is None else "pilot" if plan.measured.pilot else "run",
        "measured_on": plan.measured.on if plan.measured else None,
        "unknown": plan.unknown,
    }
