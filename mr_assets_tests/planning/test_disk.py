"""What lies on the disk: what stays, and the most at a time."""

from mr_assets.planning.disk import Disk, disk, most
from mr_assets.planning.shapes import KNOWN
from mr_assets.planning.stages import Sampling, Training
from mr_assets.recipes.recipe import Recipe
from mr_assets.recipes.sets import with_sets

SHAPE = KNOWN["8b"]
MODEL = 4 * SHAPE.weights  # 32 GB
RESUME = 6 * SHAPE.weights  # with an 8-bit optimizer 48 GB


def trained(recipe: Recipe, epochs: int) -> Disk:
    return disk(Training("checkpoints", "1", 100, epochs, 4 * epochs, 1000), SHAPE, recipe)


def test_a_model_and_what_it_can_resume_from(paper: Recipe) -> None:
    """One epoch leaves nothing to resume from; two leave one checkpoint, three two while one is written."""
    assert trained(paper, 1) == Disk(MODEL, 0)
    assert trained(paper, 2) == Disk(MODEL, RESUME)
    assert trained(paper, 3) == Disk(MODEL, 2 * RESUME - MODEL)
    saved = with_sets(paper, ["dpo.save_steps=10", "dpo.optimizer=adamw_torch"])
    assert trained(saved, 1) == Disk(MODEL, 2 * 3 * MODEL - MODEL)


def test_every_epoch_that_is_kept(paper: Recipe) -> None:
    assert trained(with_sets(paper, ["dpo.keep_all_epochs=true"]), 10).kept == 10 * MODEL


def test_a_table_and_its_shards(paper: Recipe) -> None:
    """10 completions with 100 tokens: 600 bytes of tokens, 1,000 of rows; an evaluation leaves a row."""
    assert disk(Sampling("responses", "1", 5, 10, 50, 50, 100), SHAPE, paper) == Disk(1600, 1600)
    assert disk(Sampling("evaluation", "1", 5, 10, 50, 50, 100), SHAPE, paper) == Disk(0, 1600)


def test_the_most_at_a_time() -> None:
    """5 while the second is made: 1 of the first, 2 of its own, 2 in passing; afterwards 3 and 1."""
    assert most([Disk(1, 0), Disk(2, 2), Disk(1, 0)]) == 5
    assert most([Disk(3, 0), Disk(3, 0)]) == 6
    assert most([]) == 0
