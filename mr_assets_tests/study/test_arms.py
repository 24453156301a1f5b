"""Each comparison is of recipes that differ in what it says and in nothing else."""

import pytest

from mr_assets.loop import LOOP
from mr_assets.recipes.differences import differences
from mr_assets_tests.study.arms import ARMS, CLAIMS, COMPARISONS, LAST, SEEDS, Arm, Comparison
from mr_assets_tests.study.comparisons import FIGURES

JUDGE = {"iterations.1.judge_training", "iterations.2.judge_training"}
RHO = {f"iterations.{t}.rho" for t in range(1, 5)}
FILTERS = {"iterations.1.max_chosen_chars", *(f"iterations.{t}.max_chosen_judgment_chars" for t in (1, 2))}
DIFFER = {
    ("meta", "self"): JUDGE,
    ("meta", "shuffled"): {"switches.judge_pairs"},
    ("shuffled", "self"): JUDGE | {"switches.judge_pairs"},
    ("meta_rho_04", "self_rho_04"): JUDGE,
    ("meta_lc", "self_lc"): JUDGE,
    ("meta_rho_04", "meta"): RHO,
    ("self_rho_04", "self"): RHO,
    ("filters", "meta"): FILTERS | RHO - {"iterations.1.rho"},
    ("noise_meta", "noise_self"): JUDGE,
}


def test_every_comparison_is_known() -> None:
    assert {(left, right) for left, right, _ in COMPARISONS} == set(DIFFER)


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda each: f"{each.left}-{each.right}")
def test_arms_differ_in_one_thing(comparison: Comparison) -> None:
    left, right = (ARMS[name].loaded(SEEDS[0]) for name in comparison[:2])
    found = {d.path for d in differences(right, left)} - {"title", "description"}
    assert found == DIFFER[comparison.left, comparison.right]


def test_a_comparison_is_within_one_family() -> None:
    """So that both have the same M0."""
    for left, right, _ in COMPARISONS:
        assert ARMS[left].loaded(201).family == ARMS[right].loaded(201).family


def test_what_an_arm_shares_differs_in_the_last_iteration_alone() -> None:
    for arm in ARMS.values():
        if arm.shares:
            source = ARMS[arm.shares]
            found = {d.path for d in differences(source.loaded(201), arm.loaded(201))}
            assert found and all(path.startswith(f"iterations.{LAST}.") for path in found), arm.name
            assert arm.recipe == source.recipe and set(source.sets) <= set(arm.sets)
            assert list(ARMS).index(source.name) < list(ARMS).index(arm.name)


def test_an_arm_begins_as_one_before_it_of_the_same_family() -> None:
    for arm in ARMS.values():
        if arm.begins_as:
            assert list(ARMS).index(arm.begins_as) < list(ARMS).index(arm.name)
            assert ARMS[arm.begins_as].loaded(201).family == arm.loaded(201).family


@pytest.mark.parametrize("arm", ARMS.values(), ids=lambda arm: arm.name)
def test_an_arm_evaluates_by_the_truth_alone(arm: Arm) -> None:
    assert LOOP.of(arm.loaded(SEEDS[0])).per("model") == ("evaluation",)


def test_seeds_reach_the_recipes() -> None:
    assert [ARMS["meta"].loaded(seed).seed for seed in SEEDS] == list(SEEDS)


def test_claims_are_of_the_comparisons() -> None:
    """So that no claim is made of two arms that differ in more than one thing."""
    for claim in CLAIMS:
        assert claim.left in ARMS and claim.figure in FIGURES
        assert claim.right is None or (claim.left, claim.right) in DIFFER
