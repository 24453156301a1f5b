"""The command `mr`, with the fake engine and trainer, and a daemon in a hurry: python -m mr_assets_tests.ui run ..."""

from mr_assets import dagster_internals
from mr_assets.cli.main import main
from mr_assets.orchestration import code_server

code_server.MODULE = "mr_assets_tests.ui.location"
dagster_internals.DAEMON_MODULE = "mr_assets_tests.ui.daemon"

if __name__ == "__main__":
    main()
