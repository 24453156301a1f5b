"""How long a stage takes, against what was worked out for the paper's setting on one H200."""

import pytest

from mr_assets.planning.data_sheets import GPUS
from mr_assets.planning.lengths import Lengths
from mr_assets.planning.shapes import KNOWN
from mr_assets.planning.speed import running, sampling_roofline, sampling_seconds, training_roofline, training_seconds
from mr_assets.planning.stages import Sampling, Training, stages
from mr_assets.recipes.recipe import Recipe
from mr_assets.recipes.sets import with_sets

SHAPE, GPU = KNOWN["8b"], GPUS["h200"]


@pytest.fixture(scope="module")
def first(paper: Recipe, lengths: Lengths) -> dict[str, Sampling]:
    """The sampling stages of iteration 1."""
    return {s.asset: s for s in stages(paper, lengths) if isinstance(s, Sampling) and s.partition == "1"}


@pytest.mark.parametrize(
    ("asset", "roofline", "uncached", "least", "most"),
    [
        ("responses", 0.13, 0.14, 0.25, 0.35),
        ("judgments", 0.69, 2.21, 1.2, 1.7),
        ("meta_judgments", 2.81, 5.25, 5, 7),
    ],
)
def test_sampling_of_the_paper(
    first: dict[str, Sampling], paper: Recipe, asset: str, roofline: float, uncached: float, least: float, most: float
) -> None:
    """Hours of iteration 1: the roofline with and without a prefix cache within 12%, the expected in their range."""
    of = (first[asset], SHAPE, paper.engine, GPU)
    assert sampling_roofline(*of) / 3600 == pytest.approx(roofline, rel=0.12)
    assert sampling_roofline(*of, cached=False) / 3600 == pytest.approx(uncached, rel=0.12)
    assert least <= sampling_seconds(*of) / 3600 <= most


def test_ten_epochs_of_dpo(paper: Recipe, lengths: Lengths) -> None:
    """148 million tokens take 6 to 9 hours."""
    recipe = with_sets(paper, ["iterations.all.keep_epoch=10"])
    stage = next(s for s in stages(recipe, lengths) if isinstance(s, Training) and s.partition == "1")
    assert stage.tokens * stage.epochs == pytest.approx(148e6, rel=0.01)
    assert 6 <= training_seconds(stage, SHAPE, recipe.dpo, GPU) / 3600 <= 9


def test_a_step_of_the_roofline_by_hand(paper: Recipe) -> None:
    """100 completions of 10 tokens at a time, context 105: ten steps read 16.06 GB of weights and 1.38 GB of cache."""
    stage = Sampling("responses", "1", 100, 100, 10_000, 10_000, 1000)
    assert running(stage, SHAPE, paper.engine, GPU) == 100
    reading = 10 * (2 * SHAPE.weights + 100 * 105 * 131_072) / 4800e9
    operations = (10_000 * SHAPE.flops(50) + 1000 * SHAPE.flops(105)) / 989e12
    assert sampling_roofline(stage, SHAPE, paper.engine, GPU) == pytest.approx(reading + operations)


def test_a_smaller_cache_runs_fewer_at_a_time(first: dict[str, Sampling], paper: Recipe) -> None:
    """24 GB hold 16 GB of weights and 20,000 tokens: 16 meta-judgments."""
    stage = first["meta_judgments"]
    assert running(stage, SHAPE, paper.engine, GPU) == 512
    assert running(stage, SHAPE, paper.engine, GPUS["4090"]) == pytest.approx(16, abs=1)


def test_several_gpus_share_the_work(first: dict[str, Sampling], paper: Recipe, lengths: Lengths) -> None:
    of = (first["responses"], SHAPE)
    for field in ("tensor_parallel_size", "replicas"):
        two = paper.engine.model_copy(update={field: 2})
        assert sampling_roofline(*of, two, GPU) == pytest.approx(sampling_roofline(*of, paper.engine, GPU) / 2)
    stage = next(s for s in stages(paper, lengths) if isinstance(s, Training))
    eight = paper.dpo.model_copy(update={"num_processes": 8})
    assert training_roofline(stage, SHAPE, eight, GPU) == training_roofline(stage, SHAPE, paper.dpo, GPU) / 8


def test_the_passes_of_a_training(paper: Recipe) -> None:
    """Forward, backward (two) and recomputed in each epoch; the reference and the reward margins once."""
    stage = Training("checkpoints", "1", 10, 3, 3, 1000)
    seconds = training_roofline(stage, SHAPE, paper.dpo, GPU)
    assert seconds == pytest.approx(1000 * (3 * 4 + 2) * SHAPE.flops(50) / 989e12)
    assert paper.sft is not None
    plain = paper.sft.model_copy(update={"gradient_checkpointing": False, "precision": "tf32"})
    assert training_roofline(stage, SHAPE, plain, GPU) == pytest.approx(2 * 1000 * 3 * 3 * SHAPE.flops(50) / 989e12)
