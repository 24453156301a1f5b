"""meta_judgments: the policy compares its own judgments in pairs, in both orders (section 2.2, prompt of Figure 2)."""

import polars as pl

from mr_assets.ids import prompt_of
from mr_assets.method import meta_judgments as method
from mr_assets.method.numbers import meta_judgment_numbers, without_texts
from mr_assets.runs.artifact import Model
from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.sampling.engine import Request
from mr_assets.wiring.asked_lines import asking, with_winners_asked
from mr_assets.wiring.battles import asked, fought, number_asked
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.io_managers import shard_folder
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.sampling import encoder, sample


@loop_asset(kinds={"vllm", "parquet"})
def meta_judgments(
    work: Materialization,
    prompts: pl.LazyFrame,
    responses: pl.LazyFrame,
    selected_responses: pl.LazyFrame,
    judgments: pl.LazyFrame,
    policy: Model,
) -> Result:
    """The policy says which of two judgments of a selected response is more accurate, for every ordered pair."""
    section, encode = work.recipe.meta_judgments, encoder(work)
    template = judge_prompts(work.recipe, work.run.data).meta_judge
    columns = ("response_id", "judgment_id", "n", "judgment", "score")
    judged = judgments.join(selected_responses, on="response_id", how="semi").select(columns).collect()
    battles = method.battles(selected_responses, judged, sample_distinct_once=section.sample_distinct_once)
    rows = asked(battles, prompts, responses, judged)
    named = ((row["meta_judgment_id"], row) for row in rows)
    requests = (Request(id, encode.template_ids(template, row), 1, prompt_of(id)) for id, row in named)

    samples = sample(work, encode, requests, number_asked(battles), section, n=1, template=template.text)
    folder = shard_folder(work.run.place(work.asset, work.partition))
    verdicts = fought(battles, samples.completions, samples.dropped["id"], section.verdicts, folder)
    if section.winner_line == "asked_again":
        by_id = {row["meta_judgment_id"]: row for row in asked(battles, prompts, responses, judged)}
        by = asking(work, encode, lambda battle: encode.template_ids(template, by_id[battle]))
        verdicts = with_winners_asked(verdicts.collect(), section, by).lazy()

    figures = without_texts(verdicts, "meta_judgment")
    return work.table(
        verdicts,
        samples.numbers | meta_judgment_numbers(figures, judged),
        samples.dropped,
        beside={work.asset: figures, "judgments": judgments},
    )
