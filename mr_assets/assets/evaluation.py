"""evaluation: how good each model of a small world truly is, partitioned by model: seed, 0 (SFT), 1, 2, ..."""

from typing import Any, NamedTuple

import polars as pl

from mr_assets.chat import ChatEncoder
from mr_assets.ids import response_of
from mr_assets.inputs.seed_model import seed_as_recorded, seed_model
from mr_assets.method.judgments import judgments
from mr_assets.method.meta_judgments import with_winners
from mr_assets.runs.artifact import Model
from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.runs.settings import CONTENT
from mr_assets.sampling.engine import Request
from mr_assets.sampling.settings import SamplingSettings
from mr_assets.tables import EVALUATION
from mr_assets.wiring.asked_lines import asking, with_scores_asked, with_winners_asked
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.handoff import handed_over
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.sampling import encoder, sample
from mr_assets.worlds.held_out import HeldOut, actor_numbers, judge_numbers, meta_judge_numbers


@loop_asset(kinds={"vllm", "parquet"})
def evaluation(work: Materialization) -> Result:
    """True score of the actor, exactness of the judge, accuracy of the meta-judge, on a fixed held-out set."""
    work.policy = model = _model(work)
    sizes = work.recipe.evaluation
    assert sizes is not None
    held_out = HeldOut(sizes.prompts, sizes.judged_responses, sizes.battles)

    said = _ask(work, held_out, sizes.samples)

    numbers = {
        **actor_numbers(held_out, said.answers),
        **judge_numbers(held_out, said.scores, expected=work.recipe.judgments.scoring.expected),
        **meta_judge_numbers(held_out, said.winners),
    }
    return work.table(pl.DataFrame([{"model": model.name, **numbers}], schema=EVALUATION.schema), numbers)


def _model(work: Materialization) -> Model:
    """The model that is evaluated."""
    run, key = work.run, work.partition or ""
    if key != "seed":
        return handed_over(run, int(key) + 1)
    folder, trained, settings = seed_model(run.recipe, run.data), run.record("sft_checkpoint"), work.settings
    if trained and trained.settings.get("model.seed") == settings.get("model.seed"):
        settings = settings | {name: said for name, said in trained.settings.items() if name.startswith(CONTENT)}
    return seed_as_recorded(folder, settings)


class _Said(NamedTuple):
    """Per question, in order: the actor's answers, the judge's scores, the meta-judge's winner."""

    answers: list[list[str]]
    scores: list[list[float | None]]
    winners: list[str | None]


def _ask(work: Materialization, held_out: HeldOut, samples: int) -> _Said:
    """What the model says in each role, its lines asked for again where the recipe says so."""
    recipe, encode = work.recipe, encoder(work)
    judge, meta = judge_prompts(recipe, work.run.data)
    questions = [encode.prompt_ids(question) for question in held_out.questions]
    graded = [encode.template_ids(judge, {"prompt": q, "response": r}) for q, r, _ in held_out.graded]
    battles = [
        encode.template_ids(meta, {"prompt": q, "response": r, "judgment_a": a, "judgment_b": b})
        for q, r, a, b, _ in held_out.battles
    ]

    answers = _sampled(work, encode, "actor", questions, recipe.responses, samples)
    judged = judgments(_sampled(work, encode, "judge", graded, recipe.judgments, samples), recipe.judgments.scoring)
    if recipe.judgments.score_line != "sampled":
        by = asking(work, encode, lambda id: graded[int(response_of(id))])
        judged = with_scores_asked(judged.collect(), recipe.judgments, by).lazy()
    named = {"request_id": "meta_judgment_id", "text": "meta_judgment"}
    fought = _sampled(work, encode, "meta", battles, recipe.meta_judgments, 1).rename(named)
    decided = with_winners(fought, recipe.meta_judgments.verdicts).with_columns(copied_from=pl.lit(None, pl.String))
    if recipe.meta_judgments.winner_line != "sampled":
        by = asking(work, encode, lambda id: battles[int(id)])
        decided = with_winners_asked(decided.collect(), recipe.meta_judgments, by).lazy()

    winners = _listed(decided, "meta_judgment_id", "winner", len(battles))
    return _Said(
        answers=_listed(answers, "request_id", "text", len(questions)),
        scores=_listed(judged, "response_id", "score", len(graded)),
        winners=[each[0] if each else None for each in winners],
    )


def _sampled(
    work: Materialization, encode: ChatEncoder, role: str, prompts: list[list[int]], settings: SamplingSettings, n: int
) -> pl.LazyFrame:
    """`n` completions of each prompt, by its place; none of one that is too long."""
    requests = [Request(str(i), prompt, n) for i, prompt in enumerate(prompts)]
    return sample(work, encode, requests, len(requests), settings, n=n, role=role).completions


def _listed(rows: pl.LazyFrame, key: str, column: str, count: int) -> list[list[Any]]:
    """The values of a column by place, in order; none for one that is too long."""
    found = dict(rows.group_by(key, maintain_order=True).agg(column).collect().iter_rows())
    return [found.get(str(place), []) for place in range(count)]
