"""The paper's own figures, held against what its text says of them."""

from itertools import pairwise

from mr_assets.report.paper import HEAD, TABLE_1

PERCENT = {model: (float(lc.removesuffix("%")), float(rate.removesuffix("%"))) for model, lc, rate, _ in TABLE_1}


def test_every_model_has_both_win_rates_and_a_length() -> None:
    """The seed, the model that was finetuned on EFT data, and four iterations of each method."""
    assert all(len(row) == len(HEAD) for row in TABLE_1) and len(PERCENT) == len(TABLE_1) == 10
    assert all(lc.endswith("%") and rate.endswith("%") and chars.isdecimal() for _, lc, rate, chars in TABLE_1)


def test_the_figures_are_those_that_the_abstract_rounds() -> None:
    """From 22.9% to 39.4% on AlpacaEval 2; each iteration is better than the one before, with and without the judge."""
    assert (round(PERCENT["seed"][0], 1), round(PERCENT["Meta-Rewarding, iteration 4"][0], 1)) == (22.9, 39.4)
    for method in ("Self-Rewarding + LC", "Meta-Rewarding"):
        line = [PERCENT["SFT on EFT"], *(PERCENT[f"{method}, iteration {t}"] for t in range(1, 5))]
        assert all(new > old for rates in zip(*line, strict=True) for old, new in pairwise(rates))
