"""labelled_pairs: how each model judges pairs of which it is known which response is better, per model."""

from collections.abc import Sequence

import polars as pl

from mr_assets.chat import ChatEncoder
from mr_assets.ids import prompt_id
from mr_assets.inputs.labelled_pairs import labelled_pairs as given_pairs
from mr_assets.method.labelled_pairs import (
    NO_WINNER,
    PAIRWISE_VERDICTS,
    TOO_LONG,
    labelled_pair_numbers,
    with_verdicts,
)
from mr_assets.tables import LABELLED_PAIRS
from mr_assets.templates import pairwise_template
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.judged import scores_of, winners_of
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.models import model_of
from mr_assets.wiring.sampling import encoder

SIDES = ("chosen", "rejected")


@loop_asset(kinds={"vllm", "parquet"})
def labelled_pairs(work: Materialization) -> Result:
    """Accuracy of the judge on labelled pairs: by mean scores and, if asked, by a pairwise prompt in both orders."""
    work.policy, section = model_of(work), work.recipe.labelled_pairs
    assert section is not None
    pairs, encode = given_pairs(work.recipe, work.run.data), encoder(work)

    scores = _scores(work, encode, pairs, section.n or work.recipe.judgments.n)
    winners = _winners(work, encode, pairs, asked=section.pairwise)

    ids = pl.Series("prompt_id", [prompt_id(prompt) for prompt in pairs["prompt"]])
    judged = with_verdicts(pairs.with_columns(ids, *scores, *winners)).select(list(LABELLED_PAIRS.columns))
    return work.table(judged, labelled_pair_numbers(judged))


def _scores(work: Materialization, encode: ChatEncoder, pairs: pl.DataFrame, n: int) -> list[pl.Series]:
    """The scores of both sides; null where a response does not fit into the context."""
    answers = [row for side in SIDES for row in pairs.select("prompt", side).iter_rows()]
    scores = [said or None for said in scores_of(work, encode, answers, n=n)]
    return _columns(scores, "{}_scores", pl.List(pl.Float64))


def _winners(work: Materialization, encode: ChatEncoder, pairs: pl.DataFrame, *, asked: bool) -> list[pl.Series]:
    """Who wins in both orders, or that the pair does not fit into the context; null if nothing is asked."""
    if not asked:
        return _columns([None] * (2 * pairs.height), "{}_first", pl.String)
    shown = [
        {"prompt": row["prompt"], "response_a": row[first], "response_b": row[second]}
        for first, second in (SIDES, SIDES[::-1])
        for row in pairs.iter_rows(named=True)
    ]
    verdicts = PAIRWISE_VERDICTS
    names = {"winner_words": verdicts.words, "first_name": verdicts.first, "second_name": verdicts.second}
    section = work.recipe.meta_judgments.model_copy(update=names)
    said = winners_of(work, encode, pairwise_template(), shown, section, role="pairwise")
    return _columns([each[0] or NO_WINNER if each else TOO_LONG for each in said], "{}_first", pl.String)


def _columns(values: Sequence[object], name: str, dtype: pl.DataType | type[pl.DataType]) -> list[pl.Series]:
    """Values of one side after the other as a column for each."""
    half = len(values) // 2
    parts = zip(SIDES, (values[:half], values[half:]), strict=True)
    return [pl.Series(name.format(side), part, dtype=dtype) for side, part in parts]
