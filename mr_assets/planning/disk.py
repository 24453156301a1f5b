"""What a run writes to the disk, in bytes, and the most that lies there at a time.

a model 32 GB (fp32), the checkpoint to resume from 48 GB (weights and optimizer), two of them while one is written
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mr_assets.planning.memory import OPTIMIZER_BYTES
from mr_assets.planning.shapes import Shape
from mr_assets.planning.stages import Sampling, Stage, Training
from mr_assets.recipes.recipe import Recipe

BYTES_PER_TOKEN = 6
"""Of a sampled token in a table: its id and its characters, packed."""
BYTES_PER_ROW = 100
"""Of a sampled completion in a table besides: ids, lengths, what was read out of it."""


@dataclass(frozen=True)
class Disk:
    """What one stage leaves on the disk (kept), and what it has there besides while it works (passing), bytes."""

    kept: float
    passing: float


def disk(stage: Stage, shape: Shape, recipe: Recipe) -> Disk:
    """Of a table: the table, and its shards until it is whole. Of a model: the folder, and what it can resume from."""
    if isinstance(stage, Sampling):
        table = 0.0 if stage.asset == "evaluation" else _table(stage)
        return Disk(table, _table(stage))
    return _model(stage, shape, recipe)


def _table(stage: Sampling) -> float:
    return stage.tokens_out * BYTES_PER_TOKEN + stage.completions * BYTES_PER_ROW


def _model(stage: Training, shape: Shape, recipe: Recipe) -> Disk:
    """Weights are written in fp32. An old checkpoint goes when the new one is whole."""
    model = 4 * shape.weights
    section = recipe.dpo if stage.asset == "checkpoints" else recipe.sft
    assert section is not None
    resume = model + OPTIMIZER_BYTES[section.optimizer] * shape.weights
    kept = model * (recipe.dpo.schedule_epochs if stage.asset == "checkpoints" and recipe.dpo.keep_all_epochs else 1)
    several = stage.epochs > 2 or section.save_steps is not None
    saves = stage.epochs > 1 or section.save_steps is not None
    # The last epoch's end writes the model beside the one checkpoint that is left.
    passing = max(2 * resume - model if several else 0.0, resume if saves else 0.0)
    return Disk(float(kept), passing)


def most(stages: Iterable[Disk]) -> float:
    """The most bytes that lie there at a time, when the stages are done in this order."""
    kept = peak = 0.0
    for each in stages:
        peak = max(peak, kept + each.kept + each.passing)
        kept += each.kept
    return max(peak, kept)
