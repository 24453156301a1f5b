"""The command `mr`, one file per group of commands."""

from mr_assets.processes import collect_seldom

collect_seldom()  # before Dagster and all else is imported
