"""The command `mr`, with the fake engine and the fake trainer: python -m mr_assets_tests.ui run ..."""

from mr_assets.cli.main import main
from mr_assets.orchestration import steps

steps.MODULE = "mr_assets_tests.ui.location"

if __name__ == "__main__":
    main()
