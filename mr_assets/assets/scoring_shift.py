"""scoring_shift: how the judge's scores moved on responses that stay the same (Figure 5), per model."""

from mr_assets.ids import model_id
from mr_assets.method import scoring_shift as method
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.pictures import densities


@loop_asset(kinds={"polars", "parquet"})
def scoring_shift(work: Materialization) -> Result:
    """The scores that the model's judge gives to the seed model's responses, beside those of the judges before it."""
    responses = work.upstream("held_out_responses", "the seed")
    own, previous, seed = (work.upstream("probe_judgments", of) for of in ("its own", "the previous", "the seed"))
    assert responses is not None
    assert own is not None
    assert seed is not None

    rows = method.scoring_shift(responses, own, previous, seed)

    scoring = work.recipe.judgments.scoring
    key = work.partition or "seed"
    judges = {model_id("seed"): "mean_seed"}
    if (before := work.run.model_before(key, "the previous")) is not None:
        judges |= {model_id(before): "mean_previous", model_id(key): "mean"}
    lines = {name: method.density(rows[column], scoring) for name, column in judges.items()}
    numbers = method.scoring_shift_numbers(rows, scoring)
    return work.table(rows, numbers, pictures={"densities": densities(method.grid(scoring), lines)})
