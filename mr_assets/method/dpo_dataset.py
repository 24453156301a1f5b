"""The DPO dataset: actor pairs and judge pairs as conversations, with the token ids exactly as they were sampled.

kind "actor"   prompt: the user's message, or turns     completions: responses
kind "judge"   prompt: the filled judge template (A.1)  completions: judgments of one response
"""

import math
from collections.abc import Sequence
from typing import Protocol

import polars as pl

from mr_assets.errors import UserError
from mr_assets.method import Frame, JudgePairs
from mr_assets.method.conversations import Prompt, asked
from mr_assets.method.dropped import dropped, gathered
from mr_assets.tables import DPO_DATASET, MESSAGES, TOKEN_IDS, Selected, draws
from mr_assets.templates import Template


class Encoder(Protocol):
    """What turns a prompt into the token ids that the engine saw; `mr_assets.chat.ChatEncoder` is one."""

    def prompt_ids(self, prompt: Prompt) -> Sequence[int]:
        """Token ids of one user message, or of a conversation, and the generation prompt."""

    def template_ids(self, template: Template, values: dict[str, str]) -> Sequence[int]:
        """The same for a filled template."""


def dpo_dataset(
    actor: Frame,
    judge: Frame,
    responses: Frame,
    judgments: Frame,
    prompts: Frame,
    *,
    judge_template: Template,
    encoder: Encoder,
    judge_share_cap: float | None = None,
    judge_pairs: JudgePairs = "as_ranked",
    max_length: int | None = None,
    seed: int | str,
) -> Selected:
    """All pairs in one table: columns of `DPO_DATASET`, sorted by pair_id.

    `actor` has rows of `ACTOR_PAIRS`, `judge` of `ELO_PAIRS` (empty in iterations without judge training). Completions
    keep the sampled token ids, so one that finished ends in the end token and one that was cut off does not. Dropped,
    by pair_id: pairs whose prompt and longer completion have more than `max_length` tokens, then judge pairs (drawn by
    `seed`) beyond a share of `judge_share_cap` of the pairs kept. With `judge_pairs` = "shuffled" the sides of judge
    pairs are dealt out by a coin (`turned`): a control that trains as many steps on the same texts and prefers nothing.
    Raises `UserError` if a pair names a prompt, response or judgment that its table does not have.
    """
    if judge_share_cap is not None and not 0 <= judge_share_cap <= 1:
        raise UserError(f"judge share cap: expected a number from 0 to 1, received {judge_share_cap}.")
    actor, judge = actor.lazy().collect(), judge.lazy().collect()
    responses = _those(responses, "response_id", actor["chosen_id"], actor["rejected_id"], judge["response_id"])
    judgments = _those(judgments, "judgment_id", judge["chosen_id"], judge["rejected_id"])
    pairs = pl.concat(
        [
            _actor_rows(actor, responses, prompts, encoder),
            _judge_rows(judge, responses, judgments, prompts, judge_template, encoder),
        ]
    ).with_columns(
        prompt_tokens=pl.col("prompt_token_ids").list.len(),
        chosen_tokens=pl.col("chosen_token_ids").list.len(),
        rejected_tokens=pl.col("rejected_token_ids").list.len(),
        max_length=pl.lit(max_length, pl.Int64),
    )
    longest = pl.col("prompt_tokens") + pl.max_horizontal("chosen_tokens", "rejected_tokens")
    fits = (longest <= pl.col("max_length")).fill_null(True)
    kept, over = _capped(pairs.filter(fits), judge_share_cap, seed)
    if judge_pairs == "shuffled":
        kept = _shuffled(kept, seed)
    numbers = ["prompt_tokens", "chosen_tokens", "rejected_tokens", "max_length"]
    shares = ["actor_pairs", "judge_pairs", "judge_share_cap"]
    return Selected(
        kept.select(list(DPO_DATASET.schema)).cast(DPO_DATASET.schema).sort("pair_id"),
        gathered(
            dropped(pairs.filter(~fits), "pair_id", "too_long", numbers),
            dropped(over, "pair_id", "judge_share_cap", shares),
        ),
    )


def _those(table: Frame, key: str, *ids: pl.Series) -> pl.DataFrame:
    """The rows of a table that have these ids. The filter, unlike a join, reaches the parquet reader."""
    return table.lazy().filter(pl.col(key).is_in(pl.concat(ids).unique().implode())).collect(engine="streaming")


def _actor_rows(actor: Frame, responses: Frame, prompts: Frame, encoder: Encoder) -> pl.DataFrame:
    pairs = _with_prompts(actor.lazy().select("pair_id", "prompt_id", "chosen_id", "rejected_id").collect(), prompts)
    pairs = _with_completions(pairs, responses, "response_id", "response")
    prompts_of_pairs = asked(pairs)
    ids = [list(encoder.prompt_ids(prompt)) for prompt in prompts_of_pairs]
    return _conversations(pairs, "actor", prompts_of_pairs, ids)


