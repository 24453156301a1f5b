"""A plan: what a run would ask for, how long it would take, what it needs and what of that there is not.

found = make_plan(run, shape, lengths, gpu=known_gpu("h200"), count=1)
found.hours, found.problems, found.verdict
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mr_assets.errors import UserError
from mr_assets.planning.disk import Disk, disk, most
from mr_assets.planning.gpus import RANGE, Gpu
from mr_assets.planning.lengths import Lengths
from mr_assets.planning.memory import Memory, engine_memory, training_memory
from mr_assets.planning.shapes import Shape
from mr_assets.planning.speed import sampling_roofline, sampling_seconds, training_roofline, training_seconds
from mr_assets.planning.stages import Sampling, Stage, Training, stages
from mr_assets.recipes.recipe import Recipe
from mr_assets.recipes.yaml_files import parse_mapping
from mr_assets.runs.data_folder import resolve
from mr_assets.text_files import read_text_file
from mr_assets.training.settings import TrainingSettings


@dataclass(frozen=True)
class Row:
    """One stage of a plan. roofline: the seconds that no software can be under; both None where nothing is known."""

    stage: Stage
    roofline: float | None
    seconds: float | None
    disk: Disk


@dataclass(frozen=True)
class Problem:
    """What does not fit, and the fields to change, as --set takes them; none if no setting alone helps."""

    said: str
    change: tuple[str, ...] = ()


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


def sections(recipe: Recipe) -> dict[str, TrainingSettings]:
    """The trainings of a recipe, "sft" (if there is one) and "dpo"."""
    return ({"sft": recipe.sft} if recipe.sft else {}) | {"dpo": recipe.dpo}


def is_sharded(section: TrainingSettings, data: Path) -> bool:
    """Whether weights, gradients and optimizer are shared out among the processes: FSDP, or DeepSpeed.

    A configuration of accelerate that cannot be read is taken for one that does; a run is refused then.
    """
    if section.accelerate_config is None:
        return False
    path = resolve(section.accelerate_config, data)
    try:
        said = parse_mapping(read_text_file(path, "accelerate's configuration"), str(path))
    except UserError:
        return True
    return str(said.get("distributed_type")).upper() in ("FSDP", "DEEPSPEED")


def memory_of(recipe: Recipe, shape: Shape, data: Path) -> dict[str, Memory]:
    """What one GPU holds, for "engine", "sft" and "dpo"."""
    trainings = {
        name: training_memory(shape, section, sharded=is_sharded(section, data))
        for name, section in sections(recipe).items()
    }
    return {"engine": engine_memory(shape, recipe.engine), **trainings}


def make_plan(
    name: str, recipe: Recipe, shape: Shape, lengths: Lengths, data: Path, gpu: Gpu | None = None, count: int = 1
) -> Plan:
    """The plan of a recipe. Without a GPU there are no hours, and nothing is said of what does not fit one."""
    rows = [_row(stage, recipe, shape, gpu) for stage in stages(recipe, lengths)]
    memory = memory_of(recipe, shape, data)
    problems = list(gpu_problems(recipe, shape, data, gpu, count)) if gpu else []
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


# ------------------------------------------------------------------------------------------------- what does not fit


def gpu_problems(recipe: Recipe, shape: Shape, data: Path, gpu: Gpu, count: int) -> Iterator[Problem]:
    """What does not fit into the memory of each of `count` GPUs, and which GPUs there are not."""
    yield from _too_few(recipe, count)
    if (problem := _engine_problem(recipe, shape, gpu, count)) is not None:
        yield problem
    for name, section in sections(recipe).items():
        if (problem := _training_problem(name, section, shape, data, gpu, count)) is not None:
            yield problem


def _too_few(recipe: Recipe, count: int) -> Iterator[Problem]:
    wanted = {"engine.tensor_parallel_size": recipe.engine.tensor_parallel_size}
    wanted |= {f"{name}.num_processes": section.num_processes for name, section in sections(recipe).items()}
    for field, number in wanted.items():
        if number > count:
            yield Problem(f"{field} = {number} needs {number} GPUs, there are {count}.", (f"{field}={count}",))


def _engine_problem(recipe: Recipe, shape: Shape, gpu: Gpu, count: int) -> Problem | None:
    engine, room = recipe.engine, recipe.engine.gpu_memory_utilization * gpu.memory * 1e9
    need = engine_memory(shape, engine).needed
    if need <= room:
        return None
    said = (
        f"The engine needs {size(need)} of each GPU for its weights and one completion of engine.max_model_len = "
        f"{engine.max_model_len} tokens; engine.gpu_memory_utilization = {engine.gpu_memory_utilization} of "
        f"{gpu.memory:.0f} GB are {size(room)}."
    )
    gpus = 2 * engine.tensor_parallel_size
    while gpus <= count and shape.heads % gpus == 0:
        if engine_memory(shape, engine.model_copy(update={"tensor_parallel_size": gpus})).needed <= room:
            return Problem(said, (f"engine.tensor_parallel_size={gpus}",))
        gpus *= 2
    return Problem(said)


def _training_problem(
    name: str, section: TrainingSettings, shape: Shape, data: Path, gpu: Gpu, count: int
) -> Problem | None:
    sharded, room = is_sharded(section, data), gpu.memory * 1e9
    need = training_memory(shape, section, sharded=sharded)
    if need.needed <= room:
        return None
    said = f"Training ({name}) needs {size(need.needed)} of each GPU, there are {gpu.memory:.0f} GB."
    least = need.needed
    for change, changed, shard in _smaller(name, section, sharded, count):
        smaller = training_memory(shape, changed, sharded=shard).needed
        if smaller <= room:
            return Problem(f"{said} Changed as below it needs {size(smaller)}.", change)
        least = min(least, smaller)
    return Problem(f"{said} With every saving it needs {size(least)}: take larger GPUs, or more of them for FSDP.")


def _smaller(
    name: str, section: TrainingSettings, sharded: bool, count: int
) -> Iterator[tuple[tuple[str, ...], TrainingSettings, bool]]:
    """Settings that take less memory, from the harmless to the costly: the changes, and the section with them."""
    savings: list[dict[str, Any]] = [{"micro_batch_size": 1}, {"gradient_checkpointing": True}]
    savings += [] if sharded else [{"optimizer": "adamw_8bit"}]
    update: dict[str, Any] = {}
    for saving in savings:
        update |= saving
        yield _changes(name, section, update), section.model_copy(update=update), sharded
    if not sharded and count > 1:  # bitsandbytes does not share its optimizer out
        for saving in ({}, {"micro_batch_size": 1}, {"gradient_checkpointing": True}):
            update = {"num_processes": count, "optimizer": "adamw_torch", **saving}
            change = (f"{name}.accelerate_config=FSDP.yaml", *_changes(name, section, update))
            yield change, section.model_copy(update=update), True


def _changes(name: str, section: TrainingSettings, update: dict[str, Any]) -> tuple[str, ...]:
    """What differs from the section, as --set takes it."""
    return tuple(f"{name}.{k}={str(v).lower()}" for k, v in update.items() if getattr(section, k) != v)


def size(count: float) -> str:
    """A number of bytes for a reader, in units of 1,000: 950 MB, 9.3 GB, 111 GB."""
    for unit, bytes_ in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= bytes_:
            return f"{count / bytes_:.0f} {unit}" if count >= 10 * bytes_ else f"{count / bytes_:.1f} {unit}"
    return f"{count / 1e6:.1f} MB"


# ------------------------------------------------------------------------------------------------------- in words


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
