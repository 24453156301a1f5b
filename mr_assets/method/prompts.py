"""The prompts of an iteration: drawn from the seed prompts, 5,000 per iteration in the paper (section 3.1)."""

from collections import Counter
from collections.abc import Sequence

import polars as pl

from mr_assets.errors import UserError
from mr_assets.ids import prompt_id
from mr_assets.tables import SEED_PROMPTS, draws

EXAMPLES = 3


def check_prompts(
    frame: pl.DataFrame, origin: str = "seed prompts", places: Sequence[str] | None = None
) -> pl.DataFrame:
    """The seed prompts with their ids: prompt -> prompt_id, prompt, in the given order; with turns if it has them.

    `origin` is what errors call them, and `places` where each row stands in the files that they are from: "on line 7".
    Raises `UserError` with counts and the first examples if the column ``prompt`` is missing or not text, if there is
    no prompt at all, or if prompts are empty, blank or duplicates.
    """
    if frame.schema.get("prompt") != pl.String:
        came = ", ".join(f"{name} ({dtype})" for name, dtype in frame.schema.items()) or "none"
        raise UserError(f"{origin}: expected a text column named prompt, found the columns: {came}. Rename yours.")
    if frame.is_empty():
        raise UserError(f"{origin}: expected at least one prompt, found none. Name a file that has some.")
    rows = frame.select("prompt").with_row_index("row", offset=1)
    blank = rows.filter(pl.col("prompt").fill_null("").str.strip_chars() == "")
    repeated = rows.join(blank, on="row", how="anti").filter(~pl.col("prompt").is_first_distinct())
    faults = [
        f"{found.height} {what} (first: {'; '.join(_shown(*row) for row in found.head(EXAMPLES).iter_rows())})"
        + _in_places(found["row"].head(EXAMPLES).to_list(), places)
        for what, found in (("empty or blank", blank), ("repeated", repeated))
        if found.height
    ]
    if faults:
        raise UserError(f"{origin}: of {rows.height} prompts, {' and '.join(faults)}. Remove these rows.")
    ids = [prompt_id(text) for text in frame["prompt"]]
    if len(set(ids)) < len(ids):
        clash = Counter(ids).most_common(1)[0][0]
        texts = [text for text, i in zip(frame["prompt"], ids, strict=True) if i == clash]
        raise UserError(f"{origin}: different prompts share the id {clash}: {texts!r}. Reword one of them.")
    turns = [name for name in SEED_PROMPTS.optional if name in frame.columns]
    return frame.select(pl.Series("prompt_id", ids, dtype=pl.String), "prompt", *turns)


def draw_prompts(
    seed_prompts: pl.DataFrame, iteration: int, counts: Sequence[int], seed: int | str, disjoint: bool = True
) -> pl.DataFrame:
    """The prompts of an iteration (1, 2, ...): prompt_id, prompt, in the order of their ids; turns if there are some.

    A draw is a set; in the order of ids a reader can skip the row groups of a table that cannot hold a prompt.
    `counts` has the number of prompts of every iteration. Disjoint draws are consecutive slices of one seeded
    permutation: a further iteration changes no earlier one. Otherwise every iteration draws from all of them.
    Raises `UserError` if there are too few, for all iterations at once and before the first is sampled.
    """
    if not 1 <= iteration <= len(counts):
        raise UserError(f"prompts: the recipe has iterations 1 to {len(counts)}, not {iteration}. Add it there.")
    needed = sum(counts) if disjoint else max(counts)
    if seed_prompts.height < needed:
        how = f"{len(counts)} disjoint iterations need {' + '.join(map(str, counts))} = " if disjoint else "need "
        raise UserError(
            f"prompts: {how}{needed}, but there are {seed_prompts.height} seed prompts. "
            "Add seed prompts, lower the number per iteration, or let iterations share prompts."
        )
    stream = f"prompts|{seed}" if disjoint else f"prompts|{seed}|{iteration}"
    order = pl.Series("draw", draws(seed_prompts["prompt_id"], stream), dtype=pl.Int64)
    start = sum(counts[: iteration - 1]) if disjoint else 0
    permuted = seed_prompts.with_columns(order).sort("draw", "prompt_id")
    drawn = permuted.slice(start, counts[iteration - 1]).sort("prompt_id").drop("draw")
    of_texts_alone = "turns" in drawn.columns and drawn["turns"].null_count() == drawn.height
    return drawn.drop("turns") if of_texts_alone else drawn


def _shown(row: int, prompt: str | None) -> str:
    text = prompt if prompt is None or len(prompt) <= 60 else prompt[:57] + "..."
    return f"row {row}: {text!r}"


def _in_places(rows: Sequence[int], places: Sequence[str] | None) -> str:
    return "" if places is None else f" {'; '.join(places[row - 1] for row in rows)}"
