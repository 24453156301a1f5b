"""Which runs are of one recipe, and how recipes of one title are told apart."""

from pathlib import Path

from mr_assets.report.arms import Known, arms
from mr_assets_tests.report.conftest import a_run, measure


def test_runs_that_differ_in_their_seed_are_one_arm(tmp_path: Path) -> None:
    """Nor does it matter how fast they were sampled, and in which folder their family is."""
    runs = [
        a_run(tmp_path, "a"),
        a_run(tmp_path, "b", "seed=1", "engine.max_num_seqs=32", "engine.shard_size=32"),
        a_run(tmp_path, "c", "dpo.beta=0.2"),
        a_run(tmp_path, "d"),
    ]
    found = arms([Known.of(run) for run in runs])
    title = runs[0].recipe.title
    assert {arm.label: {seed: each.run.name for seed, each in arm.runs.items()} for arm in found} == {
        title: {0: "a", 1: "b"},
        f"{title} (dpo.beta = 0.2)": {0: "c"},
        f"{title} (d)": {0: "d"},
    }


def test_an_arm_knows_its_models_and_what_changed(tmp_path: Path) -> None:
    [arm] = arms([Known.of(a_run(tmp_path, "a"))])
    assert arm.models == ["seed", "M0", "M1", "M2"]
    [change] = arm.changes("M2")
    assert (change.before, change.after, change.verdict) == (0.5, 0.9, "better")
    assert arm.changes("M3") == []


def test_what_compares_with_the_seed_model_has_not_changed_since_it(tmp_path: Path) -> None:
    """The seed model agrees with itself; that M2 does so less is the figure, and no change beside it."""
    run = a_run(tmp_path, "a", accuracy={})
    for model, tau in (("seed", 1.0), ("1", 0.7), ("2", 0.5)):
        measure(run, "evaluation", model, {"tau_seed": tau, "accuracy": tau})
    [arm] = arms([Known.of(run)])
    assert [change.key.name for change in arm.changes("M2")] == ["accuracy"]
    assert [change.key.name for change in arm.changes("M2", "M1")] == ["tau_seed", "accuracy"]
