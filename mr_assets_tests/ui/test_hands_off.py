"""The sensor, switched on in the UI: from nothing to the last iteration, beside whatever else goes on."""

from collections.abc import Iterator

import pytest

from mr_assets.loop import LOOP
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets_tests.ui.server import Server, serving
from mr_assets_tests.ui.test_backfill import in_order, saved

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return saved(tmp_path_factory.mktemp("hands_off") / "data", "alone", 3)


@pytest.fixture(scope="module")
def server(run: Run) -> Iterator[Server]:
    with serving(run.data) as server:
        yield server


def wait_until_said(server: Server, run: Run, words: str) -> None:
    """Wait for the sensor to say why it asks for nothing."""

    def said() -> bool:
        return any(words in (tick["skipReason"] or "") for tick in server.ticks(run)["ticks"][:2])

    server.wait_for(said)


def test_one_button_after_a_failure(server: Server, run: Run) -> None:
    """A backfill fails in iteration 1, and so in 2 and 3. The sensor waits meanwhile, and then says what to do.

    "Re-execute from failure" on the run of iteration 1: the sensor finishes the chain, redoes nothing, and stops at 3.
    """
    assert server.ticks(run)["status"] == "STOPPED"
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
    runs = [r for r in server.runs() if r.id not in {f.id for f in failed} and "checkpoints" in r.assets]
    assert in_order(runs) == ["1", "2", "3"]
    assert {r.status for r in runs} == {"SUCCESS"}
    made_by = {asset: run.record(asset, "1").run_id for asset in LOOP.per("iteration")}  # type: ignore[union-attr]
    assert made_by == dict.fromkeys(LOOP.per("iteration"), failed[0].id) | {"checkpoints": runs[0].id}
    assert {state(run, asset, t) for asset in LOOP.per("iteration") for t in run.iterations} == {"done"}
