"""What is refused before the first token: what cannot fit into this machine's GPUs, its memory, or on its disk.

A machine without an NVIDIA driver, or with an engine for CPUs, has no GPUs to look at. A model whose config.json says
no shape is not held back either: then nothing is known.
"""

import importlib.util
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from mr_assets.errors import UserError
from mr_assets.files import bytes_in
from mr_assets.loop import LOOP
from mr_assets.planning.devices import Device, devices, smallest
from mr_assets.planning.disk import Disk, disk, totals
from mr_assets.planning.fits import ENGINE, Problem, cpu_problems, gpu_problems, host_problems, sections, size
from mr_assets.planning.lengths import assumed_lengths
from mr_assets.planning.other_models import others
from mr_assets.planning.shapes import Shape, shape_of_folder, shape_of_name
from mr_assets.planning.stages import Sampling, Stage, stages
from mr_assets.recipes.gpus import gpus
from mr_assets.recipes.recipe import Recipe
from mr_assets.runs.data_folder import resolve
from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.runs.pruning import is_pruned
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets.sampling.engine import samples_on_cpu
from mr_assets.training.job import EPOCHS


def gpus_here() -> list[Device]:
    """The GPUs that a run on this machine would use."""
    return [] if samples_on_cpu() else devices()


def check_gpus(run: Run, found: Sequence[Device], asset: str | None = None) -> list[str]:
    """Raise `UserError` if the run cannot fit into the GPUs `found`; else what may not fit, a sentence each.

    asset: look at what this one needs alone. Of GPUs that differ, the smallest counts.
    """
    shape = _shape(run)
    if not found or shape is None:
        return []
    least = smallest(found)
    problems = _of(run.recipe, asset, gpu_problems(run.recipe, shape, run.data, least.memory / 1e9, len(found)))
    if certain := [_worded(problem) for problem in problems if problem.certain]:
        where = f"{len(found)} x {least.name}"
        raise UserError("\n  - ".join([f"{asset or run.name} does not fit on {where}. Nothing was started.", *certain]))
    return [_worded(problem) for problem in problems]


def _of(recipe: Recipe, asset: str | None, problems: Iterable[Problem]) -> list[Problem]:
    """Those of the engine, trainer or other model that an asset needs; all without one."""
    needed = set() if asset is None else {LOOP[asset].trained_by or ENGINE}
    needed |= {other.field for other in others(recipe) if other.asset == asset}
    return [problem for problem in problems if asset is None or problem.of in needed]


def check_host(run: Run, free: float, asset: str | None = None) -> None:
    """Raise `UserError` if the memory of a host with GPUs cannot hold what a training loads before it goes to them.

    free: bytes of memory that this process can still have. asset: as for `check_gpus`.
    """
    shape = _shape(run)
    problems = [] if shape is None else _of(run.recipe, asset, host_problems(run.recipe, shape, run.data, free))
    if problems:
        said = f"{asset or run.name} does not fit into the memory of this host. Nothing was started."
        raise UserError("\n  - ".join([said, *map(_worded, problems)]))


def check_optimizer(run: Run, asset: str | None = None) -> None:
    """Raise `UserError` if a training's optimizer is in a library that is not installed. asset: as for `check_gpus`."""
    for name, section in sections(run.recipe).items():
        mine = asset is None or name == LOOP[asset].trained_by
        if mine and section.optimizer == "adamw_8bit" and importlib.util.find_spec("bitsandbytes") is None:
            raise UserError(
                f"{name}.optimizer = adamw_8bit: it needs bitsandbytes, which is not installed. Install it "
                "(pip install bitsandbytes), or take adamw_torch."
            )


