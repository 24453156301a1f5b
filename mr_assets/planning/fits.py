"""What does not fit on so many GPUs of so much memory, and the fields of the recipe to change.

Training (dpo) needs 114 GB of each GPU, there are 80 GB. Changed as below it needs 49 GB.
  dpo.optimizer=adamw_torch dpo.num_processes=8 dpo.accelerate_config=fsdp
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import prod
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
from mr_assets.recipes.differences import differences
from mr_assets.recipes.recipe import Recipe
from mr_assets.recipes.yaml_files import parse_mapping
from mr_assets.runs.data_folder import accelerate_file
from mr_assets.sampling.settings import EngineSettings
from mr_assets.section import Section
from mr_assets.text_files import read_text_file
from mr_assets.training.accelerate_config import accelerate_faults
from mr_assets.training.settings import TrainingSettings, batch_problem

ENGINE = "engine"
ADAPTERS = {"lora_r": 16}  # what is proposed where not all weights can be trained


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


def on_gpus(recipe: Recipe, shape: Shape, data: Path, count: int) -> Recipe:
    """The recipe as `count` GPUs can begin it: without more processes and ranks than there are GPUs, and the like."""
    trainings = {name: trainable(section, data, count) for name, section in sections(recipe).items()}
    return recipe.model_copy(update={ENGINE: startable(recipe.engine, shape, count), **trainings})


def gpu_problems(recipe: Recipe, shape: Shape, data: Path, gigabytes: float, count: int) -> Iterator[Problem]:
    """What does not fit on `count` GPUs of so many GB each: one problem of the engine, and of each training.

    With all fields changed that the problems name, what is left is what no setting mends.
    """
    if (problem := _engine_problem(recipe.engine, shape, gigabytes, count)) is not None:
        yield problem
    engine = startable(recipe.engine, shape, count)
    yield from _problems_of_others(
        recipe, data, gigabytes * 1e9 * count, f"there are {count} x {gigabytes:.0f} GB",
        lambda other: _engine_problem(engine, other, gigabytes, count),
    )  # fmt: skip
    for name, section in sections(recipe).items():
        if (problem := _training_problem(name, section, shape, data, gigabytes, count)) is not None:
            yield problem


def _too_few(factors: dict[str, int], count: int) -> Iterator[str]:
    """Why there are not enough GPUs for the product of the fields."""
    if (needed := prod(factors.values())) > count:
        yield f"{_product(factors)} needs {needed} GPUs, there {'is' if count == 1 else 'are'} {count}."


def _product(factors: dict[str, int]) -> str:
    return " x ".join(f"{field} = {number}" for field, number in factors.items() if number > 1)


# ------------------------------------------------------------------------------------------------ GPUs: the engine


def can_share(shape: Shape, parts: int) -> bool:
    """Whether so many tensor parallel ranks can share the model out: vLLM cuts heads and feed-forward layers evenly.

    Of the heads with keys and values each rank has as many, or several ranks a copy of each.
    """
    keys = shape.kv_heads % parts == 0 or parts % shape.kv_heads == 0
    return shape.heads % parts == 0 and shape.intermediate % parts == 0 and keys


def most_parts(shape: Shape, count: int) -> int:
    """The most GPUs, of `count` at most, that can share the model out."""
    return next(n for n in range(count, 0, -1) if can_share(shape, n))


def startable(engine: EngineSettings, shape: Shape, count: int) -> EngineSettings:
    """The engine as `count` GPUs can start it; further ranks than tensor parallel ones go first."""
    if engine.gpus > count:
        engine = engine.model_copy(update={"extra": engine.extra | dict.fromkeys(engine.other_ranks, 1)})
    return _over(engine, most_parts(shape, min(engine.tensor_parallel_size, count)), count)


def _over(engine: EngineSettings, parts: int, count: int) -> EngineSettings:
    """With so many tensor parallel ranks, and no more replicas than `count` GPUs hold then."""
    wider = engine.model_copy(update={"tensor_parallel_size": parts})
    return wider.model_copy(update={"replicas": max(1, min(engine.replicas, count // wider.gpus))})


def _wider(engine: EngineSettings, shape: Shape, count: int) -> Iterator[EngineSettings]:
    """The engine with ever more tensor parallel ranks."""
    for parts in range(engine.tensor_parallel_size + 1, count + 1):
        if can_share(shape, parts) and (wider := _over(engine, parts, count)).gpus <= count:
            yield wider


def _ranks(engine: EngineSettings) -> dict[str, int]:
    """GPUs that share one model, by field."""
    others = {f"{ENGINE}.extra.{key}": size for key, size in engine.other_ranks.items()}
    return {f"{ENGINE}.tensor_parallel_size": engine.tensor_parallel_size, **others}


def _engine_problem(engine: EngineSettings, shape: Shape, gigabytes: float, count: int) -> Problem | None:
    said = list(_too_few({**_ranks(engine), f"{ENGINE}.replicas": engine.replicas}, count))
    if not can_share(shape, parts := engine.tensor_parallel_size):
        said.append(
            f"{ENGINE}.tensor_parallel_size = {parts}: {parts} GPUs cannot share out {shape.heads} attention heads, "
            f"{shape.kv_heads} of them with keys and values, and a feed-forward width of {shape.intermediate:,} evenly."
        )
    able, room = startable(engine, shape, count), engine.gpu_memory_utilization * gigabytes * 1e9
    need, too_few, then = engine_memory(shape, able), bool(said), "then " if said else ""
    if need.needed <= room:
        return Problem(ENGINE, " ".join(said), changes(engine, able, ENGINE)) if said else None
    said.append(
        f"The engine {then}needs {size(need.needed)} of each GPU for its weights and one completion of "
        f"engine.max_model_len = {engine.max_model_len} tokens; engine.gpu_memory_utilization = "
        f"{engine.gpu_memory_utilization} of {gigabytes:.0f} GB are {size(room)}."
    )
    too_much, least = need.least > room, need.needed
    for wider in _wider(able, shape, count):
        if (least := engine_memory(shape, wider).needed) <= room:
            return Problem(ENGINE, " ".join(said), changes(engine, wider, ENGINE), too_few or too_much)
    said.append(f"On as many as can share it out it needs {size(least)}: take larger GPUs, or more of them.")
    return Problem(ENGINE, " ".join(said), () if too_much else changes(engine, able, ENGINE), too_few or too_much)


# --------------------------------------------------------------------------------------------- GPUs: the trainings


def most_processes(section: TrainingSettings, count: int) -> int:
    """The most training processes, of `count` at most, that can share the section's batches out."""
    fits = (n for n in range(count, 1, -1) if not batch_problem(section.batch_size, section.micro_batch_size, n))
    return next(fits, 1)


