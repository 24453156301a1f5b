"""What lies on the disk: what stays, and the most at a time."""

from pathlib import Path

from mr_assets.planning.disk import Disk, Totals, disk, said_of_removed, totals, writes_beside
from mr_assets.planning.shapes import KNOWN
from mr_assets.planning.stages import Sampling, Training
from mr_assets.recipes.recipe import Recipe
from mr_assets.recipes.sets import with_sets

SHAPE = KNOWN["8b"]
MODEL = 4 * SHAPE.weights  # 32 GB
RESUME = 6 * SHAPE.weights + 6 * SHAPE.embedding  # 51 GB with an 8-bit optimizer, which keeps 32 bits of the embedding


def trained(recipe: Recipe, epochs: int) -> Disk:
    return disk(Training("checkpoints", "1", 100, epochs, 4 * epochs, 1000), SHAPE, recipe, Path())


def test_a_model_and_what_it_can_resume_from(paper: Recipe) -> None:
    """One epoch leaves nothing to resume from; two leave one checkpoint, three two while one is written."""
    assert trained(paper, 1) == of_model(0)
    assert trained(paper, 2) == of_model(RESUME)
    assert trained(paper, 3) == of_model(2 * RESUME - MODEL)
    saved = with_sets(paper, ["dpo.save_steps=10", "dpo.optimizer=adamw_torch"])
    assert trained(saved, 1) == of_model(2 * 3 * MODEL - MODEL)


def test_a_checkpoint_that_is_written_over_takes_its_room_once(paper: Recipe) -> None:
    over = with_sets(paper, ["dpo.overwrite_checkpoint=true"])
    assert [trained(over, epochs) for epochs in (1, 2, 3)] == [of_model(0), of_model(RESUME), of_model(RESUME)]
    (two, three) = (Training("checkpoints", "1", 100, epochs, 8, 1000) for epochs in (2, 3))
    assert [writes_beside(each, paper.dpo) for each in (two, three)] == [False, True]
    assert not writes_beside(three, over.dpo)


def test_fsdp_has_the_weights_twice_in_a_checkpoint(paper: Recipe) -> None:
    """As a model's and as FSDP's own, beside 8 bytes a weight of the optimizer: test_fsdp.py looks at the files."""
    fsdp = with_sets(paper, ["dpo.accelerate_config=fsdp", "dpo.num_processes=8", "dpo.optimizer=adamw_torch"])
    assert trained(fsdp, 2) == of_model(16 * SHAPE.weights)


def test_adapters_leave_a_whole_model_and_little_to_resume_from(paper: Recipe) -> None:
    """Rank 2 on q and v: 32 layers x 2 x (4096 + 4096 + 4096 + 1024) adapters, 4 bytes each and 8 of the optimizer."""
    lora = with_sets(paper, ["dpo.lora_r=2", "dpo.lora_target_modules='q_proj, v_proj'", "dpo.optimizer=adamw_torch"])
    assert trained(lora, 2) == of_model(12 * 32 * 2 * 13_312)
    assert trained(lora, 3) == of_model(12 * 32 * 2 * 13_312)  # two of them are less than the model that comes last


def of_model(passing: float) -> Disk:
    return Disk(MODEL, passing, model=1, weights=MODEL)


def test_every_epoch_that_is_kept(paper: Recipe) -> None:
    assert trained(with_sets(paper, ["dpo.keep_all_epochs=true"]), 10).kept == 10 * MODEL


def test_a_table_and_its_shards(paper: Recipe) -> None:
    """10 completions with 100 tokens: 600 bytes of tokens, 1,000 of rows; an evaluation leaves a row."""
    assert disk(Sampling("responses", "1", 5, 10, 50, 50, 100), SHAPE, paper, Path()) == Disk(1600, 1600)
    assert disk(Sampling("evaluation", "1", 5, 10, 50, 50, 100), SHAPE, paper, Path()) == Disk(0, 1600)


def test_the_most_at_a_time() -> None:
    """5 while the second is made: 1 of the first, 2 of its own, 2 in passing; afterwards 3 and 1."""
    assert totals([Disk(1, 0), Disk(2, 2), Disk(1, 0)]) == Totals(kept=4, most=5)
    assert totals([Disk(3, 0), Disk(3, 0)]) == Totals(6, 6)
    assert totals([]) == Totals(0, 0)


def test_pruned_models_make_room() -> None:
    """M0 of 10, then M1 to M4 of 10, each with 5 in passing and a table of 1 before it. Two policies are kept.

    M1 goes when M3 is there, M2 when M4 is: the most are M0, M2, M3, M4 and four tables with the 5 of M4's training.
    With one policy M4's training finds M0 and M3 alone.
    """
    models = [each for t in range(1, 5) for each in (Disk(1, 0), Disk(10, 5, t, 10))]
    assert totals([Disk(10, 5), *models]) == Totals(kept=54, most=59)
    assert totals([Disk(10, 5), *models], keep_policies=2) == Totals(kept=34, most=49)
    assert totals([Disk(10, 5), *models], keep_policies=1) == Totals(kept=24, most=39)
    left = [Disk(0, 0, 2, 10), *models[4:]]  # M2 is there already: it takes no room, and makes some when M3 is there
    assert totals(left, keep_policies=1) == Totals(kept=22 - 20, most=17)


def test_which_weights_went_is_said_in_units_that_tell() -> None:
    assert said_of_removed({"1": 4_300_000, "12": 32_000_000_000}) == [
        "M1: its weights are removed, 4.3 MB (storage.keep_policies)",
        "M12: its weights are removed, 32 GB (storage.keep_policies)",
    ]
