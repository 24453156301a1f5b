"""meta_judgments: the policy compares its own judgments in pairs, in both orders (section 2.2, prompt of Figure 2)."""

import dagster as dg
import polars as pl

from mr_assets.method import meta_judgments as method
from mr_assets.method.numbers import meta_judgment_numbers
from mr_assets.runs.artifact import Model
from mr_assets.runs.run import Run
from mr_assets.sampling.engine import Request
from mr_assets.tables import META_JUDGMENTS, Selected
from mr_assets.templates import meta_judge_template
from mr_assets.wiring.declare import declare
from mr_assets.wiring.io_managers import users_errors
from mr_assets.wiring.materialization import Materialization, judges
from mr_assets.wiring.sampling import encoder, sample


def meta_judgments(run: Run) -> dg.AssetsDefinition:
    """The asset of a run."""

    @dg.asset(**declare(run, "meta_judgments", kinds={"vllm", "parquet"}, gpu=True))
    def meta_judgments(
        context: dg.AssetExecutionContext,
        prompts: pl.LazyFrame,
        responses: pl.LazyFrame,
        selected_responses: pl.LazyFrame,
        judgments: pl.LazyFrame,
        policy: Model,
    ) -> dg.MaterializeResult:
        """The policy says which of two judgments of a selected response is more accurate, for every ordered pair."""
        with users_errors():
            work = Materialization(context, run, policy)
            recipe = work.run.recipe
            if not judges(work):
                return work.nothing(META_JUDGMENTS)
            settings = recipe.meta_judgments
            template, encode = meta_judge_template(run.template(settings.template)), encoder(work)
            selected = selected_responses.collect()
            fought = judgments.join(selected.lazy().select("response_id"), on="response_id", how="semi").collect()
            pairs = method.battles(selected, fought, sample_distinct_once=settings.sample_distinct_once)
            texts = dict(fought.select("judgment_id", "judgment").iter_rows())
            asked = {
                i: (p, r)
                for i, p, r in selected.lazy()
                .join(responses, on="response_id")
                .join(prompts, on="prompt_id")
                .select("response_id", "prompt", "response")
                .collect()
                .iter_rows()
            }
            to_sample = pairs.filter(~pl.col("identical") & pl.col("copied_from").is_null())

            def request(battle: str, response: str, first: str, second: str) -> Request:
                values = {
                    "prompt": asked[response][0],
                    "response": asked[response][1],
                    "judgment_a": texts[first],
                    "judgment_b": texts[second],
                }
                return Request(battle, encode.template_ids(template, values), 1)

            made = sample(
                work,
                encode,
                (
                    request(*row)
                    for row in to_sample.select("meta_judgment_id", "response_id", "first_id", "second_id").iter_rows()
                ),
                to_sample.height,
                settings,
                {"template": template.text},
                n=1,
            )
            frame = method.meta_judgments(pairs, made.completions)
            rows = frame.collect()
            numbers = {**made.numbers, **meta_judgment_numbers(rows, fought)}
            return work.table(Selected(rows, made.dropped), numbers, beside={"judgments": judgments})

    return meta_judgments
