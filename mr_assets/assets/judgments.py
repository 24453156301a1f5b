"""judgments: the policy scores every response N times, as the judge (section 2.1, prompt of A.1)."""

import polars as pl

from mr_assets.ids import response_of
from mr_assets.method import judgments as method
from mr_assets.method.asked_lines import check_score_line
from mr_assets.method.numbers import judgment_numbers, score_counts
from mr_assets.runs.artifact import Model
from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.sampling.engine import Request
from mr_assets.wiring.asked_lines import asking, with_scores_asked
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.pictures import score_histogram
from mr_assets.wiring.sampling import encoder, sample


@loop_asset(kinds={"vllm", "parquet"})
def judgments(work: Materialization, prompts: pl.LazyFrame, responses: pl.LazyFrame, policy: Model) -> Result:
    """The policy judges every response N times by the rubric; the score is parsed from its own completion alone."""
    section, encode = work.recipe.judgments, encoder(work)
    template = judge_prompts(work.recipe, work.run.data).judge
    check_score_line(section.scoring, section.score_line, encode.text_ids)
    asked = method.to_judge(responses, prompts).collect()
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
        beside={"judgments": figures, "responses": responses},
        pictures={"scores": score_histogram(counts, section.lowest_score, section.highest_score)},
    )
