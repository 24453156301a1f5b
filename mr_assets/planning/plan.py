"""A plan: what a run would ask for, how long it would take, what it needs and what of that there is not.

found = make_plan(run, shape, lengths, gpu=known_gpu("h200"), count=1)
found.hours, found.problems, found.verdict
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mr_assets.planning.disk import Disk, disk, most
from mr_assets.planning.fits import Problem, gpu_problems, memory_of, sections, size
from mr_assets.planning.gpus import RANGE, Gpu
from mr_assets.planning.lengths import Lengths
from mr_assets.planning.memory import Memory
from mr_assets.planning.shapes import Shape
from mr_assets.planning.speed import sampling_roofline, sampling_seconds, training_roofline, training_seconds
from mr_assets.planning.stages import Sampling, Stage, Training, stages
from mr_assets.recipes.recipe import Recipe
from mr_assets.training.settings import TrainingSettings


@dataclass(frozen=True)
class Row:
    """One stage of a plan. roofline: the seconds that no software can be under; both None where nothing is known."""

    stage: Stage
    roofline: float | None
    seconds: float | None
    disk: Disk


@dataclass(frozen=True)
class Plan:
    """Everything that a plan says. memory: of one GPU, for "engine", "sft" and "dpo"; count: GPUs that there are."""

    name: str
    recipe: Recipe
    shape: Shape
    lengths: Lengths
    gpu: Gpu | None
    count: int
    rows: Sequence[Row]
    memory: dict[str, Memory]
    problems: Sequence[Problem]

    @property
    def hours(self) -> float | None:
        """Of all stages, one after the other; None if that of one is not known."""
        seconds = [row.seconds for row in self.rows]
        return None if None in seconds else sum(s for s in seconds if s is not None) / 3600

    @property
    def kept(self) -> float:
        """Bytes that stay on the disk."""
        return sum(row.disk.kept for row in self.rows)

    @property
    def disk_peak(self) -> float:
        """The most bytes on the disk at a time."""
        return most([row.disk for row in self.rows])


def make_plan(
    name: str, recipe: Recipe, shape: Shape, lengths: Lengths, data: Path, gpu: Gpu | None = None, count: int = 1
) -> Plan:
    """The plan of a recipe. Without a GPU there are no hours, and nothing is said of what does not fit one."""
    rows = [_row(stage, recipe, shape, gpu) for stage in stages(recipe, lengths)]
    memory = memory_of(recipe, shape, data)
    problems = list(gpu_problems(recipe, shape, data, gpu.memory, count)) if gpu else []
    return Plan(name, recipe, shape, lengths, gpu, count, rows, memory, problems)


def _row(stage: Stage, recipe: Recipe, shape: Shape, gpu: Gpu | None) -> Row:
    found = disk(stage, shape, recipe)
    if gpu is None:
        return Row(stage, None, None, found)
    if isinstance(stage, Sampling):
        of = (stage, shape, recipe.engine, gpu)
        return Row(stage, sampling_roofline(*of), sampling_seconds(*of), found)
    section = training_of(recipe, stage)
    return Row(
        stage, training_roofline(stage, shape, section, gpu), training_seconds(stage, shape, section, gpu), found
    )


def training_of(recipe: Recipe, stage: Training) -> TrainingSettings:
    """The section of the recipe that a training goes by."""
    return sections(recipe)["dpo" if stage.asset == "checkpoints" else "sft"]


def verdict(plan: Plan) -> str:
    """The plan in one paragraph."""
    where = f"{plan.count} x {plan.gpu.title} ({plan.gpu.memory:.0f} GB)" if plan.gpu else "no GPU"
    if plan.problems:
        said = [f"{plan.name} does not fit on {where}: {len(plan.problems)} things to change, below."]
    elif plan.gpu:
        said = [f"{plan.name} fits on {where}."]
    else:
        said = [f"{plan.name}: no GPU is named, so that there are no hours. Add --gpu h200, or --from RUN."]
    count = len(plan.recipe.iterations)
    if (hours := plan.hours) is not None:
        least, longest = hours / (1 + RANGE), hours / (1 - RANGE)
        said.append(f"{_iterations(count)} would take about {_time(hours)}, from {_time(least)} to {_time(longest)}.")
        said.append(_where_the_time_goes(plan))
    if plan.gpu:
        name, need = max(plan.memory.items(), key=lambda item: item[1].needed)
        said.append(f"The most memory of a GPU is taken by {name}: {size(need.needed)}.")
    said.append(f"The disk needs {size(plan.disk_peak)}, of which {size(plan.kept)} stay.")
    return " ".join(said)


def _iterations(count: int) -> str:
    return "One iteration" if count == 1 else f"{count} iterations"


def _time(hours: float) -> str:
    if hours >= 10:
        return f"{hours:.0f} hours"
    return f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.0f} minutes"


def _where_the_time_goes(plan: Plan) -> str:
    by_asset: dict[str, float] = {}
    for row in plan.rows:
        by_asset[row.stage.asset] = by_asset.get(row.stage.asset, 0.0) + (row.seconds or 0.0)
    first, *rest = sorted(by_asset.items(), key=lambda item: -item[1])
    said = f"Most of it goes into {first[0]} ({_time(first[1] / 3600)})"
    return f"{said}, then {rest[0][0]} ({_time(rest[0][1] / 3600)})." if rest else f"{said}."
