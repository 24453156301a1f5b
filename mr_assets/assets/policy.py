"""policy: the model that iteration t starts from, M_{t-1}. This is the handoff."""

from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.handoff import handed_over
from mr_assets.wiring.materialization import Materialization, Result, partition_link


@loop_asset(kinds={"huggingface"})
def policy(work: Materialization) -> Result:
    """The model that iteration t starts from: the SFT model for iteration 1, then checkpoints of iteration t-1.

    Dagster allows no cycle of assets, so the edge from checkpoints[t-1] is not drawn in the graph: it is followed when
    this asset is materialized. If that model is not complete, it fails at once and names what to materialize first.
    """
    run, t = work.run, work.iteration

    parent = handed_over(run, t)
    parent.check(run.data)

    links = {
        "parent": partition_link(run, *run.model_at(str(t - 1))),
        "trained into": partition_link(run, "checkpoints", str(t)),
    }
    return work.model(parent, {}, shown=links)
