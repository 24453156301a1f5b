"""More iterations from a terminal, beside the UI: `mr extend`, then *Reload definitions*."""

from pathlib import Path

import pytest

from mr_assets_tests.real_run import mr
from mr_assets_tests.ui.server import LOCATION, serving
from mr_assets_tests.ui.test_backfill import saved

pytestmark = pytest.mark.slow

PARTITIONS = "{ assetNodes { assetKey { path } partitionKeys } }"
RELOAD = """
mutation($name: String!) {
  reloadRepositoryLocation(repositoryLocationName: $name) {
    __typename ... on WorkspaceLocationEntry { loadStatus } ... on PythonError { message }
  }
}"""


def test_a_reload_shows_the_new_iterations(tmp_path: Path) -> None:
    run = saved(tmp_path / "data", "longer", 1)
    with serving(run.data) as server:

        def partitions() -> dict[str, list[str]]:
            found = {
                node["assetKey"]["path"][-1]: node["partitionKeys"] for node in server.ask(PARTITIONS)["assetNodes"]
            }
            return {asset: found[asset] for asset in ("responses", "checkpoints")}

        assert partitions() == {"responses": ["1"], "checkpoints": ["1"]}
        mr(run.data, "extend", "longer", "3")
        assert partitions() == {"responses": ["1"], "checkpoints": ["1"]}
        [answer] = server.ask(RELOAD, name=LOCATION).values()
        assert answer["__typename"] == "WorkspaceLocationEntry", answer
        longer = ["1", "2", "3"]
        server.wait_for(lambda: partitions() == {"responses": longer, "checkpoints": longer}, 60)
