"""The command `mr`, with the fake engine and trainer, and a daemon in a hurry: python -m mr_assets_tests.ui run ..."""

import sys

from mr_assets.cli.main import main
from mr_assets.orchestration import code_server

code_server.MODULE = "mr_assets_tests.ui.location"

if __name__ == "__main__":
    if sys.argv[1] == "ui":  # a second to import, which no other command takes
        from mr_assets.orchestration import webserver
        from mr_assets_tests.ui.history import keep_open

        webserver.DAEMON = "mr_assets_tests.ui.daemon"
        keep_open()
    main()
