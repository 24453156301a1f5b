"""checkpoints: M_t, trained by DPO from M_{t-1} (sections 2 and A.3)."""

import polars as pl

from mr_assets.ids import model_id
from mr_assets.runs.artifact import Model
from mr_assets.wiring.checks import fit_to_train, rows_follow
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result, partition_link
from mr_assets.wiring.training import train_model, training_job


@loop_asset(kinds={"pytorch", "huggingface"})
def checkpoints(work: Materialization, dpo_dataset: pl.LazyFrame, policy: Model) -> Result:
    """The next model: DPO on the iteration's preference pairs, with M_{t-1} as start and as reference model.

    For iterations beyond the last one: `mr extend RUN N` in the terminal, then *Reload definitions* here
    (Deployment > Code locations).
    """
    run, recipe, t = work.as_launched, work.recipe, work.iteration
    follow = rows_follow(run, t)
    fit = fit_to_train(work.context, run, t, follow)
    job = training_job(
        "dpo",
        recipe.dpo,
        root=run.data,
        model=policy.folder(run.data),
        data=run.path("dpo_dataset", str(t)),
        out=run.place("checkpoints", str(t)),
        keep_epoch=work.row.keep_epoch,
        learning_rate=recipe.learning_rate(t),
        seed=recipe.seed,
    )

    trained = train_model(work, job, policy, model_id(t), fit, follow)

    links = {"trained from": partition_link(run, "policy", str(t))}
    if t < len(run.iterations):
        links["handed over to"] = partition_link(run, "policy", str(t + 1))
    shown = {"picture: training": trained.curves, **links}
    return work.model(trained.model, trained.numbers, [fit, follow, *trained.found], shown)