def check_cpu(run: Run, free: float, asset: str | None = None) -> list[str]:
    """Raise `UserError` for what the CPU of this machine cannot run; else what may not fit, a sentence each.

    free: bytes of memory that this process can still have. asset: as for `check_gpus`.
    """
    model = run.recipe.model
    shape = _shape(run) or (shape_of_name(model.seed) if model.allow_hub else None)
    problems = _of(run.recipe, asset, cpu_problems(run.recipe, shape, run.data, free))
    if certain := [_worded(problem) for problem in problems if problem.certain]:
        advice = "The base recipe cpu has settings for a CPU (mr recipes cpu)."
        raise UserError("\n  - ".join([f"{run.name} cannot run on this machine's CPU. {advice}", *certain]))
    notes = [_worded(problem) for problem in problems]
    if run.recipe.engine.enforce_eager is False:
        notes.append(
            "engine.enforce_eager = false: on a CPU compiling takes minutes at each start; null is eager there."
        )
    return notes


def busy_gpus(run: Run, found: Sequence[Device]) -> Iterator[str]:
    """Of which GPUs others hold so much that the engine could not start now, a sentence each."""
    share = run.recipe.engine.gpu_memory_utilization
    for number, device in enumerate(found[: gpus(run.recipe, "responses")]):
        if device.free < share * device.memory:
            yield (
                f"GPU {number} ({device.name}): {size(device.free)} are free, engine.gpu_memory_utilization = {share} "
                f"asks for {size(share * device.memory)}. End what holds it, or lower the share."
            )


def check_disk(run: Run, asset: str | None = None, partition: str | None = None) -> list[str]:
    """Raise `UserError` if the models that are still to be made do not fit on the disk.

    asset: look at this one alone. Returns a sentence if they fit and the tables, which are estimated, may not.
    """
    shape = _shape(run)
    if shape is None:
        return []
    if asset is None:
        found = [(stage, _on_disk(run, stage, shape, state(run, *_place(stage)) == "done")) for stage in _stages(run)]
    else:
        found = [(s, _on_disk(run, s, shape, False)) for s in _stages(run) if _place(s) == (asset, partition)]
    keep = run.recipe.storage.keep_policies if asset is None else None
    certain = totals((needed for stage, needed in found if not isinstance(stage, Sampling)), keep).most
    there = next(folder for folder in (run.data, *run.data.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    what = f"{asset} of iteration {partition}" if partition else asset or f"run {run.name}"
    todo = (
        "Free some space, set MR_DATA to a folder on a larger disk, keep less (storage.keep_policies, "
        "dpo.overwrite_checkpoint, sft.overwrite_checkpoint), or plan with fewer iterations (mr plan)."
    )
    if certain > free:
        raise UserError(
            f"{what}: its models and the checkpoints to resume from take {size(certain)} at a time, {size(free)} are "
            f"free in {run.data}. Nothing was started. {todo}"
        )
    if (expected := totals((needed for _, needed in found), keep).most) > free:
        return [f"{what} is expected to take {size(expected)} of disk, {size(free)} are free in {run.data}. {todo}"]
    return []


def _place(stage: Stage) -> tuple[str, str | None]:
    return stage.asset, stage.partition


def _on_disk(run: Run, stage: Stage, shape: Shape, done: bool) -> Disk:
    """What a stage still writes: nothing if it is done, but then its weights can go.

    Epochs that were kept, and what an attempt left to resume from, are there already.
    """
    found = disk(stage, shape, run.recipe, run.data)
    there = replace(found, kept=0.0, passing=0.0)
    if isinstance(stage, Sampling):
        return there if done else found
    if found.model is not None and is_pruned(run, str(found.model)):
        return replace(there, weights=0.0)
    place = run.path(stage.asset, stage.partition)
    if done or (run.recipe.dpo.keep_all_epochs and (place / EPOCHS).is_dir()):
        return there
    left = bytes_in(place.with_name(f"{place.name}.training"))
    return replace(found, passing=max(0.0, found.passing - left))


def _stages(run: Run) -> list[Stage]:
    return stages(run.recipe, assumed_lengths(run.recipe, *judge_prompts(run.recipe, run.data)))


def _shape(run: Run) -> Shape | None:
    folder = resolve(run.recipe.model.seed, run.data)
    return shape_of_folder(folder) if folder.is_dir() else None


def _worded(problem: Problem) -> str:
    if not problem.change:
        return problem.said
    return f"{problem.said} To change: {' '.join(f'--set {change}' for change in problem.change)}"
