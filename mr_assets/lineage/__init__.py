"""The lineage of everything that a run made: where it comes from, what came of it, and whether that is true.

    from mr_assets.lineage import trace
    from mr_assets.runs.data_folder import data_root
    from mr_assets.runs.stored import stored_runs

    run = stored_runs(data_root())["small_world_meta_rewarding"]
    lineage = trace(run, "2.3f1c09aa72be.actor")
    lineage.rounds[0].rule.rho, [r.mean for r in lineage.rounds[0].responses]

What it returns is in `mr_assets.lineage.facts`.
"""

from mr_assets.lineage.facts import Lineage as Lineage
from mr_assets.lineage.tracing import trace as trace
from mr_assets.lineage.tracing import trace_any as trace_any
