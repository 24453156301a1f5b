"""The command `mr`, with the fake engine and the fake trainer: python -m mr_assets_tests.ui run ..."""

from mr_assets import launch
from mr_assets.cli import main

launch.MODULE = "mr_assets_tests.ui.location"

if __name__ == "__main__":
    main()
