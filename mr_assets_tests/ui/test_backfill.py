"""Backfills as the UI launches them, and its sensor, with the real webserver and daemon: order, failure, going on."""

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from mr_assets.files import fingerprint
from mr_assets.loop import LOOP
from mr_assets.recipes.load import with_iterations
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets.runs.stored import save, stored_runs
from mr_assets_tests.real_run import mr
from mr_assets_tests.tiny import complete, tiny_recipe
from mr_assets_tests.ui.daemon import BACKFILLS_SECONDS
from mr_assets_tests.ui.server import LOCATION, DagsterRun, Server, serving

pytestmark = pytest.mark.slow

ACTOR_ALONE = ("iterations.all={prompts: 3, rho: 0.0, keep_epoch: 3, judge_training: false}", "evaluation=null")
RELOAD = """
mutation($name: String!) {
  reloadRepositoryLocation(repositoryLocationName: $name) {
    __typename ... on WorkspaceLocationEntry { loadStatus } ... on PythonError { message }
  }
}"""
PARTITIONS = "{ assetNodes { assetKey { path } partitionKeys } }"


def saved(data: Path, name: str, iterations: int, *sets: str) -> Run:
    """A run that the UI shows."""
    recipe = with_iterations(tiny_recipe("prompts.count=80", *ACTOR_ALONE, *sets), iterations)
    run = Run(name, recipe, data)
    save(run)
    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backfill") / "data"


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[Server]:
    """On a fresh instance, with four runs of one family that were never launched.

    M0 takes so long that the daemon, when it looks after backfills, looks between seed_prompts and it.
    """
    for name, iterations in (("ten", 8), ("pair", 2), ("three", 3), ("alone", 3)):
        saved(data, name, iterations)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MR_FAKE_SFT_SECONDS", str(4 * BACKFILLS_SECONDS))
        patch.delenv("MR_EXECUTOR", raising=False)
        with serving(data) as server:
            yield server


def in_order(runs: list[DagsterRun]) -> list[str | None]:
    """Their iterations, as they were run; no two of them overlap."""
    ordered = sorted(runs, key=lambda r: r.start or 0)
    for before, after in pairwise(ordered):
        assert before.end and after.start and before.end <= after.start, (before, after)
    return [r.partition for r in ordered]


def backfill_of_new(server: Server, run: Run, partitions: list[str]) -> list[DagsterRun]:
    """The runs of a backfill of iterations that the definitions have only just been reloaded with."""
    [answer] = server.ask(RELOAD, name=LOCATION).values()
    assert answer["__typename"] == "WorkspaceLocationEntry", answer
    return server.backfill_ended(server.backfill(run, partitions))


def partitions(server: Server, run: Run) -> list[str]:
    """The iterations of a run's responses that the UI knows."""
    found = {tuple(node["assetKey"]["path"]): node["partitionKeys"] for node in server.ask(PARTITIONS)["assetNodes"]}
    return list(found[run.name, "responses"])


def test_from_nothing_given_in_any_order(server: Server, data: Path) -> None:
    """With the one-off assets selected, on a fresh instance: these first, then 1 and 2, each in one run."""
    run = saved(data, "pair", 2)
    assets = (*run.loop.per("family"), *run.loop.per("iteration"))
    runs = server.backfill_ended(server.backfill(run, ["2", "1"], assets))
    assert {r.status for r in runs} == {"SUCCESS"}
    assert in_order(runs) == [None, "1", "2"]
    assert [len(r.assets) for r in runs] == [3, 11, 11]
    for t in run.iterations:
        assert {state(run, asset, t) for asset in LOOP.per("iteration")} == {"done"}


def test_two_backfills_started_together(server: Server, data: Path) -> None:
    """They take turns, whichever comes first, and every record fits what lies beside it."""
    run = saved(data, "pair", 2)
    first, second = server.backfill(run, ["1", "2"]), server.backfill(run, ["2", "1"])
    runs = server.backfill_ran(first, 2) + server.backfill_ran(second, 2)
    assert sorted(r.partition or "" for r in runs) == ["1", "1", "2", "2"]
    in_order(runs)
    assert {state(run, asset, "1") for asset in LOOP.per("iteration")} == {"done"}
    for r in runs:
        assert r.status == "SUCCESS" or "Materialize it first" in server.said(r.id)[0]


def test_the_ninth_iteration_comes_before_the_tenth(server: Server, data: Path) -> None:
    """Eight iterations are made, the recipe has two more: 9 comes before 10, which is no order of letters."""
    run = saved(data, "ten", 10)
    trained = fingerprint(shutil.copytree(run.path("sft_checkpoint"), run.place("checkpoints", "8")))
    for t in run.iterations[:8]:
        for asset in LOOP.per("iteration"):
            complete(run, asset, t, trained)
    runs = backfill_of_new(server, run, ["10", "9"])
    assert {r.status for r in runs} == {"SUCCESS"}, [server.said(r.id) for r in runs]
    assert in_order(runs) == ["9", "10"]
    assert {state(run, asset, t) for asset in LOOP.per("iteration") for t in run.iterations} == {"done"}


