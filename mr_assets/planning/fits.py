"""What does not fit on so many GPUs of so much memory, and the fields of the recipe to change.

Training (dpo) needs 114 GB of each GPU, there are 80 GB. Changed as below it needs 49 GB.
  dpo.accelerate_config=fsdp dpo.num_processes=8 dpo.optimizer=adamw_torch
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mr_assets.errors import UserError
from mr_assets.loop import LOOP
from mr_assets.planning.memory import (
    Memory,
    cache_bytes,
    engine_memory,
    host_memory,
    reward_memory,
    training_memory,
    weight_bytes,
)
from mr_assets.planning.other_models import Other, others
from mr_assets.planning.shapes import Shape, shape_of_other
from mr_assets.recipes.recipe import Recipe
from mr_assets.recipes.yaml_files import parse_mapping
from mr_assets.runs.data_folder import accelerate_file
from mr_assets.text_files import read_text_file
from mr_assets.training.settings import TrainingSettings, batch_problem

ENGINE = "engine"


@dataclass(frozen=True)
class Problem:
    """What does not fit.

    of: "engine", "sft", "dpo", or the field that names another model; change: the fields to change, as --set takes
    them, none if no setting alone helps; certain: whether it cannot be, whatever the data are; else activations of rows
    of max_length are too much.
    """

    of: str
    said: str
    change: tuple[str, ...] = ()
    certain: bool = True


def sections(recipe: Recipe) -> dict[str, TrainingSettings]:
    """The trainings of a recipe, "sft" (if there is one) and "dpo"."""
    return ({"sft": recipe.sft} if recipe.sft else {}) | {"dpo": recipe.dpo}


def training_of(recipe: Recipe, asset: str) -> TrainingSettings:
    """The section of a recipe by which an asset's model is trained."""
    section = LOOP[asset].trained_by
    assert section is not None, f"{asset} holds no trained model"
    return sections(recipe)[section]


def is_sharded(section: TrainingSettings, data: Path) -> bool:
    """Whether weights, gradients and optimizer are shared out among the processes: FSDP, or DeepSpeed.

    A configuration of accelerate that cannot be read is taken for one that does; a run is refused then.
    """
    said = _accelerate(section, data)
    return said is None or str(said.get("distributed_type")).upper() in ("FSDP", "DEEPSPEED")


def _offloads(section: TrainingSettings, data: Path) -> bool:
    """Whether a part may lie in the host's memory: then nobody knows what a GPU needs at the least."""
    said = _accelerate(section, data) or {}
    fsdp = said.get("fsdp_config")
    return "deepspeed_config" in said or (isinstance(fsdp, dict) and fsdp.get("fsdp_offload_params") is True)


def _accelerate(section: TrainingSettings, data: Path) -> dict[str, Any] | None:
    """What the section's configuration of accelerate says; empty without one, None if it cannot be read."""
    if section.accelerate_config is None:
        return {}
    path = accelerate_file(section.accelerate_config, data)
    try:
        return parse_mapping(read_text_file(path, "accelerate's configuration"), str(path))
    except UserError:
        return None


def memory_of(recipe: Recipe, shape: Shape, data: Path) -> dict[str, Memory]:
    """What one GPU holds, for "engine", "sft", "dpo" and other models whose shape is known, by the field that names it.

    Of a reward model it is what all GPUs hold together.
    """
    trainings = {
        name: training_memory(shape, section, sharded=is_sharded(section, data))
        for name, section in sections(recipe).items()
    }
    beside = {
        other.field: reward_memory(read, other.rewards) if other.rewards else engine_memory(read, recipe.engine)
        for other, read in _known_others(recipe, data)
    }
    return {ENGINE: engine_memory(shape, recipe.engine), **beside, **trainings}


def _known_others(recipe: Recipe, data: Path) -> Iterator[tuple[Other, Shape]]:
    """The recipe's other models whose shape is known, with it."""
    for other in others(recipe):
        if (shape := shape_of_other(other.folder, data)) is not None:
            yield other, shape


def _problems_of_others(
    recipe: Recipe, data: Path, room: float, there: str, of_engine: Callable[[Shape], Problem | None]
) -> Iterator[Problem]:
    """What does not fit of the recipe's other models.

    room: bytes that a reward model can take, in words `there`; of_engine: the problem of an engine with a model.
    """
    for other, shape in _known_others(recipe, data):
        named = f"{other.field} = {other.folder}"
        if other.rewards is None:
            if (problem := of_engine(shape)) is not None:
                yield replace(problem, of=other.field, said=f"{named}: {problem.said}")
        elif (need := reward_memory(shape, other.rewards)).needed > room:
            yield Problem(other.field, f"{named} needs {size(need.needed)}, {there}: take a smaller one.")


def gpu_problems(recipe: Recipe, shape: Shape, data: Path, gigabytes: float, count: int) -> Iterator[Problem]:
    """What does not fit on `count` GPUs of so many GB each."""
    yield from _too_few(recipe, shape, count)
    if (problem := _engine_problem(recipe, shape, gigabytes, count)) is not None:
        yield problem
    yield from _problems_of_others(
        recipe, data, gigabytes * 1e9 * count, f"there are {count} x {gigabytes:.0f} GB",
        lambda other: _engine_problem(recipe, other, gigabytes, count),
    )  # fmt: skip
    for name, section in sections(recipe).items():
        if (problem := _training_problem(name, section, shape, data, gigabytes, count)) is not None:
            yield problem


