"""A plan: what a run would ask for, how long it would take, what it needs and what of that there is not.

found = make_plan("a run", recipe, shape, lengths, data, known_gpu("h200"), 1)
found.hours, found.problems, verdict(found)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mr_assets.planning.data_sheets import RANGE, Card, Gpu
from mr_assets.planning.disk import Disk, Totals, disk, totals
from mr_assets.planning.fits import Problem, gpu_problems, host_memory_of, memory_of, on_gpus, size, training_of
from mr_assets.planning.lengths import Lengths
from mr_assets.planning.measured import Measured, work_of
from mr_assets.planning.memory import Memory
from mr_assets.planning.shapes import Shape, shape_of_other
from mr_assets.planning.speed import sampling_roofline, sampling_seconds, training_roofline, training_seconds
from mr_assets.planning.stages import Sampling, Stage, stages
from mr_assets.recipes.recipe import Recipe


@dataclass(frozen=True)
class Row:
    """One stage of a plan. roofline: the seconds that no software can be under; None where nothing is known."""

    stage: Stage
    roofline: float | None
    seconds: float | None
    disk: Disk


@dataclass(frozen=True)
class Plan:
    """Everything that a plan says.

    begun: the recipe as so many GPUs can begin it, of which hours, memory and disk are; count: GPUs that there are;
    memory: of one of them, as `memory_of` has it; measured: by what run or pilot lengths and shares were;
    rates: those of its rates, by asset, that hours go by. host: bytes of the host's memory that "sft" and "dpo" need to
    begin.
    """

    name: str
    recipe: Recipe
    begun: Recipe
    shape: Shape
    lengths: Lengths
    gpu: Card | None
    count: int
    rows: Sequence[Row]
    memory: dict[str, Memory]
    problems: Sequence[Problem]
    measured: Measured | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    host: Mapping[str, float] = field(default_factory=dict)

    @property
    def hours(self) -> float | None:
        """Of all stages of which something is known, one after the other; None if nothing is."""
        seconds = [row.seconds for row in self.rows if row.seconds is not None]
        return sum(seconds) / 3600 if seconds else None

    @property
    def unknown(self) -> list[str]:
        """The assets whose hours are not known."""
        return list(dict.fromkeys(row.stage.asset for row in self.rows if row.seconds is None))

    @property
    def disk(self) -> Totals:
        """Bytes that stay on the disk, and the most that are there at a time."""
        return totals((row.disk for row in self.rows), self.recipe.storage.keep_policies)


def make_plan(
    name: str,
    recipe: Recipe,
    shape: Shape,
    lengths: Lengths,
    data: Path,
    gpu: Card | None = None,
    count: int = 1,
    measured: Measured | None = None,
    replies: int | None = None,
    *,
    measured_here: bool = False,
) -> Plan:
    """The plan of a recipe. Without a GPU nothing is said of what does not fit one.

    lengths: those that are planned with. measured: brings the upper bounds down; without a GPU, or if it was
    `measured_here`, on these very GPUs, the hours of what has a rate are by it. Those of the rest are by the GPU's data
    sheet; without both there are none. replies: as in `stages`.
    """
    begun = on_gpus(recipe, shape, data, count) if gpu else recipe
    shares = measured.shares if measured else None
    rates = measured.rates if measured and (gpu is None or measured_here) else {}
    rows = [_row(stage, begun, shape, data, gpu, rates) for stage in stages(recipe, lengths, shares, replies)]
    memory = memory_of(begun, shape, data)
    problems = list(gpu_problems(recipe, shape, data, gpu.memory, count)) if gpu else []
    host = host_memory_of(begun, shape, data)
    return Plan(name, recipe, begun, shape, lengths, gpu, count, rows, memory, problems, measured, rates, host)


def seconds_of(plan: Plan) -> dict[tuple[str, str | None], float]:
    """What is planned for each stage of which something is known, by asset and partition."""
    return {(row.stage.asset, row.stage.partition): row.seconds for row in plan.rows if row.seconds is not None}


def rates_of(plan: Plan) -> dict[str, float]:
    """Tokens per second by asset, as the plan has them; none of what it knows no time of."""
    work: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for row in plan.rows:
        if row.seconds:
            work[row.stage.asset] = work.get(row.stage.asset, 0.0) + work_of(row.stage)
            seconds[row.stage.asset] = seconds.get(row.stage.asset, 0.0) + row.seconds
    return {asset: work[asset] / seconds[asset] for asset in work}


def _row(stage: Stage, recipe: Recipe, shape: Shape, data: Path, gpu: Card | None, rates: Mapping[str, float]) -> Row:
    roofline, seconds = _by_data_sheet(stage, recipe, shape, data, gpu) if isinstance(gpu, Gpu) else (None, None)
    if rate := rates.get(stage.asset):
        seconds = work_of(stage) / rate
    return Row(stage, roofline, seconds, disk(stage, shape, recipe, data))


def _by_data_sheet(
    stage: Stage, recipe: Recipe, shape: Shape, data: Path, gpu: Gpu
) -> tuple[float, float] | tuple[None, None]:
    """Roofline and seconds of a stage; nothing of one by a model whose shape is not known."""
    if isinstance(stage, Sampling):
        read = shape if stage.by is None else shape_of_other(stage.by, data)
        if read is None:
            return None, None
        one = recipe.engine.model_copy(update={"tensor_parallel_size": 1, "replicas": 1})
        of = (stage, read, recipe.engine if stage.tokens_out else one, gpu)  # a reward model is no engine
        return sampling_roofline(*of), sampling_seconds(*of)
    section = training_of(recipe, stage.asset)
    return training_roofline(stage, shape, section, gpu), training_seconds(stage, shape, section, gpu)


def verdict(plan: Plan) -> str:
    """The plan in one paragraph."""
    where = f"{plan.count} x {plan.gpu.title} ({plan.gpu.memory:.0f} GB)" if plan.gpu else ""
    if plan.problems:
        said = [f"{plan.name} does not fit on {where}: {counted(len(plan.problems), 'thing')} to change, below."]
    elif plan.gpu:
        said = [f"{plan.name} fits on {where}."]
    elif plan.rates and plan.measured:
        said = [f"{plan.name} on the machine of {plan.measured.origin}, at its rates."]
    elif plan.measured:
        said = [
            f"{plan.name}: no GPU is named, and {plan.measured.origin} gives no rates, so that there are no hours. "
            "Add --gpu h200."
        ]
    else:
        said = [f"{plan.name}: no GPU is named, so that there are no hours. Add --gpu h200, --pilot 16, or --from RUN."]
    if (hours := plan.hours) is not None:
        least, longest = hours / (1 + RANGE), hours / (1 - RANGE)
        what = counted(len(plan.recipe.iterations), "iteration")
        said.append(
            f"{what} would take about {_time(hours)}, from {_time(least)} to {_time(longest)}{_elsewhere(plan)}."
        )
        if plan.unknown:
            said.append(f"Of {', '.join(plan.unknown)} no time is known: it is not in that.")
        said.append(_where_the_time_goes(plan))
    elif plan.gpu:
        said.append(
            "There are no hours: no data sheet of this card is known. Name one like it with --gpu, or add --pilot 16."
        )
    if plan.gpu:
        name, need = max(plan.memory.items(), key=lambda item: item[1].needed)
        said.append(f"The most memory of a GPU is taken by {name}: {size(need.needed)}.")
    said.append(f"The disk needs {size(plan.disk.most)}, of which {size(plan.disk.kept)} stay.")
    return " ".join(said)


def _elsewhere(plan: Plan) -> str:
    """Whose rates the hours are, if those are of another machine than the one that is planned for."""
    found = plan.measured
    if not (plan.gpu and plan.rates and found and found.on) or found.on == plan.gpu.name:
        return ""
    return f", at the rates of {found.origin}, which was made on {found.on}"


def counted(count: int, what: str) -> str:
    """One thing, 2 things."""
    return f"One {what}" if count == 1 else f"{count} {what}s"


@dataclass(frozen=True)
class Compared:
    """What a plan says of one asset's finished artifacts, and what they took, seconds."""

    asset: str
    planned: float
    took: float


def compared(
    planned: Mapping[tuple[str, str | None], float], took: Mapping[tuple[str, str | None], float]
) -> list[Compared]:
    """The seconds that are planned against those that artifacts of the same recipe took; one row per asset.

    Both are by asset and partition.
    """
    found: dict[str, Compared] = {}
    for place, seconds in planned.items():
        if place in took:
            so_far = found.get(place[0], Compared(place[0], 0.0, 0.0))
            found[place[0]] = Compared(place[0], so_far.planned + seconds, so_far.took + took[place])
    return list(found.values())


def _time(hours: float) -> str:
    if hours >= 10:
        return f"{hours:.0f} hours"
    return f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.2g} minutes"


def _where_the_time_goes(plan: Plan) -> str:
    by_asset: dict[str, float] = {}
    for row in plan.rows:
        by_asset[row.stage.asset] = by_asset.get(row.stage.asset, 0.0) + (row.seconds or 0.0)
    first, *rest = sorted(by_asset.items(), key=lambda item: -item[1])
    said = f"Most of it goes into {first[0]} ({_time(first[1] / 3600)})"
    return f"{said}, then {rest[0][0]} ({_time(rest[0][1] / 3600)})." if rest else f"{said}."
