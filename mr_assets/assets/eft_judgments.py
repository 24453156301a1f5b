"""eft_judgments: the seed model scores every ranked reply N times (Yuan et al. 2024, section 3.1)."""

import polars as pl

from mr_assets.inputs.seed_model import seed_as_recorded, seed_model
from mr_assets.method import judgments as method
from mr_assets.method.numbers import judgment_numbers, score_counts
from mr_assets.method.ranked_replies import in_parts
from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.sampling.engine import Request
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.pictures import score_histogram
from mr_assets.wiring.sampling import encoder, sample


@loop_asset(kinds={"vllm", "parquet"})
def eft_judgments(work: Materialization, ranked_replies: pl.LazyFrame) -> Result:
    """The seed model judges every ranked reply that is not held out N times, as the judge of the loop does."""
    work.policy = seed_as_recorded(seed_model(work.recipe, work.run.data), work.settings)
    section, encode = work.recipe.judgments, encoder(work)
    template = judge_prompts(work.recipe, work.run.data).judge
    replies, _ = in_parts(ranked_replies.collect())
    rows = replies.iter_rows(named=True)
    requests = (Request(row["response_id"], encode.template_ids(template, row), section.n) for row in rows)

    samples = sample(work, encode, requests, replies.height, section, n=section.n, template=template.text)
    scored = method.judgments(samples.completions, section.scoring)

    lengths = {"chars": pl.col("judgment").str.len_chars(), "tokens": pl.col("token_ids").list.len()}
    figures = scored.select(pl.exclude("judgment", "token_ids"), **lengths).collect()
    return work.table(
        scored,
        samples.numbers | judgment_numbers(figures, section.scoring),
        samples.dropped,
        beside={"eft_judgments": figures, "ranked_replies": replies},
        pictures={"scores": score_histogram(score_counts(figures), section.lowest_score, section.highest_score)},
    )
