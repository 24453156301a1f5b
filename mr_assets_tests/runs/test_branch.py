"""Branches: what two runs share, what a branch may set, and that a refusal leaves nothing behind."""

from dataclasses import replace
from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.loop import LOOP
from mr_assets.runs.branch import branch, shared
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.runs.status import command, departed, places, state
from mr_assets.runs.stored import load_run, named_runs, remove_run, save
from mr_assets_tests.tiny import NAME, SMALL, complete, files


@pytest.fixture
def finished(tmp_path: Path) -> Run:
    """A run of three iterations of which everything is complete; its models hold weights."""
    run = load_run(NAME, sets=tuple(SMALL), iterations=3, name="whole", data=tmp_path)
    save(run)
    for asset, partition in places(run):
        complete(run, asset, partition)
        if LOOP[asset].holds == "model":
            (run.path(asset, partition) / "model.safetensors").write_bytes(f"{asset} {partition}".encode())
    return run


def test_what_is_before_the_iteration_is_shared_and_the_rest_is_to_be_made(finished: Run) -> None:
    made = branch(finished, "other", 3, ["iterations.3.rho=0.3"])
    made = named_runs(finished.data, "other")["other"]
    states = {place: state(made, *place) for place in places(made)}
    assert {place for place, now in states.items() if now == "done"} == {
        place for place in places(made) if place[1] is None or place[1] in ("seed", "0", "1", "2")
    }
    assert {now for (_, at), now in states.items() if at == "3"} == {"missing"}
    assert not departed(made)
    for place in (("checkpoints", "2"), ("responses", "1")):
        assert made.record(*place).version == finished.record(*place).version  # type: ignore[union-attr]
    weights = (made.path("checkpoints", "2") / "model.safetensors").stat()
    assert weights.st_nlink == 2  # one file on the disk, under two names
    assert made.record("policy", "2").model["path"] == "other/checkpoints/1"  # type: ignore[index, union-attr]


def test_settings_hold_from_the_iteration_on(finished: Run) -> None:
    """A row's field named without a row; a field of the whole run is noted with what was made with another value.

    Iteration 2 trains no judge: nothing of its elo_pairs goes by the ridge.
    """
    made = branch(finished, "other", 3, ["rho=0.3", "dpo.beta=0.7", "switches.elo_ridge=0.5"])
    assert [row.rho for row in made.recipe.iterations] == [*[r.rho for r in finished.recipe.iterations[:2]], 0.3]
    assert departed(made) == {
        ("elo_pairs", "1"): ["elo_ridge = 0.01, the recipe says 0.5"],
        ("checkpoints", "1"): ["beta = 0.1, the recipe says 0.7"],
        ("checkpoints", "2"): ["beta = 0.1, the recipe says 0.7"],
    }
    assert all(state(made, *place) == "done" for place in shared(made, 3))


def test_settings_hold_in_the_iterations_that_a_run_is_given_later(tmp_path: Path) -> None:
    """Those of the recipe's rows beyond the run's."""
    run = load_run(NAME, sets=tuple(SMALL), iterations=2, name="whole", data=tmp_path)
    assert [row.rho for row in run.rows_to_come] == [0.0, 0.0]
    save(run)
    for asset, partition in places(run):
        complete(run, asset, partition)
    made = branch(run, "other", 2, ["rho=0.3"])
    made = named_runs(tmp_path, "other")["other"]
    assert [row.rho for row in made.with_iterations(4).recipe.iterations] == [run.recipe.iterations[0].rho, *[0.3] * 3]
    again = load_run(made.origin[0], sets=made.origin[1:], name="other", iterations=4, data=made.data)
    assert again.recipe == made.with_iterations(4).recipe


def test_a_learning_rate_of_the_whole_recipe_is_that_of_the_rows_from_there_on(finished: Run) -> None:
    """Of those to come as well; a row keeps its own. What is shared was made with the recipe's, which stays."""
    made = branch(finished, "other", 2, ["dpo.learning_rate=1e-5", "iterations.3.learning_rate=2e-6"])
    assert [row.learning_rate for row in made.recipe.iterations] == [None, 1e-5, 2e-6]
    assert [row.learning_rate for row in made.rows_to_come] == [1e-5]
    assert made.recipe.dpo == finished.recipe.dpo
    assert not departed(made) and {state(made, *place) for place in shared(made, 2)} == {"done"}
    again = load_run(made.origin[0], sets=made.origin[1:], name="other", iterations=3, data=made.data)
    assert (again.recipe, again.rows_to_come) == (made.recipe, made.rows_to_come)


