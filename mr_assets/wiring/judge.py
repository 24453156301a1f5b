"""What judgments and eft_judgments share: a model scores responses as the judge."""

import polars as pl

from mr_assets.ids import response_of
from mr_assets.method import Frame
from mr_assets.method import judgments as method
from mr_assets.method.asked_lines import check_score_line
from mr_assets.method.numbers import judgment_numbers, score_counts
from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.sampling.engine import Request
from mr_assets.wiring.asked_lines import asking, with_scores_asked
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.pictures import score_histogram
from mr_assets.wiring.sampling import encoder, sample


def judged(work: Materialization, asked: pl.DataFrame, **beside: Frame) -> Result:
    """N judgments by the policy of each response of `asked`, with the scores that they give, as the asset's table.

    asked: response_id, prompt, response. beside: the tables that the asset's checks compare with.
    """
    section, encode = work.recipe.judgments, encoder(work)
    template = judge_prompts(work.recipe, work.run.data).judge
    check_score_line(section.scoring, section.score_line, encode.text_ids)
    rows = asked.iter_rows(named=True)
    requests = (Request(row["response_id"], encode.template_ids(template, row), section.n) for row in rows)

    samples = sample(work, encode, requests, asked.height, section, n=section.n, template=template.text)
    scored = method.judgments(samples.completions, section.scoring)
    if section.score_line != "sampled":
        by_id = {row["response_id"]: row for row in asked.iter_rows(named=True)}
        by = asking(work, encode, lambda judgment: encode.template_ids(template, by_id[response_of(judgment)]))
        scored = with_scores_asked(scored.collect(), section, by).lazy()

    lengths = {"chars": pl.col("judgment").str.len_chars(), "tokens": pl.col("token_ids").list.len()}
    figures = scored.select(pl.exclude("judgment", "token_ids"), **lengths).collect()
    counts = score_counts(figures, section.scoring)
    return work.table(
        scored,
        samples.numbers | judgment_numbers(figures, section.scoring),
        samples.dropped,
        beside={work.asset: figures, **beside},
        pictures={"scores": score_histogram(counts, section.lowest_score, section.highest_score)},
    )
