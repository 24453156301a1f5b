"""The model that an asset with one artifact per model (seed, 0, 1, ...) is about."""

from mr_assets.inputs.seed_model import seed_as_recorded, seed_model
from mr_assets.runs.artifact import Model
from mr_assets.runs.settings import CONTENT
from mr_assets.wiring.handoff import handed_over
from mr_assets.wiring.materialization import Materialization


def model_of(work: Materialization) -> Model:
    """The model that the partition under way stands for: the seed model, M0 of "0", M1 of "1", ...

    The seed model is the one that SFT began with, where that is recorded. Raises `dg.Failure` that names what to
    materialize first if M_t is not complete, `UserError` if the seed model cannot be read.
    """
    key = work.partition or ""
    return seed_of(work) if key == "seed" else handed_over(work.run, int(key) + 1)


def seed_of(work: Materialization) -> Model:
    """The seed model, whatever the partition under way; as `model_of`."""
    run = work.run
    folder, trained, settings = seed_model(run.recipe, run.data), run.record("sft_checkpoint"), work.settings
    if trained and trained.settings.get("model.seed") == settings.get("model.seed"):
        settings = settings | {name: said for name, said in trained.settings.items() if name.startswith(CONTENT)}
    return seed_as_recorded(folder, settings)
