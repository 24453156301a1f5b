"""The nucleus, found among the likeliest tokens first."""

import math
from typing import Any

import pytest

from mr_assets.sampling.nucleus import nucleus, nucleus_first


@pytest.fixture(scope="module")
def torch() -> Any:
    """Imported by the process that runs these tests alone: to collect all tests does not take its seconds."""
    return pytest.importorskip("torch")


def never(logits: Any, p: Any) -> Any:
    raise AssertionError("no row's nucleus is that large")


def logits(*rows: list[float]) -> Any:
    """Of rows of probabilities, in whatever order."""
    import torch

    return torch.tensor([[math.log(share) for share in row] for row in rows])


def kept(found: Any) -> list[list[int]]:
    return [[i for i, value in enumerate(row) if value > float("-inf")] for row in found.tolist()]


def test_a_token_is_in_it_if_the_likelier_ones_have_less_than_p(torch: Any) -> None:
    """0.5 and 0.3 have 0.8, less than 0.9; with 0.15 it is 0.95. At p = 0.4 the likeliest alone has more."""
    row = [0.05, 0.3, 0.5, 0.15]
    asked = logits(row, row)
    found = nucleus(asked, torch.tensor([0.9, 0.4]), 4, never)
    assert kept(found) == [[1, 2, 3], [2]]
    assert found[0, 2] == asked[0, 2], "what is in it is as it was"


def test_a_larger_one_is_found_the_other_way(torch: Any) -> None:
    """Two tokens have 0.8 of the first row, enough for 0.7, and 0.5 of the second: that one is handed on, alone."""
    asked: list[Any] = []

    def otherwise(rows: Any, p: Any) -> Any:
        asked.append((len(rows), p.tolist()))
        return rows

    found = nucleus(logits([0.5, 0.3, 0.15, 0.05], [0.25, 0.25, 0.25, 0.25]), torch.tensor([0.7, 0.75]), 2, otherwise)
    assert asked == [(1, [0.75])]
    assert kept(found) == [[0, 1], [0, 1, 2, 3]]


def test_it_is_what_sorting_all_of_them_gives(torch: Any) -> None:
    """Row 25: of rows without ties, the plain definition's; more are asked for than there are tokens."""
    torch.manual_seed(0)
    asked = torch.randn(50, 300) * 3
    shares = asked.softmax(-1)
    likelier = torch.stack([torch.where(row[None] > row[:, None], row[None], 0).sum(-1) for row in shares])
    for first in (300, 1000):
        found = nucleus(asked, torch.full((50,), 0.95), first, never)
        assert torch.equal(found > float("-inf"), likelier < 0.95)


def test_vllms_sampler_gets_no_p_any_more(torch: Any) -> None:
    """Row 25's switch: it would sort. Without top_p, or with a top_k, it is asked as before."""
    asked: list[Any] = []
    forward = nucleus_first(lambda *said: asked.append(said), 2)
    row, p = logits([0.5, 0.3, 0.2]), torch.tensor([0.4])
    forward(row, {}, None, None)
    forward(row, {}, 3, p)
    forward(row, {}, None, p)
    assert asked[0] == (row, {}, None, None)
    assert asked[1] == (row, {}, 3, p)
    assert kept(asked[2][0]) == [[0]]
    assert asked[2][1:] == ({}, None, None)