def test_what_failed_is_finished_by_two_buttons(server: Server, data: Path) -> None:
    """checkpoints of iteration 1 fail: 2 and 3 fail in seconds and name them.

    "Re-execute from failure" on the run of iteration 1, then a backfill of the failed 2 and 3, make the rest, and
    nothing that was complete again.
    """
    run = saved(data, "three", 3)
    server.once(run)
    (data / "fail").write_text("three/checkpoints/1")
    runs = server.backfill_ended(server.backfill(run, run.iterations))
    (data / "fail").unlink()
    assert in_order(runs) == ["1", "2", "3"]
    assert [r.status for r in runs] == ["FAILURE"] * 3
    for r, before in ((runs[1], 1), (runs[2], 2)):
        [said] = server.said(r.id)
        assert f"three/checkpoints of iteration {before} is not complete" in said
        assert "Materialize it first" in said
        assert r.start and r.end and r.end - r.start < 30
    kept = {(a, "1"): run.record(a, "1") for a in LOOP.per("iteration") if a != "checkpoints"}

    assert server.ended(server.reexecute(runs[0].id)).status == "SUCCESS"
    rest = server.backfill_ended(server.backfill(run, ["3", "2"]))
    assert in_order(rest) == ["2", "3"]
    assert {r.status for r in rest} == {"SUCCESS"}
    assert {place: run.record(*place) for place in kept} == kept
    assert {state(run, asset, t) for asset in LOOP.per("iteration") for t in run.iterations} == {"done"}


def test_a_finished_run_is_extended(server: Server, data: Path) -> None:
    """By `mr extend` in a terminal: the UI shows the new iteration after *Reload definitions*, and not before.

    A backfill of it, at once, makes it and nothing else.
    """
    three = saved(data, "three", 3)
    before = {(a, t): three.record(a, t) for a in LOOP.per("iteration") for t in "123"}
    mr(data, "extend", "three", "4")
    assert partitions(server, three) == ["1", "2", "3"]
    run = stored_runs(data)["three"]
    [made] = backfill_of_new(server, run, ["4"])
    assert partitions(server, run) == ["1", "2", "3", "4"]
    assert (made.partition, made.status) == ("4", "SUCCESS")
    assert {place: run.record(*place) for place in before} == before
    assert {state(run, asset, "4") for asset in LOOP.per("iteration")} == {"done"}


def test_a_subset_without_policy_never_uses_a_stale_model(server: Server, data: Path) -> None:
    """Missing: it names policy. Stale, as checkpoints of iteration 1 were trained again: it names policy, too."""
    run = saved(data, "pair", 2)
    trained = run.path("checkpoints", "1")
    policy = run.record_path("policy", "2")
    kept = policy.read_bytes()
    policy.unlink()
    [missing] = server.said(server.ended(server.launch(run, ["responses"], "2")).id)
    assert "pair/policy" in missing and "Materialize it first" in missing
    policy.write_bytes(kept)
    record = trained / "complete.json"
    record.write_text(record.read_text().replace(run.record("checkpoints", "1").version, "another"))  # type: ignore
    [stale] = server.said(server.ended(server.launch(run, ["responses"], "2")).id)
    assert "was trained again. Materialize policy of iteration 2 again" in stale


def wait_until_said(server: Server, run: Run, words: str) -> None:
    """Wait for the sensor to say why it asks for nothing."""

    def said() -> bool:
        return any(words in (tick["skipReason"] or "") for tick in server.ticks(run)["ticks"][:2])

    server.wait_for(said)


def test_the_sensor_goes_on_after_one_button(server: Server, data: Path) -> None:
    """A backfill fails in iteration 1, and so in 2 and 3. The sensor waits meanwhile, and then says what to do.

    "Re-execute from failure" on the run of iteration 1: the sensor finishes the chain, redoes nothing, and stops at 3.
    """
    run = saved(data, "alone", 3)
    assert server.ticks(run)["status"] == "STOPPED"
    before = {r.id for r in server.runs()}
    (run.data / "fail").write_text("alone/checkpoints/1")
    server.once(run)
    backfill = server.backfill(run, run.iterations)
    server.switch_on(run)
    wait_until_said(server, run, "is being made by Dagster run")
    failed = server.backfill_ended(backfill)
    assert [r.status for r in failed] == ["FAILURE"] * 3
    wait_until_said(server, run, f"iteration 1 of 3 failed in Dagster run {failed[0].id}")
    (run.data / "fail").unlink()
    server.reexecute(failed[0].id)
    wait_until_said(server, run, "alone is complete: 3 of 3 iterations")
    others = before | {f.id for f in failed}
    runs = [r for r in server.runs() if r.id not in others and "checkpoints" in r.assets]
    assert in_order(runs) == ["1", "2", "3"]
    assert {r.status for r in runs} == {"SUCCESS"}
    made_by = {asset: run.record(asset, "1").run_id for asset in LOOP.per("iteration")}  # type: ignore[union-attr]
    assert made_by == dict.fromkeys(LOOP.per("iteration"), failed[0].id) | {"checkpoints": runs[0].id}
    assert {state(run, asset, t) for asset in LOOP.per("iteration") for t in run.iterations} == {"done"}