def test_a_bound_that_what_is_shared_does_not_keep_to_is_the_cause(finished: Run) -> None:
    """Guardrails judge the whole run; nothing of the source has changed. A bound that is kept to is taken."""
    record = finished.record("responses", "2")
    assert record is not None
    grown = {"value": 1.77, "rows": 20, "came": "1.77 times", "numbers": {}}
    write_record(finished.record_path("responses", "2"), replace(record, checks={"length_growth": grown}))
    before = files(finished.data)
    with pytest.raises(UserError) as refused:
        branch(finished, "other", 3, ["guardrails.length_growth={warn: 1.0, stop: 1.2}"])
    assert str(refused.value).startswith(
        "guardrails.length_growth.stop = 1.2: guardrails are the same in a whole run, and responses of iteration 2, "
        "which the branch shares, would fail: check length_growth: Expected responses to be at most 1 times as long"
    )
    assert "came 1.77 times" in str(refused.value) and files(finished.data) == before
    branch(finished, "other", 3, ["guardrails.length_growth={warn: 1.0, stop: 1.8}"])


def test_the_command_that_goes_on_means_the_same_run(finished: Run) -> None:
    made = branch(finished, "other", 3, ["rho=0.3", "dpo.beta=0.7"])
    assert made.origin[-3:] == ("dpo.beta=0.7", "iterations.3.rho=0.3", "iterations.4.rho=0.3")
    assert "--name other" in command(made)
    again = load_run(made.origin[0], sets=made.origin[1:], name="other", iterations=3, data=made.data)
    assert again.recipe == made.recipe


def test_either_run_can_be_removed(finished: Run) -> None:
    made = branch(finished, "other", 2)
    before = files(made.folder)
    remove_run(finished)
    assert files(made.folder) == before
    assert all(state(made, *place) == "done" for place in shared(made, 2))


@pytest.mark.parametrize(
    ("name", "first", "sets", "message"),
    [
        ("other", 1, [], "expected an iteration from 2 to 3"),
        ("other", 4, [], "expected an iteration from 2 to 3"),
        ("whole", 2, [], "exists already"),
        ("Other!", 2, [], "Other!"),
        ("other", 3, ["iterations.2.rho=0.1"], "iteration 2 is shared"),
        ("other", 3, ["seed=7"], "seed: this shapes M0"),
        ("other", 3, ["sft.learning_rate=0.1"], "this shapes M0"),
        ("other", 3, ["evaluation.samples=7"], r"evaluation.samples.*the same in a whole run"),
        ("other", 3, ["engine.extra={num_gpu_blocks_override: 9}"], "engine.extra.num_gpu_blocks_override = 9: eval"),
        ("other", 3, ["rho=7"], "rho"),
        ("other", 3, ["rhho=0.7"], "rhho"),
    ],
)
def test_a_refusal_names_the_cause_and_leaves_nothing(
    finished: Run, name: str, first: int, sets: list[str], message: str
) -> None:
    before = files(finished.data)
    with pytest.raises(UserError, match=message):
        branch(finished, name, first, sets)
    assert files(finished.data) == before
    assert not [path for path in finished.data.iterdir() if path.name.startswith(".tmp")]


def test_of_two_that_take_a_name_at_once_one_has_it(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower one is refused as one that comes later is, and leaves nothing."""

    def slowly(made: Run) -> None:
        monkeypatch.setattr("mr_assets.runs.branch.save", save)
        branch(finished, "other", 3, ["rho=0.3"])
        save(made)

    monkeypatch.setattr("mr_assets.runs.branch.save", slowly)
    with pytest.raises(UserError, match="other exists already"):
        branch(finished, "other", 3, ["rho=0.4"])
    made = named_runs(finished.data, "other")["other"]
    assert made.recipe.row(3).rho == 0.3
    assert {state(made, *place) for place in shared(made, 3)} == {"done"}
    assert not [path for path in finished.data.iterdir() if path.name.startswith(".tmp")]


def test_what_is_missing_or_stale_is_not_shared(finished: Run) -> None:
    record = finished.record("actor_pairs", "2")
    assert record is not None
    write_record(finished.record_path("actor_pairs", "2"), replace(record, inputs={**record.inputs, "judgments": "x"}))
    with pytest.raises(UserError, match=r"actor_pairs of iteration 2 is stale"):
        branch(finished, "other", 3)
    branch(finished, "other", 2)
    finished.record_path("responses", "1").unlink()
    with pytest.raises(UserError, match=r"responses of iteration 1 is missing \(and .* more\)"):
        branch(finished, "third", 2)
