"""`mr new`: a recipe that fits a model and a machine, and what to do with it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mr_assets.cli.terminal import say
from mr_assets.errors import UserError, shown

if TYPE_CHECKING:
    from mr_assets.inputs.new_recipe import Inputs, Machine, ModelFacts
    from mr_assets.recipes.recipe import Recipe


@click.command()
@click.argument("name")
@click.option("--model", required=True, metavar="FOLDER", help="The model: a folder, or a name on the hub.")
@click.option(
    "--prompts", metavar="FILE", help="Prompts of yours: a file, or a folder. Without them the model makes some."
)
@click.option("--column", default="prompt", show_default=True, help="The column of the file that holds the prompt.")
@click.option("--eft", metavar="FILE", help="Judged examples, or open_assistant:FILE. Without them there is no SFT.")
@click.option("--gpu", metavar="NAME", help="The GPU it is for, such as h200, h100, a100-40, l40s, 4090.")
@click.option("--count", type=click.IntRange(min=1), help="How many of them. Default: 1.")
@click.option("--allow-hub", is_flag=True, help="Download the model from the hub, if it is a name there.")
@click.option("--force", is_flag=True, help="Write over NAME.yaml if it is there.")
def new(
    name: str,
    model: str,
    prompts: str | None,
    column: str,
    eft: str | None,
    gpu: str | None,
    count: int | None,
    allow_hub: bool,
    force: bool,
) -> None:
    """Write NAME.yaml: a recipe that fits a model and a machine, each number with its reason beside it.

    It looks at the model's weights, tokenizer, chat template, end token, context and licence, and says what it found
    and what to do next. Without --gpu it is for this machine: its GPUs if it has any, else its CPU. What does not fit
    is computed as `mr plan` does. Nothing is downloaded without --allow-hub, and nothing is run.

    \b
    mr new my_model --model /models/my-model --prompts prompts.jsonl
    mr new my_model --model Qwen/Qwen2.5-1.5B-Instruct --allow-hub --gpu 4090
    """
    from mr_assets.files import atomically
    from mr_assets.inputs.new_recipe import model_facts, recipe_text
    from mr_assets.recipes.names import check_run_name
    from mr_assets.recipes.yaml_files import shipped
    from mr_assets.runs.data_folder import data_root

    check_run_name(name)
    if name in shipped():
        raise UserError(f"{name} is a recipe that ships. Choose another name, my_{name} for example.")
    path = Path(f"{name}.yaml")
    if path.exists() and not force:
        raise UserError(
            f"{path} is there already, and stays as it is. Choose another name, or replace it with --force."
        )
    machine = _machine(gpu, count)
    folder, named, revision = _model(model, allow_hub)
    facts = model_facts(folder, named, revision)
    inputs = _inputs(facts, prompts, column, eft)
    text, recipe = recipe_text(name, facts, inputs, machine, data_root())
    atomically(path, lambda p: p.write_text(text, encoding="utf-8"))
    say("\n".join([*_found(facts), *_fitted(recipe, facts, machine), "", *_next(name, path, inputs)]))


def _machine(gpu: str | None, count: int | None) -> "Machine":
    from mr_assets.inputs.new_recipe import Machine
    from mr_assets.inputs.preflight import free_memory
    from mr_assets.inputs.run_plan import gpus_here
    from mr_assets.planning.data_sheets import known_gpu

    chosen, number = (known_gpu(gpu), count or 1) if gpu else gpus_here(count)
    return Machine(chosen, number) if chosen else Machine(free=float(free_memory()))


def _model(model: str, allow_hub: bool) -> tuple[Path, str, str | None]:
    """The folder to look at, how the recipe names it, and the commit of a hub's model that may be downloaded.

    A hub's model that was downloaded at some time is taken from its folder. Raises `UserError` if it is nowhere.
    """
    from mr_assets.runs.data_folder import data_root, resolve
    from mr_assets.text_files import given_path

    for folder in (given_path(model, "--model"), resolve(model, data_root())):
        if folder.is_dir():
            return folder.resolve(), str(folder.resolve()), None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        patterns = ["*.safetensors", "*.json", "*.jinja", "*.model", "LICENSE*"]
        found = Path(snapshot_download(model, allow_patterns=patterns, local_files_only=not allow_hub))
    except HFValidationError as error:
        raise UserError(f"--model {shown(model)}: there is no such folder, and no model can be called so.") from error
    except LocalEntryNotFoundError as error:
        how = "The hub cannot be reached." if allow_hub else "Download it with --allow-hub, or name a folder."
        raise UserError(
            f"--model {shown(model)}: there is no such folder, and no model of that name was downloaded before. {how}"
        ) from error
    except Exception as error:  # the hub's client has many: no such model, no access, no network
        said = str(error).strip().partition("\n")[0]
        raise UserError(f"--model {shown(model)} cannot be had from the hub: {said}") from error
    return (found, model, found.name) if allow_hub else (found, str(found), None)


def _inputs(facts: "ModelFacts", prompts: str | None, column: str, eft: str | None) -> "Inputs":
    from mr_assets.inputs.new_recipe import Inputs, inputs_of
    from mr_assets.recipes.recipe import OPEN_ASSISTANT

    judged = None
    if eft is not None:
        kind = OPEN_ASSISTANT if eft.startswith(OPEN_ASSISTANT) else ""
        judged = kind + _whole(eft.removeprefix(kind), "--eft")
    return inputs_of(facts, _whole(prompts, "--prompts"), column, judged) if prompts else Inputs(eft=judged)


def _whole(given: str, option: str) -> str:
    """The absolute path of a file that is named relative to here or to the data folder."""
    from mr_assets.runs.data_folder import data_root, resolve
    from mr_assets.text_files import given_path

    for path in (given_path(given, option), resolve(given, data_root())):
        if path.exists():
            return str(path.resolve())
    raise UserError(f"{option} {shown(given)}: there is no such file here, nor in the data folder {data_root()}.")


def _found(facts: "ModelFacts") -> list[str]:
    """What the model is, a line each."""
    shape = facts.shape
    weights = f"{shape.weights / 1e9:.3g} billion" if shape else "of an architecture that memory is not computed of"
    tied = ", input and output embedding are one" if shape and shape.tied else ""
    lines = {
        "model": str(facts.folder),
        "weights": f"{weights}, stored as {facts.dtype}{tied}",
        "context": f"{facts.context:,} tokens" if facts.context else "not said",
        "tokenizer": f"{facts.tokens:,} tokens; the judge prompt takes {facts.judge:,}, empty",
        "chat template": "good" + (f", with {facts.kwargs}" if facts.kwargs else ""),
        "end of a turn": facts.end + ("" if facts.ends_text else ", which ends no text: the engine stops there too"),
        "licence": facts.licence or "no file in the folder: look at the model's page before you use it",
    }
    return [f"{name + ':':15} {line}" for name, line in lines.items()]


def _fitted(recipe: "Recipe", facts: "ModelFacts", machine: "Machine") -> list[str]:
    """What of it fits the machine, a line each."""
    from mr_assets.planning.fits import memory_of, size
    from mr_assets.runs.data_folder import data_root

    engine = recipe.engine
    lines = {
        "machine": machine.title if machine.gpu else f"{machine.title}, {len(os.sched_getaffinity(0))} cores",
        "lengths": f"{engine.max_model_len:,} tokens of context; at most {recipe.responses.max_tokens:,} for a "
        f"response, {recipe.judgments.max_tokens:,} for a judgment, {recipe.meta_judgments.max_tokens:,} for a "
        "comparison",
    }
    if facts.shape:
        needs = {name: size(m.needed) for name, m in memory_of(recipe, facts.shape, data_root()).items()}
        lines["memory"] = ", ".join(f"{name} {needed}" for name, needed in needs.items())
        lines["memory"] += (
            f" of {machine.gpu.memory:.0f} GB each" if machine.gpu else f"; {size(machine.free)} are free"
        )
    rows = [row.prompts for row in recipe.iterations]
    lines["iterations"] = f"{len(rows)} of {rows[0]:,} prompts, K = {recipe.responses.k}, N = {recipe.judgments.n}"
    return [f"{name + ':':15} {line}" for name, line in lines.items()]


def _next(name: str, path: Path, inputs: "Inputs") -> list[str]:
    steps: dict[str, Any] = {
        f"mr run {name} --dry-run": "checks everything, and lists the steps",
        f"mr pilot {name}": "a few prompts through every role: does the model judge?",
        f"mr plan {name} --pilot 16": "hours, memory and disk, with what the pilot measured",
        f"mr run {name}": "the run",
    }
    notes = []
    if inputs.eft is None:
        notes.append(
            "No EFT data: M0 is the model itself (sft: null). If the pilot says that it does not judge, bring some: "
            "--eft FILE, or --eft open_assistant:FILE."
        )
    return [
        f"{path} is written. Next:",
        *(f"  {command:{28 + len(name)}} {what}" for command, what in steps.items()),
        *notes,
    ]
