"""What a run writes to the disk, in bytes, and the most that lies there at a time.

a model 32 GB (fp32), the checkpoint to resume from 51 GB (weights and optimizer), and as much while one is written

A checkpoint goes when the next one is whole, or before that with `overwrite_checkpoint`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mr_assets.ids import model_id
from mr_assets.loop import LOOP
from mr_assets.planning.fits import is_sharded, size, training_of
from mr_assets.planning.memory import optimizer_bytes, trained_weights
from mr_assets.planning.shapes import Shape
from mr_assets.planning.stages import Sampling, Stage, Training
from mr_assets.recipes.recipe import Recipe
from mr_assets.tables import TABLES
from mr_assets.training.settings import TrainingSettings

BYTES_PER_TOKEN = 6
"""Of a sampled token in a table: its id and its characters, packed."""
BYTES_PER_ROW = 100
"""Of a sampled completion in a table besides: ids, lengths, what was read out of it."""


@dataclass(frozen=True)
class Disk:
    """What one stage leaves on the disk (kept), and what it has there besides while it works (passing), bytes.

    model: the iteration whose model it is; weights: what of `kept` goes when that model is pruned.
    """

    kept: float
    passing: float
    model: int | None = None
    weights: float = 0.0


def disk(stage: Stage, shape: Shape, recipe: Recipe, data: Path) -> Disk:
    """Of a table: the table, and its shards until it is whole. Of a model: the folder, and what it can resume from.

    What measures a model keeps figures of its completions alone, unless these are its rows.
    data: the data folder, where a configuration of accelerate may lie.
    """
    if isinstance(stage, Sampling):
        figures_alone = LOOP[stage.asset].per == "model" and not TABLES[stage.asset].has_completions
        return Disk(0.0 if figures_alone else _table(stage), _table(stage))
    return _model(stage, shape, recipe, data)


def _table(stage: Sampling) -> float:
    return stage.tokens_out * BYTES_PER_TOKEN + stage.completions * BYTES_PER_ROW


def _model(stage: Training, shape: Shape, recipe: Recipe, data: Path) -> Disk:
    """The model's weights are written in fp32, adapters worked in; what it can resume from is what is trained.

    With FSDP a checkpoint has the weights twice: as a model's, and as those that FSDP goes on from.
    """
    model = 4 * shape.weights
    section, dpo = training_of(recipe, stage.asset), LOOP[stage.asset].trained_by == "dpo"
    times = 2 if is_sharded(section, data) else 1
    resume = 4 * times * trained_weights(shape, section) + optimizer_bytes(shape, section)
    kept = float(model * (recipe.dpo.schedule_epochs if dpo and recipe.dpo.keep_all_epochs else 1))
    saves = stage.epochs > 1 or section.save_steps is not None
    # The last epoch's end writes the model beside the one checkpoint that is left.
    beside = 2 * resume - model if writes_beside(stage, section) else 0.0
    passing = max(beside, resume if saves else 0.0)
    return Disk(kept, passing, int(stage.partition), kept) if dpo and stage.partition else Disk(kept, passing)


def writes_beside(stage: Training, section: TrainingSettings) -> bool:
    """Whether a training writes a checkpoint while the one before it is still there."""
    several = stage.epochs > 2 or section.save_steps is not None
    return several and not section.overwrite_checkpoint


def said_of_removed(freed: Mapping[str, int]) -> list[str]:
    """Which models lost their weights, a line each. freed: bytes by iteration, as `prune` has them."""
    return [
        f"{model_id(int(t))}: its weights are removed, {size(count)} (storage.keep_policies)"
        for t, count in freed.items()
    ]


@dataclass(frozen=True)
class Totals:
    """Bytes of all stages: what stays, and the most that lie there at a time."""

    kept: float
    most: float


def totals(stages: Iterable[Disk], keep_policies: int | None = None) -> Totals:
    """Of stages that are done in this order.

    keep_policies: so many models of iterations keep their weights. An earlier one loses them when the next iteration is
    done, of which its model is the last thing, or its evaluation.
    """
    kept = peak = 0.0
    models: dict[int, float] = {}
    for each in stages:
        peak = max(peak, kept + each.kept + each.passing)
        kept += each.kept
        if keep_policies is not None:
            models |= {each.model: each.weights} if each.model is not None else {}
            for model in sorted(models)[:-keep_policies]:
                kept -= models.pop(model)
    return Totals(kept, max(peak, kept))