def _judge_rows(
    judge: Frame, responses: Frame, judgments: Frame, prompts: Frame, template: Template, encoder: Encoder
) -> pl.DataFrame:
    pairs = judge.lazy().select("pair_id", "response_id", "chosen_id", "rejected_id").collect()
    wanted = pairs.lazy().select("response_id").unique()
    judged = responses.lazy().join(wanted, on="response_id", how="semi").select("response_id", "prompt_id", "response")
    pairs = pairs.join(judged.collect(engine="streaming"), on="response_id", how="left")
    _refuse_missing(pairs, "response_id", "response", "responses")
    pairs = _with_completions(_with_prompts(pairs, prompts), judgments, "judgment_id", "judgment")
    filled = [{"prompt": p, "response": r} for p, r in pairs.select("prompt", "response").iter_rows()]
    ids = [list(encoder.template_ids(template, values)) for values in filled]
    return _conversations(pairs, "judge", [template.fill(values) for values in filled], ids)


def _with_prompts(pairs: pl.DataFrame, prompts: Frame) -> pl.DataFrame:
    joined = pairs.join(prompts.lazy().collect(), on="prompt_id", how="left")
    _refuse_missing(joined, "prompt_id", "prompt", "prompts")
    return joined


def _with_completions(pairs: pl.DataFrame, table: Frame, key: str, text: str) -> pl.DataFrame:
    """Add chosen, chosen_token_ids, rejected and rejected_token_ids."""
    wanted = pl.concat([pairs.select(pl.col(side).alias(key)) for side in ("chosen_id", "rejected_id")])
    found = table.lazy().join(wanted.lazy(), on=key, how="semi").select(key, text, "token_ids")
    completions = found.collect(engine="streaming")
    for side in ("chosen", "rejected"):
        named = completions.select(pl.col(key).alias(f"{side}_id"), pl.col(text).alias(side), "token_ids")
        pairs = pairs.join(named.rename({"token_ids": f"{side}_token_ids"}), on=f"{side}_id", how="left")
        _refuse_missing(pairs, f"{side}_id", f"{side}_token_ids", f"{text}s")
    return pairs


def _conversations(pairs: pl.DataFrame, kind: str, prompts: Sequence[Prompt], ids: list[list[int]]) -> pl.DataFrame:
    """The columns of `DPO_DATASET` from prompts and token ids."""
    turns = [[{"role": "user", "content": p}] if isinstance(p, str) else list(p) for p in prompts]

    def message(role: str, content: pl.Expr) -> pl.Expr:
        return pl.concat_list(pl.struct(pl.lit(role).alias("role"), content.alias("content")))

    return pairs.select(
        "pair_id",
        pl.lit(kind).alias("kind"),
        pl.Series("prompt", turns, dtype=MESSAGES),
        message("assistant", pl.col("chosen")).alias("chosen"),
        message("assistant", pl.col("rejected")).alias("rejected"),
        pl.Series("prompt_token_ids", ids, dtype=TOKEN_IDS),
        "chosen_token_ids",
        "rejected_token_ids",
    ).cast(DPO_DATASET.schema)


def _capped(pairs: pl.DataFrame, cap: float | None, seed: int | str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The pairs kept and the judge pairs that exceed their share."""
    judge, actor = pairs.filter(pl.col("kind") == "judge"), pairs.filter(pl.col("kind") == "actor")
    allowed = judge.height if cap in (None, 1) else math.floor(cap * actor.height / (1 - cap) + 1e-9)
    drawn = judge.with_columns(draw=pl.Series(draws(judge["pair_id"], f"dpo|{seed}"), dtype=pl.Int64))
    drawn = drawn.sort("draw", "pair_id").drop("draw")
    over = drawn.slice(allowed).with_columns(
        actor_pairs=pl.lit(actor.height), judge_pairs=pl.lit(judge.height), judge_share_cap=pl.lit(cap, pl.Float64)
    )
    return pl.concat([actor, drawn.head(allowed)]), over


def turned(pair_id: str, seed: int | str) -> bool:
    """Whether the chosen and the rejected side of a judge pair change places where judge pairs are shuffled."""
    return draws([pair_id], f"dpo|shuffled|{seed}")[0] % 2 == 1


def _shuffled(pairs: pl.DataFrame, seed: int | str) -> pl.DataFrame:
    """The same pairs, those of the judge with sides as the coin says."""
    turn = pl.Series([kind == "judge" and turned(i, seed) for i, kind in pairs.select("pair_id", "kind").iter_rows()])
    other = {"chosen": "rejected", "rejected": "chosen"}
    columns = {side: [name for name in pairs.columns if name.startswith(side)] for side in other}
    return pairs.with_columns(
        pl.when(turn.cast(pl.Boolean)).then(name.replace(side, other[side], 1)).otherwise(name).alias(name)
        for side, names in columns.items()
        for name in names
    )


def _refuse_missing(pairs: pl.DataFrame, key: str, column: str, table: str) -> None:
    lost = pairs.filter(pl.col(column).is_null())
    if lost.height:
        raise UserError(
            f"dpo_dataset: {lost.height} pairs name a {key} that {table} does not have (first: {lost[key][0]}). "
            f"The tables are from different runs of this iteration: materialize it again from {table} on."
        )