def most_processes(section: TrainingSettings, count: int) -> int:
    """The most training processes, of `count` at most, that can share the section's batches out."""
    fits = (n for n in range(count, 1, -1) if not batch_problem(section.batch_size, section.micro_batch_size, n))
    return next(fits, 1)


def most_parts(shape: Shape, count: int) -> int:
    """The most GPUs, of `count` at most, that can share the model's heads out."""

    def can(n: int) -> bool:
        return shape.heads % n == 0 and (shape.kv_heads % n == 0 or n % shape.kv_heads == 0)

    return next(n for n in range(count, 0, -1) if can(n))


def _too_few(recipe: Recipe, shape: Shape, count: int) -> Iterator[Problem]:
    replicas, each = recipe.engine.replicas, recipe.engine.gpus
    if replicas * each > count >= each:
        said = f"{ENGINE}.replicas = {replicas} with {each} GPUs each need {replicas * each} GPUs, there are {count}."
        yield Problem(ENGINE, said, (f"{ENGINE}.replicas={count // each}",))
    wanted = {f"{ENGINE}.tensor_parallel_size": (recipe.engine.tensor_parallel_size, most_parts(shape, count))}
    for name, section in sections(recipe).items():
        wanted[f"{name}.num_processes"] = (section.num_processes, most_processes(section, count))
    for field, (number, most) in wanted.items():
        if number > count:
            said = f"{field} = {number} needs {number} GPUs, there {'is' if count == 1 else 'are'} {count}."
            yield Problem(field.partition(".")[0], said, (f"{field}={most}",))


def _engine_problem(recipe: Recipe, shape: Shape, gigabytes: float, count: int) -> Problem | None:
    engine, room = recipe.engine, recipe.engine.gpu_memory_utilization * gigabytes * 1e9
    need = engine_memory(shape, engine)
    if need.needed <= room:
        return None
    said = (
        f"The engine needs {size(need.needed)} of each GPU for its weights and one completion of engine.max_model_len "
        f"= {engine.max_model_len} tokens; engine.gpu_memory_utilization = {engine.gpu_memory_utilization} of "
        f"{gigabytes:.0f} GB are {size(room)}."
    )
    gpus = 2 * engine.tensor_parallel_size
    while gpus <= count and shape.heads % gpus == 0:
        if engine_memory(shape, engine.model_copy(update={"tensor_parallel_size": gpus})).needed <= room:
            return Problem(ENGINE, said, (f"engine.tensor_parallel_size={gpus}",), need.least > room)
        gpus *= 2
    return Problem(ENGINE, said, (), need.least > room)


def _training_problem(
    name: str, section: TrainingSettings, shape: Shape, data: Path, gigabytes: float, count: int
) -> Problem | None:
    sharded, room = is_sharded(section, data), gigabytes * 1e9
    need = training_memory(shape, section, sharded=sharded)
    if need.needed <= room:
        return None
    certain = need.least > room and not _offloads(section, data)
    longest = "" if certain else f" with rows of {name}.max_length = {section.max_length} tokens"
    said = f"Training ({name}) needs {size(need.needed)} of each GPU{longest}, there are {gigabytes:.0f} GB."
    least = need.needed
    for change, changed, shard in _smaller(name, section, sharded, count):
        smaller = training_memory(shape, changed, sharded=shard).needed
        if smaller <= room:
            return Problem(name, f"{said} Changed as below it needs {size(smaller)}.", change, certain)
        least = min(least, smaller)
    more = ", or more of them for FSDP" if section.lora_r is None else ""
    rest = f"With every saving it needs {size(least)}: take larger GPUs{more}."
    return Problem(name, f"{said} {rest}", (), certain)


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
    if not sharded and count > 1 and section.lora_r is None:  # adapters are not shared out
        update = {"optimizer": "adamw_torch"}  # bitsandbytes does not share its state out
        for saving in ({}, {"micro_batch_size": 1}, {"gradient_checkpointing": True}):
            update |= saving
            processes = most_processes(section.model_copy(update=update), count)
            if processes > 1:
                changed = {"num_processes": processes, **update}
                change = (f"{name}.accelerate_config=fsdp", *_changes(name, section, changed))
                yield change, section.model_copy(update=changed), True


def host_memory_of(recipe: Recipe, shape: Shape, data: Path) -> dict[str, float]:
    """Bytes that the processes of a training on GPUs load into the host's memory, for "sft" and "dpo"."""
    return {
        name: host_memory(shape, section, sharded=is_sharded(section, data))
        for name, section in sections(recipe).items()
    }


