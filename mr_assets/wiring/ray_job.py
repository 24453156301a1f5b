"""The Ray job that this process is, if it is one: on which node, with which GPUs, and where its log is."""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from mr_assets.addresses import RAY


@dataclass(frozen=True)
class RayJob:
    """A job as Ray's dashboard knows it.

    node: the id of its node; host: that node's address; gpus: CUDA's numbers of its GPUs, "" if it has none; page: of
    the dashboard, with what it prints. "" stands for what is not known, too.
    """

    id: str
    node: str
    host: str
    gpus: str
    page: str

    @property
    def said(self) -> str:
        """As a line: "on 10.0.0.7 (node 3f1c09aa72be), GPU 0; Ray job dagster-step-5d1f"."""
        where = f"on {self.host or 'an unknown host'} (node {self.node[:12] or 'unknown'})"
        return f"{where}, {f'GPU {self.gpus}' if self.gpus else 'no GPU'}; Ray job {self.id}"


@cache
def ray_job() -> RayJob | None:
    """The Ray job of this process; None outside of a cluster.

    The node is asked of the cluster: what a process knows of its own is wrong where two nodes share an address.
    """
    metadata = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}").get("metadata") or {}
    job = metadata.get("job_submission_id")
    if not job:
        return None
    node = host = address = ""
    with suppress(ImportError, OSError, RuntimeError):  # of an asset that is made, this is not worth a failure
        from ray.job_submission import JobSubmissionClient

        client = JobSubmissionClient(os.environ.get(RAY))
        address = client.get_address()
        info = client.get_job_info(job)
        node = info.driver_node_id or ""
        host = (info.driver_agent_http_address or "").removeprefix("http://").rpartition(":")[0]
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return RayJob(job, node, host, gpus, f"{address}/#/jobs/{job}" if address else "")
