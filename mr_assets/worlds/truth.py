"""What is true of a run's texts, where a world knows it: figures for people, which nothing of the loop reads.

A world says its truth through one function, found by the world's name in `CHECKERS`:

    (prompt, response) -> what the response is worth, 0 to 5; None for a prompt that is none of the world's

From that follows by how much the truth is on the side of a pair, its true gap:

    actor pair    true score of the chosen response less that of the rejected one
    judge pair    how much farther from the response's true score the rejected judgment is than the chosen one

Above 0 the chosen side is truly better, at 0 both are equal, below 0 the pair contradicts the truth.
"""

from collections.abc import Callable
from typing import Any, Literal

import polars as pl

from mr_assets.ids import PairKind, responses_of
from mr_assets.worlds import letters

Checker = Callable[[str, str], float | None]
Agreement = Literal["agrees", "equal", "contradicts"]
AGREEMENTS: dict[Agreement, Callable[[pl.Expr], pl.Expr]] = {
    "agrees": lambda gap: gap > 0,
    "equal": lambda gap: gap == 0,
    "contradicts": lambda gap: gap < 0,
}
"""What a true gap says of its pair."""
COUNTED: dict[Agreement, str] = {
    "agrees": "chosen truly better",
    "equal": "chosen truly equal",
    "contradicts": "chosen truly worse",
}
"""The names of the figures that count pairs."""


def _letters(prompt: str, response: str) -> float | None:
    return float(letters.true_score(prompt, response)) if letters.parse_prompt(prompt) else None


CHECKERS: dict[str, Checker] = {"letters": _letters}


def checker(recipe: Any) -> Checker | None:
    """The truth of a recipe's world; None for a recipe without a world."""
    return CHECKERS[recipe.world.name] if recipe.world else None


def true_scores(check: Checker, prompts: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    """Columns response_id and true_score, of every response whose prompt is of the world.

    prompts: columns prompt_id, prompt. responses: columns response_id, prompt_id, response.
    """
    asked = dict(prompts.select("prompt_id", "prompt").iter_rows())
    rows = responses.select("response_id", "prompt_id", "response").iter_rows()
    scores = ((i, check(asked[p], text) if p in asked else None) for i, p, text in rows)
    found = pl.DataFrame(list(scores), schema={"response_id": pl.String, "true_score": pl.Float64}, orient="row")
    return found.drop_nulls("true_score")


def true_gaps(kind: PairKind, pairs: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """`pairs` with their true_gap, null where the truth is not known.

    pairs: columns chosen_id and rejected_id, and of judge pairs chosen_score and rejected_score, the scores that the
    two judgments give. truth: as `true_scores` gives it.
    """
    for side in ("chosen", "rejected"):
        response = responses_of(f"{side}_id").alias("response_id")
        true = pairs.select(response).join(truth, on="response_id", how="left", maintain_order="left")["true_score"]
        worth = true if kind == "actor" else -(pairs[f"{side}_score"].cast(pl.Float64) - true).abs()
        pairs = pairs.with_columns(worth.alias(f"{side}_truth"))
    gap = pl.col("chosen_truth") - pl.col("rejected_truth")
    return pairs.with_columns(true_gap=gap).drop("chosen_truth", "rejected_truth")


def counted(gaps: pl.Series) -> dict[str, int]:
    """How many pairs are on the side of the truth, equal by it, and against it. gaps: their true gaps; null counts as
    none of these."""
    frame, gap = gaps.to_frame("true_gap"), pl.col("true_gap")
    return {name: frame.filter(AGREEMENTS[each](gap)).height for each, name in COUNTED.items()}


def world_numbers(answers: pl.DataFrame) -> dict[str, float | None]:
    """True score and accuracy of an iteration's responses (columns prompt, response); None of no response."""
    rows = list(answers.select("prompt", "response").iter_rows())
    measures = {"true score": letters.true_score, "accuracy": letters.correct}
    return {name: sum(of(p, r) for p, r in rows) / len(rows) if rows else None for name, of in measures.items()}