def trainable(section: TrainingSettings, data: Path, count: int) -> TrainingSettings:
    """The training as `count` GPUs can begin it: with a configuration of accelerate that goes with it, or with none."""
    processes = most_processes(section, min(section.num_processes, count))
    torch = {"optimizer": "adamw_torch"} if section.optimizer == "adamw_8bit" else {}
    shipped: list[dict[str, Any]] = [torch, {"accelerate_config": "fsdp", **torch}]
    mends = [{}, *(shipped if is_sharded(section, data) else []), {"accelerate_config": None}]
    changed = (section.model_copy(update={"num_processes": processes, **mend}) for mend in mends)
    return next(each for each in changed if not _faults(each, data))


def _faults(section: TrainingSettings, data: Path) -> list[str]:
    """Why nothing can be trained with the section's configuration of accelerate; of one that is not here, nothing."""
    said = _accelerate(section, data)
    return list(accelerate_faults(section, said)) if said is not None and section.accelerate_config else []


def _training_problem(
    name: str, section: TrainingSettings, shape: Shape, data: Path, gigabytes: float, count: int
) -> Problem | None:
    def needed(of: TrainingSettings) -> Memory:
        return training_memory(shape, of, sharded=is_sharded(of, data))

    said = list(_too_few({f"{name}.num_processes": section.num_processes}, count))
    if faults := _faults(section, data):
        config = f"{name}.accelerate_config = {section.accelerate_config}"
        said.append(f"{config} cannot be trained with: {'; '.join(faults)}.")
    able, room = trainable(section, data, count), gigabytes * 1e9
    need, wrong, then = needed(able), bool(said), "then " if said else ""
    if need.needed <= room:
        return Problem(name, " ".join(said), changes(section, able, name)) if said else None
    too_much = need.least > room and not _offloads(able, data)
    longest = "" if too_much else f" with rows of {name}.max_length = {section.max_length} tokens"
    said.append(
        f"Training ({name}) {then}needs {size(need.needed)} of each GPU{longest}, there are {gigabytes:.0f} GB."
    )
    least, larger = need.needed, "take larger GPUs" + (", or more of them for FSDP" if section.lora_r is None else "")
    for changed in _smaller(able, is_sharded(able, data), count):
        smaller = needed(changed).needed
        if smaller <= room:
            adapters = (
                f" and trains adapters alone (LoRA). For all weights {larger}" if changed.lora_r != able.lora_r else ""
            )
            said.append(f"Changed as below it needs {size(smaller)}{adapters}.")
            return Problem(name, " ".join(said), changes(section, changed, name), wrong or too_much)
        least = min(least, smaller)
    said.append(f"With every saving it needs {size(least)}: {larger}.")
    return Problem(name, " ".join(said), () if too_much else changes(section, able, name), wrong or too_much)


