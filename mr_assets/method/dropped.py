"""What was dropped and why: the words in the ``reason`` column of all rows dropped, in one place.

A row names what was dropped, the reason, and the numbers behind the decision:

    3f1c09aa72be    equal_scores        {"responses":7,"scored":7,"score_max":4.0,"score_min":4.0}
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from mr_assets.ids import short
from mr_assets.tables import DROPPED

REASONS: dict[str, str] = {
    # generated prompts (ids of the requests)
    "no_task": "the answer is empty, or gives no task",
    "cut_off_task": "the task was cut off at max tokens",
    "too_few_chars": "the task has fewer characters than a prompt must have",
    "too_many_chars": "the task has more characters than a prompt may have",
    "other_language": "the task is in another language",
    "held_out": "the task, or one that is all but the same, is held out for the evaluation",
    "like_an_example": "the task is all but the same as an example that was shown to the generator",
    "near_duplicate": "the task is all but the same as an earlier one",
    "more_than_wanted": "there were as many prompts as are wanted already",
    # messages of Open Assistant (ids of first prompts, and of replies to them)
    "tree_not_final": "the message tree is not ready for export, so that its ranks are not final",
    "foreign_language": "it is in another language than eft.language",
    "was_deleted": "it was deleted",
    "not_reviewed": "people did not review it, or did not approve of it",
    "blank_text": "it has no text",
    "repeated_message": "a message with the same id was read before",
    "no_assistant": "the reply is not in the role of the assistant",
    "not_ranked": "people did not rank the reply",
    "too_few_ranked": "fewer than two ranked replies to the prompt are left",
    "equal_ranks": "two replies to the prompt have the same rank",
    # EFT examples (ids of judgments, or of what was made of a ranked reply)
    "only_score": "no other reply to the prompt has a score in this round",
    "ranks_differ": "the scores of this round rank the replies otherwise than people did",
    "all_scores_equal": "all scores of this round are the same",
    "commonest_score": "the commonest score is thinned to the count of the next",
    "kind_share": "there is no room for it in the shares of the kinds, or in eft.examples",
    # held-out prompts
    "trained_on": "the prompt is a seed prompt, so that the loop may train on it",
    # requests (ids of what was to be answered, judged or battled)
    "prompt_too_long": "prompt and maximal completion do not fit into the context; it is not sampled, not cut",
    # judgments and meta-judgments (the column `invalid`)
    "no_score": 'no "Score:" (or the words of the recipe) followed by a number',
    "off_scale": 'what follows "Score:" is not plainly one number on the scale',
    "different_scores": 'different values after "Score:"',
    "no_winner": 'the winner is not plainly named ("Winner: Judgement A" or "B")',
    "different_winners": "both judgments are named as the winner",
    "identical_battle": "the two judgments have the same text, no battle was sampled",
    # responses
    "not_judged": "no judgment of this response was sampled",
    "no_valid_judgment": "no judgment of this response (of any response to this prompt) has a valid score",
    "too_few_valid_judgments": "a variance needs at least two valid judgments",
    "zero_variance": "all valid judgments give the same score",
    "lower_variance": "the judgments of another response to the prompt vary more",
    "lost_draw": "another response has the same variance and won the draw",
    # actor pairs
    "single_response": "only one response to the prompt has a score",
    "equal_scores": "all responses to the prompt have the same score",
    "blank_chosen": "every candidate for the chosen side is empty or has only white space and invisible characters",
    "no_eligible_chosen": "every candidate for the chosen side was cut off at max tokens (or is blank)",
    "chosen_not_above_rejected": "the tiers overlap and the chosen response does not score above the rejected one",
    "identical_texts": "chosen and rejected have the same text",
    "chosen_too_long": "the chosen text has more characters than the threshold",
    # judge pairs
    "no_battles": "no battle between judgments of this response was sampled",
    "equal_elo": "all judgments of this response have the same Elo",
    # DPO dataset
    "too_long": "prompt and longer completion have more tokens than training takes; nothing is cut",
    "judge_share_cap": "the judge pairs would exceed their share of the dataset",
}

# The settings that decide how many are dropped for a reason, by asset where they differ; as records name them.
SETTINGS: dict[str, dict[str, str]] = {
    "cut_off_task": {"": "generation.max_tokens"},
    "too_few_chars": {"": "generation.min_chars"},
    "too_many_chars": {"": "generation.max_chars"},
    "other_language": {"": "generation.language"},
    "like_an_example": {"": "generation.similarity"},
    "near_duplicate": {"": "generation.similarity"},
    "more_than_wanted": {"": "prompts.count"},
    "prompt_too_long": {"": "engine.max_model_len"},
    "chosen_not_above_rejected": {"actor_pairs": "iteration.rho"},
    "no_eligible_chosen": {"": "switches.cut_off"},
    "chosen_too_long": {
        "actor_pairs": "iteration.max_chosen_chars",
        "elo_pairs": "iteration.max_chosen_judgment_chars",
    },
    "equal_elo": {"elo_pairs": "switches.elo_tie_tolerance"},
    "too_long": {"dpo_dataset": "dpo.max_length"},
    "foreign_language": {"": "eft.language"},
    "kind_share": {"": "eft.examples"},
    "judge_share_cap": {"dpo_dataset": "switches.judge_share_cap"},
}


def setting_behind(asset: str, reason: str) -> str | None:
    """The path of the setting by which an asset drops for that reason; None if no setting decides it."""
    by_asset = SETTINGS.get(reason, {})
    return by_asset.get(asset, by_asset.get(""))


# What to add of the numbers in the row, where they say more than the reason itself.
DETAILS = {
    "too_few_chars": "{chars}, expected at least {min_chars}",
    "too_many_chars": "{chars}, expected at most {max_chars}",
    "other_language": "{found} with confidence {confidence}, expected {language}",
    "like_an_example": "{of}, similarity {similarity}",
    "near_duplicate": "{of}, similarity {similarity}",
    "equal_scores": "{score_max:.4g}",
    "chosen_not_above_rejected": "{chosen_id} with {chosen_score:.4g}, {rejected_id} with {rejected_score:.4g}",
    "identical_texts": "{chosen_id} and {rejected_id}",
    "chosen_too_long": "{chosen_id} has {chosen_chars}, allowed are {max_chosen_chars}",
    "lower_variance": "{variance:.4g}, {selected_variance:.4g} of {selected_id}",
    "too_long": "{prompt_tokens} of the prompt, {chosen_tokens} and {rejected_tokens}, allowed are {max_length}",
}


def in_words(reason: str, numbers: Mapping[str, Any]) -> str:
    """A reason in words, with the numbers of its row where they say more: "... (r2 has 57, allowed are 50)".

    A reason that is none of `REASONS`, of another version's tables, stays as it is; so does one without its numbers.
    """
    ids = {name: short(value) for name, value in numbers.items() if name.endswith("_id") and isinstance(value, str)}
    try:
        details = f" ({DETAILS[reason].format_map({**numbers, **ids})})" if reason in DETAILS else ""
    except (KeyError, ValueError, TypeError):
        details = ""
    return REASONS.get(reason, reason) + details


def dropped(frame: pl.DataFrame, id_column: str, reason: str | pl.Expr, numbers: list[str]) -> pl.DataFrame:
    """A `DROPPED` frame with one row per row of `frame`.

    `reason` is one word of `REASONS` or an expression that gives one; `numbers` are the columns that go into the JSON
    object, under their own names.
    """
    said = pl.lit(reason) if isinstance(reason, str) else reason
    return frame.select(
        pl.col(id_column).cast(pl.String).alias("id"),
        said.cast(pl.String).alias("reason"),
        pl.struct(numbers).struct.json_encode().alias("numbers"),
    ).cast(DROPPED.schema)


def gathered(*parts: pl.DataFrame) -> pl.DataFrame:
    """Several `DROPPED` frames as one, sorted by id."""
    return pl.concat([DROPPED.empty(), *parts]).sort("id", "reason")
