"""What the benchmarks of sampling compare with: the ceiling of a prefix cache, and requests as the plan counts them."""

import pytest

from mr_assets.planning.stages import samplings
from mr_assets.sampling.engine import Request
from mr_assets_tests.benchmarks.gpu import ON_GPU
from mr_assets_tests.benchmarks.prefix_cache import ceiling, paper_requests


@pytest.mark.parametrize(
    ("requests", "share"),
    [
        ([Request("a", [1, 2, 3, 4, 5]), Request("b", [1, 2, 3, 4, 5])], 4 / 10),
        ([Request("a", [1, 2, 3, 4]), Request("b", [1, 2, 3, 4])], 2 / 8),  # the last token is computed
        ([Request("a", [1, 2, 3, 4, 5], n=3)], 8 / 15),  # two of three
        ([Request("a", [1, 2, 3, 4, 5]), Request("b", [1, 9, 3, 4, 5])], 0.0),  # a block goes by all that is before it
        ([Request("a", [1, 2, 3, 4, 5]), Request("b", [1, 2, 9, 4, 5]), Request("c", [1, 2, 9, 4, 6])], 6 / 15),
    ],
)
def test_the_ceiling_in_blocks_of_two(requests: list[Request], share: float) -> None:
    assert ceiling(requests, block=2) == pytest.approx(share)


@pytest.mark.parametrize("asset", ["responses", "judgments", "meta_judgments"])
def test_requests_share_their_beginnings_as_the_plan_counts(asset: str) -> None:
    """Of two prompts: as many requests and tokens, up to half a token per piece, and nearly the same ceiling.

    The plan takes half a block for what does not fill one: 8 tokens of a prompt of 70, of which really 6 are left over.
    """
    recipe, lengths = ON_GPU.recipe, ON_GPU.lengths
    row = recipe.iterations[0].model_copy(update={"prompts": 2})
    stage = next(
        s for s in samplings(recipe.model_copy(update={"iterations": [row]}), lengths, 1, {}) if s.asset == asset
    )
    requests = paper_requests(asset, 2)
    assert len(requests) == stage.requests
    assert sum(r.n for r in requests) == stage.completions
    assert sum(r.n * len(r.prompt_ids) for r in requests) == pytest.approx(stage.tokens_in, rel=0.003)
    assert ceiling(requests, block=16) == pytest.approx(stage.cached, abs=0.03)
