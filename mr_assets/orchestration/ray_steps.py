"""MR_EXECUTOR=ray: each step of a Dagster run is a job of a Ray cluster, on a node that has the GPUs it asks for.

RAY_API_SERVER_ADDRESS=http://HEAD:8265     where the cluster takes jobs, as Ray's own commands read it

The process that leads the Dagster run (`mr run`, or what the UI's daemon started) hands each step to the cluster and
follows the history that they share. When it is gone, its jobs are not: a tag of the Dagster run has the cluster's
address, so that whoever finds it dead ends them.
"""

import os
import sys
import time
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg

from mr_assets.addresses import PAGES, RAY, UI, ray_cluster
from mr_assets.errors import UserError
from mr_assets.orchestration.instance import POSTGRES
from mr_assets.printable import tell
from mr_assets.processes import MARK, UI_MARK
from mr_assets.runs.object_store import SCHEME
from mr_assets.runs.stored import HELD

TAG = ".dagster/ray"  # of a Dagster run whose steps are Ray jobs: the cluster's address
STOP_SECONDS = 45  # until the jobs of a Dagster run that ended early are no longer waited for
INSTALL = (
    "a Ray cluster needs dagster-ray, which is not installed in this environment. Install it here and on every node of "
    "the cluster: pip install -e '.[ray]'. Or unset MR_EXECUTOR, if that is ray."
)
NO_ADDRESS = (
    f"MR_EXECUTOR is ray, and {RAY} is not set. Set it to where the cluster takes jobs, http://HEAD:8265 for example. "
    "A cluster for trying, on this machine alone: mr cluster -- mr run RECIPE."
)
NO_STORE = (
    "MR_EXECUTOR is ray, and MR_DATA is an object store: expected a folder that every node of the cluster has at the "
    "same path. Mount a shared folder and name it in MR_DATA; or run on one host without MR_EXECUTOR."
)


def installed() -> bool:
    """Whether the extra `ray` is there."""
    return find_spec("dagster_ray") is not None and find_spec("ray") is not None


def ray_executor() -> dg.ExecutorDefinition:
    """dagster-ray's executor for the cluster that the environment names. Raises `UserError` with what is missing."""
    if not installed():
        raise UserError(INSTALL)
    address = os.environ.get(RAY)
    if not address:
        raise UserError(NO_ADDRESS)
    if os.environ.get("MR_DATA", "").startswith(SCHEME):
        raise UserError(NO_STORE)
    return _configured(address, tuple(passed_on(os.environ)))


def passed_on(environment: Mapping[str, str]) -> list[str]:
    """What a step's process gets of this one's environment: names, whose values count when the step begins.

    The command `dagster` is found by the PATH, on which this environment comes first. The node's own variables hold
    for the rest, the password of a database too: Ray shows what it is handed.
    """
    own = str(Path(sys.executable).parent)
    ours = {MARK, HELD, UI, PAGES, *(name for name in environment if name.startswith("MR_"))} - {UI_MARK, POSTGRES}
    path = os.pathsep.join(dict.fromkeys([own, *environment.get("PATH", os.defpath).split(os.pathsep)]))
    return [f"PATH={path}", "PYTHONPATH", "DAGSTER_HOME", RAY, *sorted(ours)]


@cache
def _configured(address: str, env_vars: tuple[str, ...]) -> dg.ExecutorDefinition:
    from mr_assets.orchestration.ray_executor import executor_of

    return executor_of(address, list(env_vars))


def ray_tags() -> dict[str, str]:
    """The tag of a Dagster run whose steps this process hands to a cluster; none if they stay here."""
    address = ray_cluster()
    return {} if address is None else {TAG: address}


def end_ray_steps(tags: Mapping[str, str], dagster_run_id: str) -> None:
    """Stop the Ray jobs of a Dagster run with these tags, and wait until they have ended; no more than `STOP_SECONDS`.

    A cluster that cannot be reached from here, or not with this environment's token, is named: its jobs may go on.
    """
    address = tags.get(TAG)
    if address is None:
        return
    try:
        from ray.job_submission import JobSubmissionClient

        client, until = JobSubmissionClient(address), time.monotonic() + STOP_SECONDS
        for job in (at_work := _at_work(client, dagster_run_id)):
            client.stop_job(job)
        while at_work and time.monotonic() < until:
            time.sleep(0.5)
            at_work = _at_work(client, dagster_run_id)
    except (ImportError, OSError, RuntimeError) as error:
        said = " ".join(str(error).split())[:300]
        tell(
            f"note: the Ray jobs of Dagster run {dagster_run_id} could not be ended at {address}: {said} If that "
            "cluster is still up, they go on: end them with ray job stop, with its address and token set."
        )


def _at_work(client: Any, dagster_run_id: str) -> list[str]:
    """The Ray jobs of a Dagster run that have not ended, by their submission ids."""
    jobs = (job for job in client.list_jobs() if (job.metadata or {}).get("dagster/run-id") == dagster_run_id)
    return [job.submission_id for job in jobs if not job.status.is_terminal()]
