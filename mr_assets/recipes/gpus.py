"""How many GPUs each asset of a recipe works on: what the executors of clusters are asked for.

gpus(recipe, "responses")       8    engine.tensor_parallel_size: 4, engine.replicas: 2
gpus(recipe, "checkpoints")     2    dpo.num_processes: 2
gpus(recipe, "actor_pairs")     0

fields_of("checkpoints")        ("dpo.num_processes",)
"""

from mr_assets.loop import LOOP
from mr_assets.recipes.recipe import Recipe
from mr_assets.training.settings import TrainingSettings


def gpus(recipe: Recipe, asset: str) -> int:
    """The GPUs that an asset uses at a time: its engine's, or its trainer's, one per process; 0 if it needs none.

    Whether there are GPUs is not the recipe's: the same recipe samples and trains on CPUs where vLLM and torch are
    built for them.
    """
    row = LOOP[asset]
    if asset not in LOOP.of(recipe):
        return 0
    if "engine" in row.shaping(recipe):
        return recipe.engine.gpus * recipe.engine.replicas
    section: TrainingSettings | None = getattr(recipe, row.trained_by) if row.trained_by else None
    return section.num_processes if section else 0  # without SFT, M0 is the seed model itself


def fields_of(asset: str) -> tuple[str, ...]:
    """The fields of the recipe whose product is the number of an asset's GPUs."""
    if section := LOOP[asset].trained_by:
        return (f"{section}.num_processes",)
    return "engine.tensor_parallel_size", "engine.replicas"
