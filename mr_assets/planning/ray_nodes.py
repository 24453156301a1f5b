"""Whether a Ray cluster has a node with the GPUs that a step asks for: else its job would wait in silence.

node_gpus("http://head:8265")               [0, 4, 4]    a head without a GPU and two workers
unmet("checkpoints", 8, [0, 4, 4])          "8 GPUs on one node (dpo.num_processes); of the nodes that are up (3), ..."
"""

import os
from collections.abc import Sequence
from typing import Any

from mr_assets.addresses import RAY
from mr_assets.errors import UserError
from mr_assets.recipes.gpus import fields_of, gpus
from mr_assets.runs.run import Run

GROWS = "MR_RAY_AUTOSCALES"
"""The environment variable that says that larger nodes may still come: then a step waits for one."""
TO_WAIT = (
    f"If such a node is still to come (an autoscaler, a host that is down), set {GROWS}=1: then steps wait for it."
)


def jobs_of(address: str) -> Any:
    """Ray's client for the jobs of the cluster there. Raises `UserError` with what Ray says if it takes none."""
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except Exception as error:  # Ray's have no class in common
        said = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"the Ray cluster at {address} takes no jobs of this host: {said} Start it, or mend {RAY}; with a token, "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH."
        ) from error


def node_gpus(address: str) -> list[int]:
    """The GPUs of each node that is up, the fewest first, as the dashboard tells them; empty if it does not answer."""
    try:
        from ray.util.state import list_nodes

        nodes = list_nodes(address=address)
    except Exception:  # as above; whoever hands a step to the cluster says what is wrong
        return []
    return sorted(int(node.resources_total.get("GPU", 0)) for node in nodes if node.state == "ALIVE")


def unmet(asset: str, asked: int, found: Sequence[int]) -> str | None:
    """What an asset's step asks for that none of the nodes with these GPUs has, and what to change; else None.

    None also where nothing is known of the nodes, and where larger ones may come.
    """
    most = max(found, default=asked)
    if asked <= most or os.environ.get(GROWS):
        return None
    fields = fields_of(asset)
    change = f"Lower {' or '.join(fields)}" if most else "Start a node that has them"
    return (
        f"{asked} GPU{'s' * (asked > 1)} on one node ({' x '.join(fields)}); of the nodes that are up ({len(found)}), "
        f"the largest has {most or 'none'}. {change}."
    )


def check_nodes(run: Run, address: str) -> None:
    """Raise `UserError` if the cluster takes no jobs, or a step of the run asks for more GPUs than any node has."""
    jobs_of(address)
    found, said = node_gpus(address), dict[str, list[str]]()
    for asset in run.loop:
        if why := unmet(asset, gpus(run.recipe, asset), found):
            said.setdefault(why, []).append(asset)
    if said:
        first = f"{run.name} cannot run on the Ray cluster at {address}: its steps ask for more than any node has. "
        lines = [f"{', '.join(assets)}: {why}" for why, assets in said.items()]
        raise UserError("\n  - ".join([f"{first}Nothing was started.", *lines]) + f"\n{TO_WAIT}")
