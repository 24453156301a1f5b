"""The judge of win rates, which the loop does not train: a model's or a reward model's folder, checked."""

from pathlib import Path

from mr_assets.chat import ChatEncoder
from mr_assets.errors import UserError
from mr_assets.inputs.reward_model import check_rewards
from mr_assets.inputs.seed_model import model_folder
from mr_assets.method.asked_lines import check_score_line
from mr_assets.model_folder import most_positions
from mr_assets.recipes.recipe import REWARD_MODEL, Recipe, WinRates
from mr_assets.runs.data_folder import resolve
from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.sampling.reward_model import is_reward_model
from mr_assets.sampling.settings import RewardSettings

FIELD = "win_rates.judge"


def judge_folder(recipe: Recipe, named: str, data: Path) -> Path:
    """The folder of another language model that judges; a hub's is downloaded first if that is allowed.

    Raises as `seed_model` does, and for a reward model that is not named as one.
    """
    folder = model_folder(FIELD, named, None, recipe.model.allow_hub, data)
    if is_reward_model(folder):
        raise UserError(
            f"{FIELD} = {named}: that is a reward model, which writes no judgments. Write {REWARD_MODEL}{named}."
        )
    return folder


def check_judge(recipe: Recipe, section: WinRates, data: Path) -> None:
    """Raise `UserError` for what would stop the judge of win rates later; of a hub's that is not here yet, nothing."""
    if section.reward_model is not None:
        check_rewards(recipe, RewardSettings(folder=section.reward_model), data, FIELD)
    named = section.folder
    if named is None or (recipe.model.allow_hub and not resolve(named, data).is_dir()):
        return
    folder = judge_folder(recipe, named, data)
    most, context = most_positions(folder), recipe.engine.max_model_len
    if most is not None and context > most:
        raise UserError(
            f"engine.max_model_len = {context}: the judge of win rates in {folder} reads {most} tokens at most. Lower "
            "engine.max_model_len, or name another judge."
        )
    encode, judge = ChatEncoder.load(folder, date=recipe.model.date), judge_prompts(recipe, data).judge
    encode.template_ids(judge, dict.fromkeys(judge.fields, "x"))
    check_score_line(recipe.judgments.scoring, recipe.judgments.score_line, encode.text_ids)
