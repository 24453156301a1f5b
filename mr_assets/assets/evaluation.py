"""evaluation: how good each model of a small world truly is, partitioned by model: seed, 0 (SFT), 1, 2, ..."""

from collections.abc import Iterable

import polars as pl

from mr_assets.chat import ChatEncoder
from mr_assets.inputs.seed_model import seed_as_recorded, seed_model
from mr_assets.runs.artifact import Model
from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.runs.settings import CONTENT
from mr_assets.sampling.engine import Request
from mr_assets.sampling.settings import SamplingSettings
from mr_assets.tables import EVALUATION
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

    texts = _ask(work, held_out, sizes.samples)

    numbers = {
        **actor_numbers(held_out, texts["actor"]),
        **judge_numbers(held_out, texts["judge"]),
        **meta_judge_numbers(held_out, [t[0] if t else "" for t in texts["meta"]]),
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


def _ask(work: Materialization, held_out: HeldOut, samples: int) -> dict[str, list[list[str]]]:
    """Per role and question, in order, the texts that the model gave."""
    recipe, encode = work.recipe, encoder(work)
    judge, meta = judge_prompts(recipe, work.run.data)
    questions = map(encode.prompt_ids, held_out.questions)
    graded = (encode.template_ids(judge, {"prompt": q, "response": r}) for q, r, _ in held_out.graded)
    battles = (
        encode.template_ids(meta, {"prompt": q, "response": r, "judgment_a": a, "judgment_b": b})
        for q, r, a, b, _ in held_out.battles
    )
    return {
        "actor": _texts(work, encode, "actor", questions, recipe.responses, samples),
        "judge": _texts(work, encode, "judge", graded, recipe.judgments, samples),
        "meta": _texts(work, encode, "meta", battles, recipe.meta_judgments, 1),
    }


def _texts(
    work: Materialization,
    encode: ChatEncoder,
    role: str,
    prompts: Iterable[list[int]],
    settings: SamplingSettings,
    n: int,
) -> list[list[str]]:
    """Per prompt, in order, its `n` completions; none of a prompt that is too long."""
    requests = [Request(str(i), prompt, n) for i, prompt in enumerate(prompts)]
    samples = sample(work, encode, requests, len(requests), settings, n=n, role=role)
    found = dict(samples.completions.group_by("request_id", maintain_order=True).agg("text").collect().iter_rows())
    return [found.get(request.id, []) for request in requests]
