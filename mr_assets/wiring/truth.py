"""Figures of an asset of pairs that count how many the truth agrees with, in a world that knows it.

They go into the asset's metadata and its record, for people; no table has them, so that the loop cannot learn of them.
"""

import polars as pl

from mr_assets.ids import PairKind
from mr_assets.lineage.staleness import Staleness
from mr_assets.wiring.checks import complete_table
from mr_assets.wiring.materialization import Materialization
from mr_assets.worlds.truth import checker, counted, true_gaps, true_scores


def true_counts(work: Materialization, kind: PairKind, pairs: pl.DataFrame) -> dict[str, int]:
    """How many of the pairs the truth is on the side of, equal in, and against; nothing where it is not known.

    pairs: what `mr_assets.worlds.truth.true_gaps` takes. If responses were resampled since the judgments that a pair is
    of, the truth of those is not known.
    """
    check, t = checker(work.run.recipe), work.partition
    prompts, responses = (complete_table(work.run, asset, t) for asset in ("prompts", "responses"))
    if check is None or prompts is None or responses is None:
        return {}
    if kind == "judge" and not Staleness(work.run).made_of(("judgments", t), ("responses", t)):
        return {}
    asked = responses.select("response_id", "prompt_id", "response").collect()
    return counted(true_gaps(kind, pairs, true_scores(check, prompts.collect(), asked))["true_gap"])
