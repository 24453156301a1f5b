"""`mr export`: models, pairs and judgments of a run for other tools."""

from typing import Literal

import click

from mr_assets.cli.terminal import say


@click.command()
@click.argument("name", metavar="RUN")
@click.argument("what", type=click.Choice(["models", "pairs", "judgments"]))
@click.argument("folder", metavar="DIR")
@click.option(
    "--iteration", "iterations", multiple=True, metavar="T", help="One iteration, or model (0 is M0). Repeatable."
)
@click.option("--push-to-hub", metavar="OWNER/NAME", help="Upload it, too: to private repositories of the hub.")
def export(
    name: str,
    what: Literal["models", "pairs", "judgments"],
    folder: str,
    iterations: tuple[str, ...],
    push_to_hub: str | None,
) -> None:
    """Write the models, preference pairs or judgments of RUN into DIR, for other tools.

    Models are whole folders for `from_pretrained`. Pairs and judgments are for `datasets.load_dataset`, a split for
    each iteration. Each has a card: recipe, departures from the paper, lineage, evaluation, limits. DIR must not be
    there, or be empty. Nothing is uploaded unless --push-to-hub says so.

    \b
    mr export small_world_meta_rewarding pairs pairs
    mr export small_world_meta_rewarding models models --iteration 4
    """
    from mr_assets.export.folder import export as write
    from mr_assets.export.folder import push
    from mr_assets.runs.data_folder import data_root
    from mr_assets.runs.stored import named_runs
    from mr_assets.text_files import given_path

    run = named_runs(data_root(), name)[name]
    folders = write(run, what, given_path(folder, "DIR"), iterations or None)
    for each in folders:
        say(f"Wrote {each}.")
    if push_to_hub:
        for address in push(folders, push_to_hub, what):
            say(f"Uploaded to {address}.")
