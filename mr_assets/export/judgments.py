"""Every judgment of an iteration with what was judged: also those without a readable score, with the reason."""

import polars as pl

from mr_assets.errors import UserError
from mr_assets.lineage.rows import read
from mr_assets.lineage.staleness import Staleness
from mr_assets.runs.run import Run


def judgments(run: Run, t: str) -> pl.DataFrame:
    """prompt, response, judgment, score (null if invalid), invalid (why), finish_reason, ids; by judgment_id.

    Raises `UserError` if what was judged is there no more: the responses were re-materialized since.
    """
    for asset in ("responses", "prompts"):
        if not Staleness(run).made_of(("judgments", t), (asset, t)):
            raise UserError(
                f"judgments of iteration {t} of {run.name} are not of the {asset} that are there now. Materialize them "
                "again (`mr run` does)."
            )
    responses = read(run, "responses", t, ["response_id", "prompt_id", "response"])
    rows = read(run, "judgments", t).join(responses, on="response_id", how="left", maintain_order="left")
    rows = rows.join(
        read(run, "prompts", t).select("prompt_id", "prompt"), on="prompt_id", how="left", maintain_order="left"
    )
    ids = ("judgment_id", "response_id", "prompt_id")
    return rows.select("prompt", "response", "judgment", "score", "invalid", "finish_reason", *ids)
