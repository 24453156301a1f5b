"""judgments: the policy scores every response N times, as the judge (section 2.1, prompt of A.1)."""

import dagster as dg
import polars as pl

from mr_assets.method import judgments as method
from mr_assets.method.numbers import judgment_numbers, score_counts
from mr_assets.runs.artifact import Model
from mr_assets.runs.run import Run
from mr_assets.sampling.engine import Request
from mr_assets.templates import judge_template
from mr_assets.wiring.declare import declare
from mr_assets.wiring.io_managers import users_errors
from mr_assets.wiring.materialization import Materialization
from mr_assets.wiring.pictures import score_histogram
from mr_assets.wiring.sampling import encoder, sample


def judgments(run: Run) -> dg.AssetsDefinition:
    """The asset of a run."""

    @dg.asset(**declare(run, "judgments", kinds={"vllm", "parquet"}, gpu=True))
    def judgments(
        context: dg.AssetExecutionContext, prompts: pl.LazyFrame, responses: pl.LazyFrame, policy: Model
    ) -> dg.MaterializeResult:
        """The policy judges every response N times by the rubric; the score is parsed from its own completion alone."""
        with users_errors():
            work = Materialization(context, run, policy)
            recipe = work.run.recipe
            template, encode = judge_template(run.template(recipe.judgments.template)), encoder(work)
            judged = method.to_judge(responses, prompts).collect()
            made = sample(
                work,
                encode,
                (
                    Request(i, encode.template_ids(template, {"prompt": p, "response": r}), recipe.judgments.n)
                    for i, p, r in judged.iter_rows()
                ),
                judged.height,
                recipe.judgments,
                {"template": template.text},
                n=recipe.judgments.n,
            )
            frame = method.judgments(made.completions)
            lengths = {"chars": pl.col("judgment").str.len_chars(), "tokens": pl.col("token_ids").list.len()}
            figures = frame.select(pl.exclude("judgment", "token_ids"), **lengths).collect()
            return work.table(
                frame,
                {**made.numbers, **judgment_numbers(figures)},
                made.dropped,
                beside={"judgments": figures, "responses": responses},
                pictures={"scores": score_histogram(score_counts(figures))},
            )

    return judgments
