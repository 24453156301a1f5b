"""win_rates: each model's held-out responses against the seed model's, by a judge that the loop does not train."""

from collections.abc import Sequence

import polars as pl

from mr_assets.files import fingerprint
from mr_assets.inputs.win_rates import FIELD, judge_folder
from mr_assets.method import win_rates as method
from mr_assets.method.agreement import mean_score
from mr_assets.method.rewards import rewards
from mr_assets.recipes.recipe import SEED, WORLD
from mr_assets.runs.artifact import Model
from mr_assets.runs.settings import CONTENT
from mr_assets.sampling.settings import RewardSettings
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.judged import listed, scores_of
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.models import seed_of
from mr_assets.wiring.pictures import lengths
from mr_assets.wiring.rewards import rewarded
from mr_assets.wiring.sampling import encoder


@loop_asset(kinds={"vllm", "parquet"})
def win_rates(work: Materialization) -> Result:
    """The win rate against the seed model's responses, as it is and at equal length, by a judge that stays the same."""
    section = work.recipe.win_rates
    own, seeds = work.upstream("held_out_responses"), work.upstream("held_out_responses", "the seed")
    assert section is not None and own is not None and seeds is not None, "a recipe without them is refused"
    scored, reference = _scored(work, own.collect(), seeds.collect())

    rows = method.win_rates(scored, reference, section.judge)

    sides = {"this model": rows["chars"], "the seed model": rows["seed_chars"]}
    numbers = {"judge": section.judge, **method.win_rate_numbers(rows)}
    return work.table(rows, numbers, pictures={"lengths": lengths(sides, "responses")})


def _scored(work: Materialization, *tables: pl.DataFrame) -> list[pl.DataFrame]:
    """The tables with the column score, by the judge that the recipe names."""
    assert work.recipe.win_rates is not None
    if work.recipe.win_rates.judge == WORLD:
        return [table.with_columns(score="true_score") for table in tables]
    asked = method.texts_of(tables)
    scores = dict(zip(asked, _scores(work, asked), strict=True))
    return [method.scored(table, scores) for table in tables]


def _scores(work: Materialization, asked: Sequence[method.Texts]) -> list[float | None]:
    """The mean valid score of each text, or its reward, by the recipe's judge; None where it gives none."""
    recipe, section = work.recipe, work.recipe.win_rates
    assert section is not None
    if section.reward_model is not None:
        settings = RewardSettings(folder=section.reward_model)
        given = ((str(place), prompt, response) for place, (prompt, response) in enumerate(asked))
        found = rewards(rewarded(work, settings, FIELD, given, len(asked)).completions)
        return [next(iter(each), None) for each in listed(found, "response_id", "score", len(asked))]
    work.policy = _judge(work, section.folder)
    encode = encoder(work, None if section.judge == SEED else {"date": recipe.model.date})
    judged = scores_of(work, encode, asked, n=section.n or recipe.judgments.n)
    return [mean_score(each) for each in judged]


def _judge(work: Materialization, named: str | None) -> Model:
    """The seed model, or the one in the folder that the recipe names."""
    if named is None:
        return seed_of(work)
    folder = judge_folder(work.recipe, named, work.run.data)
    return Model(str(folder), work.settings.get(CONTENT + FIELD) or fingerprint(folder), FIELD)
