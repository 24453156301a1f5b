"""What generated prompts are made with: the example tasks, and the model that is shown them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from mr_assets.chat import ChatEncoder
from mr_assets.errors import UserError
from mr_assets.files import fingerprint
from mr_assets.inputs.prompt_sources import read_prompts
from mr_assets.inputs.seed_model import model_folder, seed_as_recorded, seed_model
from mr_assets.method.generated_prompts import Limits, languages, longest_request
from mr_assets.method.prompts import check_prompts
from mr_assets.recipes.recipe import Generation, Recipe
from mr_assets.runs.artifact import Model
from mr_assets.runs.settings import CONTENT
from mr_assets.templates import example_tasks, generate_template

GENERATOR = "prompts.generator"


def read_examples(recipe: Recipe, data: Path) -> list[str]:
    """The tasks that requests show: those of the recipe's file, else ours.

    Raises `UserError` for a file that cannot be read, a conversation, an empty or repeated task, or too few of them.
    """
    section = recipe.generation
    tasks: list[str] = []
    given = example_tasks() if section.examples is None else read_prompts(section.examples, recipe.prompts.column, data)
    what = f"generation.examples = {section.examples}"
    for n, task in enumerate(given, start=1):
        if not isinstance(task, str):
            raise UserError(f"{what}: task {n} is a conversation, expected a text. Take it out.")
        tasks.append(task)
    if len(tasks) < section.shots:
        raise UserError(
            f"{what}: it has {len(tasks)} tasks, and each request shows generation.shots = {section.shots}. Add some, "
            "or lower generation.shots."
        )
    check_prompts(pl.DataFrame({"prompt": tasks}), what)
    return tasks


def limits(section: Generation) -> Limits:
    """What a generated prompt must be like. Raises `UserError` for a language that is not known."""
    if section.language is not None and section.language not in languages():
        raise UserError(
            f"generation.language = {section.language!r}: expected a code such as en, de or zh, one of "
            f"{', '.join(languages())}. Set it to one of these, or to null for all."
        )
    return Limits((section.min_chars, section.max_chars), section.language, section.similarity)


def generator_folder(recipe: Recipe, data: Path) -> Path:
    """The folder of the model that generates prompts, checked; of a hub, downloaded first. Raises as `seed_model`."""
    if recipe.prompts.generator is None:
        return seed_model(recipe, data)
    return model_folder(GENERATOR, recipe.prompts.generator, None, recipe.model.allow_hub, data)


def generator(recipe: Recipe, data: Path, settings: Mapping[str, Any]) -> Model:
    """The model that generates prompts, with the content that the settings of the asset name."""
    folder = generator_folder(recipe, data)
    if recipe.prompts.generator is None:
        return seed_as_recorded(folder, settings)
    return Model(str(folder), settings.get(f"{CONTENT}{GENERATOR}") or fingerprint(folder), GENERATOR)


def rendering(recipe: Recipe) -> dict[str, Any]:
    """How the generator's chat template renders: as the recipe says of the seed model, of another model by default."""
    return recipe.model.rendering() if recipe.prompts.generator is None else {}


def check_generator(recipe: Recipe, data: Path) -> None:
    """Raise `UserError` for what would stop the generation later: examples, language, model, template, context."""
    examples = read_examples(recipe, data)
    limits(recipe.generation)
    if recipe.prompts.by_endpoint:
        return
    named = recipe.prompts.generator or recipe.model.seed
    if recipe.model.allow_hub and not (data / named).is_dir() and not Path(named).is_dir():
        return  # it is downloaded when it is used
    encode = ChatEncoder.load(generator_folder(recipe, data), **rendering(recipe))
    longest = {"tasks": longest_request(examples, recipe.generation.shots)}
    tokens = len(encode.template_ids(generate_template(), longest))
    context, most = recipe.engine.max_model_len, recipe.generation.max_tokens
    if tokens + most > context:
        raise UserError(
            f"generation: a request with its examples has up to {tokens:,} tokens; with "
            f"generation.max_tokens = {most:,} that does not fit into engine.max_model_len = {context:,}. Lower "
            "generation.max_tokens or generation.shots, name shorter generation.examples, or raise "
            "engine.max_model_len."
        )
