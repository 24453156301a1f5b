"""Figures of an asset of pairs that count how many the truth agrees with, in a world that knows it.

They go into the asset's metadata and its record, for people; no table has them, so that the loop cannot learn of them.
"""

from collections.abc import Callable

import polars as pl

from mr_assets.assets.guarded import complete_table
from mr_assets.assets.wiring import Work
from mr_assets.lineage.standing import Standing
from mr_assets.worlds.truth import checker, counted, true_scores

Gaps = Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]


def true_counts(work: Work, pairs: pl.DataFrame, gaps: Gaps, *, through: str | None = None) -> dict[str, int]:
    """How many of the pairs the truth is on the side of, equal in, and against; nothing where it is not known.

    gaps: `actor_gaps` or `judge_gaps` of `mr_assets.worlds.truth`, and pairs what it takes. through: the asset by which
    the pairs come of responses; if responses were made anew since, the truth of theirs is not known.
    """
    check, t = checker(work.run.recipe), work.partition
    prompts, responses = (complete_table(work.run, asset, t) for asset in ("prompts", "responses"))
    if check is None or prompts is None or responses is None:
        return {}
    if through and not Standing(work.run).made_of((through, t), ("responses", t)):
        return {}
    asked = responses.select("response_id", "prompt_id", "response").collect()
    return counted(gaps(pairs, true_scores(check, prompts.collect(), asked))["true_gap"])
