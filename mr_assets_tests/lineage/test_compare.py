"""`mr compare`: what stored pairs are held against, and which comparisons there are."""

import time
from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.ids import PAIR_ASSETS
from mr_assets.lineage.compare import (
    Compared,
    comparable,
    other_recipe,
    resampled,
    with_other_run,
    with_other_settings,
)
from mr_assets.lineage.pair_changes import OUTCOMES, Change, Comparison, Pair
from mr_assets.runs.run import Run
from mr_assets_tests.lineage.conftest import table
from mr_assets_tests.tiny import complete, tiny_run


def test_the_recipes_own_settings_give_the_stored_pairs(finished: Run) -> None:
    """Recomputed from the stored tables, actor and judge pairs alike."""
    for t, kinds in (("1", ["actor", "judge"]), ("2", ["actor"])):
        found = with_other_settings(finished, finished.recipe, t)
        assert [each.kind for each in found] == kinds
        for each in found:
            assert (each.settings, each.result.changes) == ({}, [])
            assert each.result.counts["same"] == table(finished, PAIR_ASSETS[each.kind], t).height > 0


def test_a_run_is_the_same_as_itself(finished: Run) -> None:
    """Of iteration 2, which trains no judge, the actor pairs alone."""
    assert [each.kind for each in with_other_run(finished, finished, "2")] == ["actor"]
    found = with_other_run(finished, finished, "1")
    assert [(each.iteration, each.kind, each.settings) for each in found] == [("1", "actor", {}), ("1", "judge", {})]
    assert [each.result.changes for each in found] == [[], []]


def test_runs_are_compared_by_the_pairs_that_both_have(finished: Run, run: Run) -> None:
    """The copy's judge pairs were not made, or were lost."""
    run.record_path("elo_pairs", "1").unlink()
    for one, other in ((finished, run), (run, finished)):
        [found] = with_other_run(one, other, "1")
        assert (found.kind, found.settings, found.result.changes) == ("actor", {}, [])


def test_compare_says_what_it_does_not_resample(finished: Run) -> None:
    recipe = other_recipe(finished, ["judgments.n=5"])
    assert resampled(finished, recipe, "1") == ["judgments"]
    assert "responses" in resampled(finished, other_recipe(finished, ["seed=9"]), "1")
    assert resampled(finished, other_recipe(finished, ["rho=0.5", "elo_ridge=1"]), "1") == []
    unjudged = other_recipe(finished, ["judge_training=false"])
    assert [each.kind for each in with_other_settings(finished, unjudged, "1")] == ["actor"]


def test_comparing_takes_no_second(finished: Run) -> None:
    """Nothing is loaded that a GPU needs."""
    began = time.process_time()
    with_other_settings(finished, other_recipe(finished, ["rho=0.5"]), "1")
    assert time.process_time() - began < 1


def test_another_recipe_is_the_runs_own_but_for_what_is_set(tmp_path: Path) -> None:
    """A field of an iteration is set in all of them."""
    run = tiny_run(tmp_path)
    changed = other_recipe(run, ["rho=0.5", "switches.elo_ridge=1"])
    assert [row.rho for row in changed.iterations] == [0.5, 0.5] and changed.switches.elo_ridge == 1
    back = {"iterations": run.recipe.iterations, "switches": run.recipe.switches}
    assert changed.model_copy(update=back) == run.recipe


def test_what_has_no_actor_pairs_cannot_be_compared(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    assert comparable(run) == []
    with pytest.raises(UserError) as error:
        with_other_settings(run, run.recipe, "1")
    assert str(error.value) == "run tiny has no actor pairs of iteration 1 yet. Iterations that have them: none."
    complete(run, "actor_pairs", "2")
    assert comparable(run) == ["2"]
    with pytest.raises(UserError, match=r"no actor pairs of iteration 1 yet. Iterations that have them: 2\.$"):
        with_other_run(run, run, "1")


def test_a_comparison_is_json_with_names() -> None:
    """Of a pair that is not there nothing is said."""
    counts = {**dict.fromkeys(OUTCOMES, 0), "lost": 1, "chosen changed": 1}
    changes = [
        Change("p", "lost", Pair("1.p.r0", "1.p.r1"), None, "too long"),
        Change("q", "chosen changed", Pair("1.q.r0", "1.q.r1"), Pair("1.q.r2", "1.q.r1"), "shorter"),
    ]
    found = Compared("1", "actor", {"iteration.rho": (0.0, 0.5)}, Comparison(counts, changes))
    before = {"chosen": "1.q.r0", "rejected": "1.q.r1"}
    assert found.as_json() == {
        "iteration": "1",
        "kind": "actor",
        "settings": {"iteration.rho": {"before": 0.0, "after": 0.5}},
        "counts": counts,
        "changes": [
            {
                "prompt_id": "p",
                "outcome": "lost",
                "before": {"chosen": "1.p.r0", "rejected": "1.p.r1"},
                "after": None,
                "why": "too long",
            },
            {
                "prompt_id": "q",
                "outcome": "chosen changed",
                "before": before,
                "after": before | {"chosen": "1.q.r2"},
                "why": "shorter",
            },
        ],
    }