def host_problems(recipe: Recipe, shape: Shape, data: Path, free: float) -> Iterator[Problem]:
    """What `free` bytes of the memory of a host with GPUs do not hold."""
    for name, section in sections(recipe).items():
        sharded, count = is_sharded(section, data), section.num_processes
        needed = host_memory(shape, section, sharded=sharded)
        if needed <= free:
            continue
        each = needed / count
        beside = " and its reference" if each > 4 * shape.weights else ""
        said = (
            f"Training ({name}) needs {size(needed)} of the host's memory, {size(free)} are free: each of "
            f"{name}.num_processes = {count} loads the whole model{beside} in fp32 before it goes to the GPUs."
        )
        fits = next((n for n in range(count - 1, 0, -1) if n * each <= free and most_processes(section, n) == n), None)
        if fits is not None and (fits > 1 or not sharded):  # FSDP is for several
            yield Problem(name, said, (f"{name}.num_processes={fits}",))
        else:
            yield Problem(name, f"{said} Free some, or take a host with more.")


def cpu_problems(recipe: Recipe, shape: Shape | None, data: Path, free: float) -> Iterator[Problem]:
    """What a machine without GPUs cannot run: an engine over several GPUs, and what `free` bytes do not hold.

    shape: None if the model is not known: then its weights count for nothing.
    """
    engine = recipe.engine
    if engine.gpus > 1:
        said = (
            f"The engine shares one model out to {engine.gpus} GPUs (engine.tensor_parallel_size = "
            f"{engine.tensor_parallel_size}{', engine.extra' if engine.gpus != engine.tensor_parallel_size else ''}): "
            "on a CPU it has one process."
        )
        yield Problem(ENGINE, said, ("engine.tensor_parallel_size=1",))
    if (problem := _cache_problem(recipe, shape, free)) is not None:
        yield problem
    yield from _problems_of_others(
        recipe, data, free, f"{size(free)} of memory are free", lambda other: _cache_problem(recipe, other, free)
    )
    for name, section in sections(recipe).items():
        if shape is not None and (problem := _cpu_training_problem(name, section, shape, data, free)) is not None:
            yield problem


def _cache_problem(recipe: Recipe, shape: Shape | None, free: float) -> Problem | None:
    """Why weights and key-value caches of all engines do not fit into memory, or None."""
    engine = recipe.engine
    weights, each = weight_bytes(shape, engine) if shape else 0.0, engine.cpu_kv_cache_gib * 2**30
    if engine.replicas * (weights + each) <= free:
        return None
    several = f" for each of engine.replicas = {engine.replicas}" if engine.replicas > 1 else ""
    beside = f" and {size(weights)} of weights" if weights else ""
    said = (
        f"engine.cpu_kv_cache_gib = {engine.cpu_kv_cache_gib}{several}{beside}: only {free / 2**30:.1f} GiB of memory "
        "are free. Lower it, or free some."
    )
    room = (free / engine.replicas - weights) / 2 / 2**30  # half of what is left
    least = cache_bytes(shape, engine) * engine.max_model_len / 2**30 if shape else room
    return Problem(ENGINE, said, (f"engine.cpu_kv_cache_gib={room:.1f}",) if shape and room > least else ())


def _cpu_training_problem(
    name: str, section: TrainingSettings, shape: Shape, data: Path, free: float
) -> Problem | None:
    """As for GPUs; all processes share the one memory, and weights, gradients and optimizer may need to fit once."""

    def need(of: TrainingSettings) -> tuple[float, float]:
        times = 1 if is_sharded(of, data) else of.num_processes
        memory = training_memory(shape, of.model_copy(update={"num_processes": 1}))
        activations = sum(count for part, count in memory.estimated.items() if part != "CUDA")
        return times * memory.least, times * memory.least + of.num_processes * activations

    least, needed = need(section)
    if needed <= free:
        return None
    certain = least > free
    longest = "" if certain else f" with rows of {name}.max_length = {section.max_length} tokens"
    said = f"Training ({name}) needs {size(least if certain else needed)} of memory{longest}, {size(free)} are free."
    update: dict[str, Any] = {}
    savings: list[dict[str, Any]] = [{"num_processes": 1, "accelerate_config": None}, {"micro_batch_size": 1}]
    for saving in [*savings, {"gradient_checkpointing": True}, {"optimizer": "adamw_8bit"}, {"lora_r": 16}]:
        update |= saving
        changed = section.model_copy(update=update)
        if need(changed)[1] <= free:
            said = f"{said} Changed as below it needs {size(need(changed)[1])}."
            return Problem(name, said, _changes(name, section, update), certain)
    return Problem(name, f"{said} No setting helps: take a smaller model, or a machine with more.", (), certain)


def _changes(name: str, section: TrainingSettings, update: dict[str, Any]) -> tuple[str, ...]:
    """What differs from the section, as --set takes it."""
    return tuple(
        f"{name}.{k}={'null' if v is None else str(v).lower()}" for k, v in update.items() if getattr(section, k) != v
    )


def size(count: float) -> str:
    """A number of bytes for a reader, in units of 1,000: 950 MB, 9.3 GB, 111 GB."""
    for unit, bytes_ in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= bytes_:
            return f"{count / bytes_:.0f} {unit}" if count >= 10 * bytes_ else f"{count / bytes_:.1f} {unit}"
    return f"{count / 1e6:.1f} MB"
