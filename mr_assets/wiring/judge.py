"""What judgments, eft_judgments and probe_judgments share: a model scores responses; or a reward model does."""

import polars as pl

from mr_assets.ids import prompt_of, response_of
from mr_assets.inputs.reward_model import FIELD
from mr_assets.method import Frame, conversations
from mr_assets.method import judgments as method
from mr_assets.method.asked_lines import check_score_line
from mr_assets.method.numbers import judgment_numbers, reward_numbers, score_counts, without_texts
from mr_assets.method.rewards import rewards
from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.sampling.engine import Request
from mr_assets.wiring.asked_lines import asking, with_scores_asked
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.pictures import histogram, score_histogram
from mr_assets.wiring.rewards import rewarded
from mr_assets.wiring.sampling import encoder, sample


def judged(work: Materialization, asked: pl.DataFrame, n: int | None = None, **beside: Frame) -> Result:
    """N judgments by the policy of each response of `asked`, with the scores that they give, as the asset's table.

    asked: response_id, prompt, response. n: in place of judgments.n. beside: the tables that the asset's checks compare
    with.
    """
    n = n or work.recipe.judgments.n
    section, encode = work.recipe.judgments, encoder(work)
    template = judge_prompts(work.recipe, work.run.data).judge
    check_score_line(section.scoring, section.score_line, encode.text_ids)
    rows = asked.iter_rows(named=True)
    requests = (
        Request(row["response_id"], encode.template_ids(template, row), n, prompt_of(row["response_id"]))
        for row in rows
    )

    samples = sample(work, encode, requests, asked.height, section, n=n, template=template.text)
    scored = method.judgments(samples.completions, section.scoring)
    if section.score_line != "sampled":
        by_id = {row["response_id"]: row for row in asked.iter_rows(named=True)}
        by = asking(work, encode, lambda judgment: encode.template_ids(template, by_id[response_of(judgment)]))
        scored = with_scores_asked(scored.collect(), section, by).lazy()

    figures = without_texts(scored, "judgment")
    counts = score_counts(figures, section.scoring)
    return work.table(
        scored,
        samples.numbers | judgment_numbers(figures, section.scoring),
        samples.dropped,
        beside={work.asset: figures, **beside},
        pictures={"scores": score_histogram(counts, section.lowest_score, section.highest_score)},
    )


def judged_by_rewards(work: Materialization, asked: pl.DataFrame, prompts: pl.DataFrame, **beside: Frame) -> Result:
    """The reward of each response of `asked`, as `judged` takes it, by the recipe's reward model, as the asset's table.

    prompts: rows of `PROMPTS`; the reward model reads a conversation turn by turn.
    """
    settings = work.recipe.reward_model
    assert settings is not None
    by_id = dict(zip(prompts["prompt_id"], conversations.asked(prompts), strict=True))
    given = ((id, by_id[prompt_of(id)], text) for id, text in asked.select("response_id", "response").iter_rows())

    samples = rewarded(work, settings, FIELD, given, asked.height)
    rows = rewards(samples.completions).collect()

    pictures = {"rewards": histogram({"rewards": rows["score"]}, "reward", "responses")}
    numbers = samples.numbers | reward_numbers(rows)
    return work.table(rows, numbers, samples.dropped, beside=beside, pictures=pictures)