def _smaller(section: TrainingSettings, sharded: bool, count: int) -> Iterator[TrainingSettings]:
    """The training with settings that take less memory, from the harmless to the costly."""
    passes: list[dict[str, Any]] = [{"micro_batch_size": 1}, {"gradient_checkpointing": True}]
    update: dict[str, Any] = {}
    for saving in [*passes, *([] if sharded else [{"optimizer": "adamw_8bit"}])]:
        update |= saving
        yield section.model_copy(update=update)
    if section.lora_r is not None:
        return
    if count > 1:  # adapters are not shared out, nor is the state of bitsandbytes
        update = {} if sharded else {"accelerate_config": "fsdp", "optimizer": "adamw_torch"}
        for saving in ({}, *passes):
            update |= saving
            changed = section.model_copy(update=update)
            if (processes := most_processes(changed, count)) > 1:
                yield changed.model_copy(update={"num_processes": processes})
    update = {"accelerate_config": None, "optimizer": "adamw_8bit", **ADAPTERS}
    for saving in ({}, *passes):
        update |= saving
        yield section.model_copy(update=update)


# ---------------------------------------------------------------------------------------------------- CPU and host


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
        ranks = _ranks(engine)
        said = (
            f"The engine shares one model out to {engine.gpus} GPUs ({_product(ranks)}): on a CPU it has one process."
        )
        yield Problem(ENGINE, said, tuple(f"{field}=1" for field, number in ranks.items() if number > 1))
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
    for saving in [*savings, {"gradient_checkpointing": True}, {"optimizer": "adamw_8bit"}, ADAPTERS]:
        update |= saving
        changed = section.model_copy(update=update)
        if need(changed)[1] <= free:
            said = f"{said} Changed as below it needs {size(need(changed)[1])}."
            return Problem(name, said, changes(section, changed, name), certain)
    return Problem(name, f"{said} No setting helps: take a smaller model, or a machine with more.", (), certain)


def changes(before: Section, after: Section, *name: str) -> tuple[str, ...]:
    """What differs, as --set takes it. name: of the section in the recipe."""
    return tuple(
        f"{'.'.join([*name, each.path])}={'null' if each.new is None else str(each.new).lower()}"
        for each in differences(before, after)
    )


def size(count: float) -> str:
    """A number of bytes for a reader, in units of 1,000: 950 MB, 9.3 GB, 111 GB."""
    for unit, bytes_ in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= bytes_:
            return f"{count / bytes_:.0f} {unit}" if count >= 10 * bytes_ else f"{count / bytes_:.1f} {unit}"
    return f"{count / 1e6:.1f} MB"
