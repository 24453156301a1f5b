"""The tables between the markers, and the picture."""

from dataclasses import replace
from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets_tests.study.page import (
    DOCS,
    PAGES,
    PICTURE,
    claims,
    differences,
    filtered,
    judge_training,
    learnt,
    made_of,
    models_of,
    worth,
    write_pages,
)
from mr_assets_tests.study.results import Result


def result(arm: str, seed: int, score: float) -> Result:
    """A result of four iterations whose true score is `score` at M4, with 117 actor pairs and 3 dropped in each."""
    models = {
        name: {"true_score": 3.0 if name == "M0" else score, "judge_exact": 0.7, "characters": 30.0}
        for name in ("seed", "M0", "M1", "M2", "M3", "M4")
    }
    pairs = {"actor": 117, "actor dropped": {"chosen_too_long": 3}, "judge": 120, "judge dropped": {}}
    return Result(arm, seed, "2026-11-29", 60.0, models, {str(t): pairs for t in range(1, 5)}, {"cpu": "EPYC"}, {}, {})


RESULTS = {
    (arm, seed): result(arm, seed, score)
    for arm, scores in {"meta": (4.0, 4.1, 4.2), "self": (3.5, 3.7, 3.6)}.items()
    for seed, score in zip((201, 202, 203), scores, strict=True)
}

FILTERED = {
    ("filters", seed): replace(
        RESULTS["meta", seed],
        arm="filters",
        models={
            name: {**numbers, "characters": 20.0 + seed - 201} for name, numbers in RESULTS["meta", seed].models.items()
        },
    )
    for seed in (201, 202, 203)
}


def test_a_difference_stands_with_both_intervals() -> None:
    """0.5, 0.4, 0.6: mean 0.5, standard error 0.1/sqrt(3), times 4.303: 0.25 to 0.75."""
    row = next(line for line in differences(RESULTS).splitlines() if "true score" in line)
    assert "| `meta` \N{MINUS SIGN} `self` | judge training | actor: true score, 0 to 5 | +0.50 |" in row
    assert "| +0.25 to +0.75 | 3 | yes |" in row
    assert "| 0.000 | 0.000 to 0.000 | 0.000 to 0.000 | 3 | no |" in differences(RESULTS)  # exactness is the same


def test_what_one_seed_gives_has_no_interval() -> None:
    one = {key: value for key, value in RESULTS.items() if key[1] == 201}
    assert "| +0.50 | one seed | one seed | 1 | no |" in differences(one)


def test_arms_without_a_result_are_not_in_the_tables() -> None:
    row = "| `meta` | Meta-Rewarding | 3 | 4.10 (4.00\N{EN DASH}4.20) | 0.700 (0.700\N{EN DASH}0.700) |"
    assert row in worth(RESULTS)
    assert "shuffled" not in worth(RESULTS)
    assert worth({}) == "No result yet."
    assert "| Meta-Rewarding | actor: true score, 0 to 5 | +1.10 |" in learnt(RESULTS)
    assert "| Meta-Rewarding | actor | 117 (3) | 117 (3) | 117 (3) | 117 (3) |" in filtered(RESULTS)
    assert "6 results of 50 (10 arms, 5 seeds), on: EPYC." in made_of(RESULTS)


def test_a_claim_is_shown_not_shown_or_the_opposite_is() -> None:
    """0.5, 0.4, 0.6 show it; turned around the opposite; one seed, or no difference, nothing."""
    words = "| Judge training makes the actor better, rho 0 | `meta` \N{MINUS SIGN} `self` |"
    assert f"{words} +0.50 (+0.25 to +0.75) | 3 | **shown** |" in claims(RESULTS)
    turned = {({"meta": "self", "self": "meta"}[arm], seed): result for (arm, seed), result in RESULTS.items()}
    less = "\N{MINUS SIGN}0.50 (\N{MINUS SIGN}0.75 to \N{MINUS SIGN}0.25)"
    assert f"{words} {less} | 3 | **the opposite is shown** |" in claims(turned)
    one = {key: value for key, value in RESULTS.items() if key[1] == 201}
    assert f"{words} +0.50 (one seed) | 1 | not shown |" in claims(one)
    assert "| Judge training makes the judge more exact | `meta` \N{MINUS SIGN} `self` | 0.000" in claims(RESULTS)
    assert f"{words} \N{EN DASH} | 0 | no result yet |" in claims({})
    shorter = next(line for line in claims({**RESULTS, **FILTERED}).splitlines() if "answers shorter" in line)
    assert shorter.endswith("| **shown** |")


def test_all_figures_of_an_arms_models_have_a_table() -> None:
    numbers = {"accuracy": 0.5, "judge_spearman": 0.8, "meta_accuracy": 0.9, "meta_first": 0.55}
    results = {
        key: replace(each, models={model: {**those, **numbers} for model, those in each.models.items()})
        for key, each in RESULTS.items()
    }
    lines = models_of(results, "meta").splitlines()
    assert lines[0] == "| `meta`, 3 seeds | seed model | M0 | M1 | M2 | M3 | M4 |"
    same, rose = "3.00 (3.00\N{EN DASH}3.00)", "4.10 (4.00\N{EN DASH}4.20)"
    assert lines[2].startswith(f"| actor: true score, 0 to 5 | {rose} | {same} | {rose} |")
    assert len(lines) == 2 + 7
    assert models_of({}, "meta") == "No result yet."


def test_what_judge_training_is_worth_has_a_row_per_pair_of_arms_that_differ_in_it() -> None:
    rows = judge_training(RESULTS).splitlines()[2:]
    assert rows == ["| `meta` \N{MINUS SIGN} `self` | +0.50 (+0.25 to +0.75) | 0.000 (0.000 to 0.000) | 0 (0 to 0) |"]
    assert judge_training({}) == "No result yet."


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """The pages as they are."""
    (tmp_path / PICTURE).parent.mkdir()
    for page in PAGES:
        (tmp_path / page).write_text((DOCS / page).read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def heads(page: Path) -> list[str]:
    """What stands outside the markers."""
    return [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("#")]


SOME = {key: each for key, each in RESULTS.items() if key[0] == "self"}
"""Of arms whose models have no table of their own."""


def test_the_pages_are_written_between_their_markers(docs: Path) -> None:
    """What stands outside stays, twice gives the same, and the guides themselves have every marker."""
    pages = write_pages(SOME, docs)
    once = [page.read_text(encoding="utf-8") for page in pages]
    assert once[0].startswith("# The study\n") and "| `self` | Self-Rewarding | 3 |" in once[0]
    write_pages(SOME, docs)
    assert [page.read_text(encoding="utf-8") for page in pages] == once
    assert (docs / PICTURE).read_bytes().startswith(b"\x89PNG")
    for page in pages:
        assert heads(page) == heads(DOCS / page.name)


@pytest.mark.parametrize(("page", "name"), [(page, name) for page, tables in PAGES.items() for name in tables])
def test_a_marker_that_is_gone_is_told(docs: Path, page: str, name: str) -> None:
    """And no page is written."""
    broken = (docs / page).read_text(encoding="utf-8").replace(f"<!-- study: {name} -->\n", "")
    (docs / page).write_text(broken, encoding="utf-8")
    before = [(docs / each).read_text(encoding="utf-8") for each in PAGES]
    with pytest.raises(UserError, match=f"expected <!-- study: {name} --> on a line"):
        write_pages(SOME, docs)
    assert [(docs / each).read_text(encoding="utf-8") for each in PAGES] == before
