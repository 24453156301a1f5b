"""The handoff from one iteration to the next."""

from mr_assets.runs.artifact import Model
from mr_assets.runs.run import Run
from mr_assets.wiring.io_managers import load_model


def handed_over(run: Run, t: int) -> Model:
    """The model that iteration t starts from: M_{t-1}, resolved when it is asked for.

    Dagster holds no cycle of assets, so this one edge is not in its graph. Raises `dg.Failure` that names what to
    materialize first if M_{t-1} is not complete.
    """
    asset, partition = run.model_at(str(t - 1))
    what = f"{run.namespace(asset)}/{asset}" + (f" of iteration {partition}" if partition else "")
    return load_model(run.record_path(asset, partition), what)
