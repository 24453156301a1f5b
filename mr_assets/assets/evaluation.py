"""evaluation: how good each model of a small world truly is, partitioned by model: seed, 0 (SFT), 1, 2, ..."""

from pathlib import Path

import dagster as dg
import polars as pl

from mr_assets.inputs.seed_model import seed_as_recorded, seed_model
from mr_assets.runs.artifact import Model
from mr_assets.runs.run import CONTENT, Run
from mr_assets.sampling.engine import Request
from mr_assets.tables import EVALUATION
from mr_assets.templates import judge_template, meta_judge_template
from mr_assets.wiring.declare import declare
from mr_assets.wiring.io_managers import users_errors
from mr_assets.wiring.materialization import Materialization
from mr_assets.wiring.partitions import handed_over, models
from mr_assets.wiring.sampling import encoder, sample
from mr_assets.worlds.held_out import HeldOut, actor_numbers, judge_numbers, meta_judge_numbers


def evaluation(run: Run) -> dg.AssetsDefinition:
    """The asset of a run in a world whose truth can be computed."""
    trained = dg.StaticPartitionMapping({t: t for t in run.iterations})

    by_model = {
        "ins": {},
        "deps": [
            dg.AssetDep([run.family, "sft_checkpoint"]),
            dg.AssetDep([run.name, "checkpoints"], partition_mapping=trained),
        ],
        "partitions_def": models(run),
    }

    @dg.asset(**(declare(run, "evaluation", kinds={"vllm", "parquet"}, gpu=True) | by_model))
    def evaluation(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """True score of the actor, exactness of the judge, accuracy of the meta-judge, on a fixed held-out set."""
        with users_errors():
            model = _model(run, context.partition_key)
            work = Materialization(context, run, model)
            recipe = work.run.recipe
            sizes = recipe.evaluation
            assert sizes is not None
            held_out = HeldOut(sizes.prompts, sizes.judged_responses, sizes.battles)
            texts = _ask(work, held_out)
            numbers = {
                **actor_numbers(held_out, texts["actor"]),
                **judge_numbers(held_out, texts["judge"]),
                **meta_judge_numbers(held_out, [t[0] if t else "" for t in texts["meta"]]),
            }
            frame = pl.DataFrame([{"model": model.name, **numbers}], schema=EVALUATION.schema)
            return work.table(frame, numbers)

    return evaluation


def _model(run: Run, key: str) -> Model:
    if key != "seed":
        return handed_over(run, int(key) + 1)
    folder: Path = seed_model(run.recipe, run.data)
    trained = run.record("sft_checkpoint")
    settings = run.settings("evaluation", "seed")
    if trained and trained.settings.get("model.seed") == settings.get("model.seed"):
        settings |= {name: said for name, said in trained.settings.items() if name.startswith(CONTENT)}
    return seed_as_recorded(folder, settings)


def _ask(work: Materialization, held_out: HeldOut) -> dict[str, list[list[str]]]:
    """Per role and question, in order, the texts that the model gave."""
    recipe, sizes = work.run.recipe, work.run.recipe.evaluation
    assert work.policy is not None and sizes is not None
    encode = encoder(work)
    judge = judge_template(work.run.template(recipe.judgments.template))
    meta = meta_judge_template(work.run.template(recipe.meta_judgments.template))
    actor, judged = recipe.responses, recipe.judgments
    compared = recipe.meta_judgments
    roles = {
        "actor": (
            [Request(str(i), encode.prompt_ids(q), sizes.samples) for i, q in enumerate(held_out.questions)],
            actor,
        ),
        "judge": (
            [
                Request(str(i), encode.template_ids(judge, {"prompt": q, "response": r}), sizes.samples)
                for i, (q, r, _) in enumerate(held_out.graded)
            ],
            judged,
        ),
        "meta": (
            [
                Request(
                    str(i),
                    encode.template_ids(meta, {"prompt": q, "response": r, "judgment_a": a, "judgment_b": b}),
                    1,
                )
                for i, (q, r, a, b, _) in enumerate(held_out.battles)
            ],
            compared,
        ),
    }
    answers: dict[str, list[list[str]]] = {}
    for role, (requests, settings) in roles.items():
        made = sample(work, encode, requests, len(requests), settings, {"role": role}, n=requests[0].n)
        frame = made.completions.group_by("request_id", maintain_order=True).agg("text").collect()
        found = dict(frame.iter_rows())
        answers[role] = [found.get(r.id, []) for r in requests]
    return answers
