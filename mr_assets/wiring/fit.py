"""What an asset that needs a GPU checks as it starts: that what it is started for can be done to its end."""

from collections.abc import Iterator

from mr_assets.inputs.preflight import done_here, free_memory
from mr_assets.planning.devices import Device, smallest
from mr_assets.planning.refusal import check_gpus, check_host, check_optimizer, gpus_here
from mr_assets.recipes.gpus import gpus
from mr_assets.wiring.materialization import Materialization
from mr_assets.wiring.partitions import asset_key


def check_fit(work: Materialization) -> None:
    """Raise `UserError` if this asset, or one that comes after it, cannot be done on a machine like this one.

    After it come the trainings that were launched with it; after SFT everything of the run. So a DPO that cannot fit is
    refused before the first token, also where the UI launched it, or where `mr run` did not see the GPUs. A pilot, and
    who materializes sampling alone, needs no room to train.
    """
    run, found, after = work.run, gpus_here(), list(_after(work))
    check_gpus(run, found, work.asset)
    for asset in after:
        check_gpus(run, found if done_here() else _as_many(found, gpus(run.recipe, asset)), asset)
    for asset in (work.asset, *after):
        check_optimizer(run, asset)
        if found and (asset == work.asset or done_here()):
            check_host(run, free_memory(), asset)


def _after(work: Materialization) -> Iterator[str]:
    """The assets that need a GPU after this one, each kind once."""
    run, selected, loop = work.run, work.context.run.asset_selection, list(work.run.loop)
    later = [name for name in loop[loop.index(work.asset) + 1 :] if run.loop[name].holds == "model"]
    if run.loop[work.asset].holds == "model":
        yield from ("responses", *later) if later else ()
    else:
        yield from (name for name in later if not selected or asset_key(run, name) in selected)


def _as_many(found: list[Device], count: int) -> list[Device]:
    """As many GPUs as another step asks a cluster for, no larger than those here."""
    return [smallest(found)] * max(count, len(found)) if found else []
