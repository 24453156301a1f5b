"""`python -m mr_assets.cli` is `mr`."""

from mr_assets.cli.main import main

main()
