"""elo_pairs: per selected response the judgments with the highest and the lowest Elo (section 2.2)."""

import polars as pl

from mr_assets.method import elo_pairs as method
from mr_assets.method.numbers import elo_pair_numbers, with_pair_scores
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.pictures import histogram
from mr_assets.wiring.truth import true_counts


@loop_asset(kinds={"numpy", "parquet"})
def elo_pairs(work: Materialization, battle_matrices: pl.LazyFrame, judgments: pl.LazyFrame) -> Result:
    """Chosen: the judgment with the highest Elo. Rejected: the lowest. Pairs with too long a chosen one are dropped."""
    matrices, switches = battle_matrices.collect(), work.recipe.switches
    texts = judgments.drop("token_ids").join(battle_matrices, on="response_id", how="semi").collect()

    pairs = method.elo_pairs(
        matrices,
        texts,
        max_chosen_chars=work.row.max_chosen_judgment_chars,
        ridge=switches.elo_ridge,
        tolerance=switches.elo_tie_tolerance,
        seed=work.recipe.seed,
        cut_off=switches.cut_off,
    )

    scored = with_pair_scores(pairs.rows, texts).collect()
    numbers = elo_pair_numbers(scored, matrices) | true_counts(work, "judge", scored)
    elo = {"all judgments": scored["elo"].explode(), "chosen": scored["chosen_elo"], "rejected": scored["rejected_elo"]}
    return work.table(
        pairs,
        numbers,
        beside={"battle_matrices": matrices, "judgments": judgments},
        pictures={"Elo": histogram(elo, "Elo, natural units", "judgments")},
    )
