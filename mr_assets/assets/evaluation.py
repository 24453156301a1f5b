"""evaluation: how good each model of a small world truly is, partitioned by model: seed, 0 (SFT), 1, 2, ..."""

from typing import NamedTuple

import polars as pl

from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.tables import EVALUATION
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.judged import completions, listed, scores_of, winners_of
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.models import model_of
from mr_assets.wiring.sampling import encoder
from mr_assets.worlds.held_out import HeldOut, actor_numbers, judge_numbers, meta_judge_numbers
from mr_assets.worlds.held_out_intervals import by_question, held_out_intervals, values_by_question


@loop_asset(kinds={"vllm", "parquet"})
def evaluation(work: Materialization) -> Result:
    """True score of the actor, exactness of the judge, accuracy of the meta-judge, on a fixed held-out set."""
    work.policy = model = model_of(work)
    sizes = work.recipe.evaluation
    assert sizes is not None
    held_out = HeldOut(sizes.prompts, sizes.judged_responses, sizes.battles)

    said = _ask(work, held_out, sizes.samples)
    expected = work.recipe.judgments.scoring.expected

    numbers = {
        **actor_numbers(held_out, said.answers),
        **judge_numbers(held_out, said.scores, expected=expected),
        **meta_judge_numbers(held_out, said.winners),
    }
    values = values_by_question(held_out, *said, expected=expected)
    row = pl.DataFrame([{"model": model.name, **numbers, **by_question(values)}], schema=EVALUATION.whole_schema)
    return work.table(row, numbers | held_out_intervals(held_out, said.scores, values))


class _Said(NamedTuple):
    """Per question, in order: the actor's answers, the judge's scores, the meta-judge's winner."""

    answers: list[list[str]]
    scores: list[list[float | None]]
    winners: list[str | None]


def _ask(work: Materialization, held_out: HeldOut, samples: int) -> _Said:
    """What the model says in each role, its lines asked for again where the recipe says so."""
    recipe, encode = work.recipe, encoder(work)
    template = judge_prompts(recipe, work.run.data).meta_judge
    questions = [encode.prompt_ids(question) for question in held_out.questions]
    battles = [{"prompt": q, "response": r, "judgment_a": a, "judgment_b": b} for q, r, a, b, _ in held_out.battles]

    answers = completions(work, encode, "actor", questions, recipe.responses, samples)
    scores = scores_of(work, encode, [(q, r) for q, r, _ in held_out.graded], n=samples)
    winners = winners_of(work, encode, template, battles, recipe.meta_judgments, role="meta")
    return _Said(
        answers=listed(answers, "request_id", "text", len(questions)),
        scores=scores,
        winners=[each[0] if each else None for each in winners],
    )
