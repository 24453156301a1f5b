"""actor_pairs: per prompt a chosen and a rejected response, by score and length (section 2.1)."""

import polars as pl

from mr_assets.method import actor_pairs as method
from mr_assets.method.numbers import actor_pair_numbers
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.pictures import lengths
from mr_assets.wiring.truth import true_counts


@loop_asset(kinds={"polars", "parquet"})
def actor_pairs(work: Materialization, responses: pl.LazyFrame, judgments: pl.LazyFrame) -> Result:
    """Chosen: the shortest response of the top score tier. Rejected: the longest of the bottom tier."""
    answers, scored = responses.drop("token_ids").collect(), judgments.drop("token_ids", "judgment").collect()

    pairs = method.actor_pairs(
        answers,
        scored,
        rho=work.row.rho,
        max_chosen_chars=work.row.max_chosen_chars,
        seed=work.recipe.seed,
        cut_off=work.recipe.switches.cut_off,
    )

    numbers = actor_pair_numbers(pairs.rows, answers) | true_counts(work, "actor", pairs.rows)
    sides = {side: pairs.rows[f"{side}_chars"] for side in ("chosen", "rejected")}
    return work.table(pairs, numbers, beside={"responses": answers}, pictures={"lengths": lengths(sides, "pairs")})
