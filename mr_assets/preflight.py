"""What is checked before anything is launched: the inputs that a run will need, so that nothing is wasted."""

import importlib.util
import os
import shutil

from mr_assets.errors import UserError
from mr_assets.method.prompts import draw_prompts
from mr_assets.runs import Run, resolve
from mr_assets.seed import seed_model
from mr_assets.templates import judge_template, meta_judge_template
from mr_assets.userfiles import read_eft, to_train_on, user_prompts

LEAST_FREE_MIB = 200


def check_run(run: Run) -> None:
    """Raise `UserError` for whatever would stop the run later: model, chat template, files, engine, disk."""
    recipe = run.recipe
    try:
        run.data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the data folder {run.data} cannot be made: {error}. Set MR_DATA to a writable folder."
        ) from error
    if not os.access(run.data, os.W_OK):
        raise UserError(f"the data folder {run.data} cannot be written. Set MR_DATA to a writable folder.")
    free = shutil.disk_usage(run.data).free // 2**20
    if free < LEAST_FREE_MIB:
        raise UserError(f"only {free} MiB are free in {run.data}; a run needs {LEAST_FREE_MIB} at the very least.")
    judge_template(run.template(recipe.judgments.template))
    meta_judge_template(run.template(recipe.meta_judgments.template))
    if recipe.prompts.source != "world" and run.record("seed_prompts") is None:
        counts = [row.prompts for row in recipe.iterations]
        draw_prompts(
            to_train_on(user_prompts(recipe, run.data), recipe), 1, counts, recipe.seed, recipe.prompts.disjoint
        )
    if recipe.sft and recipe.eft.source != "world" and run.record("eft_dataset") is None:
        read_eft(recipe.eft.source, run.data)
    folder = resolve(recipe.model.seed, run.data)
    if folder.is_dir() or not recipe.model.allow_hub:
        seed_model(recipe, run.data)
    if importlib.util.find_spec("vllm") is None:
        raise UserError(
            "vLLM is not installed, and nothing else samples. Install the project with its environment (make install), "
            "or on a CUDA host: pip install -e '.[cuda]'."
        )
