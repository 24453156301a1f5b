"""What is checked before anything is launched: the inputs that a run will need, so that nothing is wasted."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from glob import has_magic
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import polars as pl
import psutil

from mr_assets.addresses import ray_cluster
from mr_assets.chat import ChatEncoder
from mr_assets.errors import UserError, did_you_mean, shown
from mr_assets.inputs.generator import check_generator
from mr_assets.inputs.held_out_prompts import held_out_prompts
from mr_assets.inputs.labelled_pairs import labelled_pairs
from mr_assets.inputs.open_assistant import rankings, said
from mr_assets.inputs.prompt_sources import place_of_prompt, user_prompts
from mr_assets.inputs.reward_model import check_rewards
from mr_assets.inputs.seed_model import seed_model
from mr_assets.inputs.user_files import (
    HELD_OUT,
    control_token_note,
    eft_file,
    eft_notes,
    place_of,
    to_train_on,
    user_eft,
)
from mr_assets.inputs.win_rates import check_judge
from mr_assets.method.asked_lines import check_score_line
from mr_assets.method.conversations import asked
from mr_assets.method.prompts import draw_prompts
from mr_assets.method.ranked_replies import without_held_out
from mr_assets.model_folder import most_positions, tensor_shapes
from mr_assets.planning.fits import sections
from mr_assets.planning.ray_nodes import check_nodes
from mr_assets.planning.refusal import (
    busy_gpus,
    check_cpu,
    check_disk,
    check_gpus,
    check_host,
    check_optimizer,
    gpus_here,
)
from mr_assets.recipes.recipe import GENERATED, RANKINGS, ModelSection
from mr_assets.recipes.yaml_files import parse_mapping
from mr_assets.runs.data_folder import accelerate_file, resolve
from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets.sampling.engine import samples_on_cpu
from mr_assets.sampling.engine_arguments import refused
from mr_assets.sampling.settings import EngineSettings
from mr_assets.tables import EFT_DATASET, RANKED_REPLIES, SEED_PROMPTS
from mr_assets.templates import Template
from mr_assets.text_files import read_text_file
from mr_assets.training.accelerate_config import accelerate_faults
from mr_assets.training.settings import TrainingSettings

LEAST_FREE_MIB = 200
EXECUTED_HERE = ("in_process", "multiprocess")  # the executors whose steps work on this machine
KNOWN_CONFIGURATIONS = Path(__file__).parent / "__pycache__" / "configurations"
GROUPS_OF_PROCESS = Path("/proc/self/cgroup")
CONTROL_GROUPS = {  # by the controllers of version 2 and 1: folder; limit, use, and what of it is a cache of files
    "": (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    "memory": (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def check_run(run: Run, *, dry: bool = False, trains: bool = True) -> list[str]:
    """Raise `UserError` for whatever would stop the run later: model, chat template, files, engine, trainer, disk.

    Returns what is worth knowing of the user's files, one sentence each. The data folder is made if it is not there,
    unless this is a `dry` run. trains: whether anything is trained; a pilot only samples.
    """
    recipe = run.recipe
    if problems := list(refused(recipe.engine.extra)):
        raise UserError("\n  - ".join([f"run {run.name} cannot be launched. Mend its recipe.", *problems]))
    there = next(folder for folder in (run.data, *run.data.parents) if folder.exists())
    if not there.is_dir():
        raise UserError(
            f"the data folder {run.data} cannot be made: {there} is no folder. Set MR_DATA to a writable folder."
        )
    if not os.access(there, os.W_OK):
        raise UserError(f"the data folder {run.data} cannot be written. Set MR_DATA to a writable folder.")
    for what, path in (("data folder", run.data), ("model folder", resolve(recipe.model.seed, run.data))):
        if has_magic(str(path)):
            raise UserError(
                f"the {what} {path} has one of * ? [ in its path, which vLLM takes for a pattern: it would find no "
                "weights there. Rename the folder, or use another."
            )
    cache = Path(os.environ.get("VLLM_CACHE_ROOT") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "vllm")
    nearest = next(folder for folder in (cache.expanduser(), *cache.expanduser().parents) if folder.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise UserError(f"vLLM's cache {cache} cannot be written. Set VLLM_CACHE_ROOT to a writable folder.")
    free = shutil.disk_usage(there).free // 2**20
    if free < LEAST_FREE_MIB:
        raise UserError(
            f"only {free} MiB are free in {run.data}; a run needs {LEAST_FREE_MIB} at the very least. Free some space, "
            "or set MR_DATA to a folder on another disk."
        )
    prompts, eft = SEED_PROMPTS.empty(), EFT_DATASET.empty()
    templates = judge_prompts(recipe, run.data)
    notes = _check_fit(run, trains)
    ranked = RANKED_REPLIES.empty()
    if recipe.eft.rankings and run.record("ranked_replies") is None:
        found = rankings(recipe, run.data)
        ranked, notes = found.rows, [*notes, said(recipe, found)]
    if recipe.prompts.source == GENERATED and state(run, "generated_prompts") != "done":
        check_generator(recipe, run.data)
    if recipe.prompts.source not in ("world", GENERATED) and run.record("seed_prompts") is None:
        counts = [row.prompts for row in recipe.iterations]
        prompts = user_prompts(recipe, run.data)
        usable = without_held_out(to_train_on(prompts, recipe), ranked)
        if recipe.eft.rankings and usable.height < prompts.height:
            notes.append(f"prompts file {recipe.prompts.source}: {prompts.height - usable.height} prompts {HELD_OUT}.")
        draw_prompts(usable, 1, counts, recipe.seed, recipe.prompts.disjoint)
    given = recipe.eft.source != "world" and not recipe.eft.rankings
    if recipe.sft and given and run.record("eft_dataset") is None:
        eft, _ = user_eft(recipe, run.data)
    if recipe.held_out and recipe.held_out.source != RANKINGS:
        held_out_prompts(recipe, run.data, None)
    if recipe.labelled_pairs:
        labelled_pairs(recipe, run.data)
    folder, encode = resolve(recipe.model.seed, run.data), None
    if folder.is_dir() or not recipe.model.allow_hub:
        seed_model(recipe, run.data)
        if state(run, "sft_checkpoint") != "done" or prompts.height or eft.height:  # else it was loaded before
            encode = seed_encoder(folder, recipe.model, *templates)
            check_score_line(recipe.judgments.scoring, recipe.judgments.score_line, encode.text_ids)
            _check_turns(run, encode, prompts)
    if recipe.reward_model is not None:
        check_rewards(recipe, recipe.reward_model, run.data)
    if recipe.win_rates is not None:
        check_judge(recipe, recipe.win_rates, run.data)
    if importlib.util.find_spec("vllm") is None:
        raise UserError(
            "vLLM is not installed, and nothing else samples. Install the project with its environment (make install), "
            "or on a CUDA host: pip install -e '.[cuda]'."
        )
    if trains:
        _check_training(run)
    if folder.is_dir():
        _check_context(folder, recipe.engine)
    if (done_here() or not trains) and samples_on_cpu():
        notes += check_cpu(run, free_memory(), None if trains else "responses")
    notes += _notes(run, encode, prompts, eft)
    if not dry:
        run.data.mkdir(parents=True, exist_ok=True)
    return notes


def _check_fit(run: Run, trains: bool) -> list[str]:
    """Raise `UserError` for what cannot fit on the disk, or into the GPUs of this machine or of a cluster's nodes."""
    if not trains:
        return [*check_gpus(run, found := gpus_here(), "responses"), *busy_gpus(run, found)]
    found = gpus_here() if done_here() else []
    if (cluster := ray_cluster()) is not None:
        check_nodes(run, cluster)
    notes = check_gpus(run, found)
    if found:
        check_host(run, free_memory())
    return [*notes, *busy_gpus(run, found), *check_disk(run)]


def done_here() -> bool:
    """Whether the steps work on this machine."""
    return os.environ.get("MR_EXECUTOR", "in_process") in EXECUTED_HERE


def _check_training(run: Run) -> None:
    """Raise `UserError` for a trainer that could not start, or would not train what the recipe names.

    Its optimizer's library, accelerate's configuration; where LoRA's adapters go, if the seed model's folder is here.
    """
    check_optimizer(run)
    folder = resolve(run.recipe.model.seed, run.data)
    for name, section in sections(run.recipe).items():
        if section.lora_r is not None and folder.is_dir():
            _check_adapters(f"{name}.lora_target_modules", section.lora_targets, folder)
        if section.accelerate_config is not None:
            path = accelerate_file(section.accelerate_config, run.data)
            _check_accelerate_config(f"{name}.accelerate_config", path, section)


def _check_adapters(what: str, named: list[str], folder: Path) -> None:
    """Raise `UserError` for names of modules of which the model has no weight matrix.

    peft takes no notice of such a name as long as it finds another.
    """
    shapes = tensor_shapes(folder) if named else {}
    matrices = [f".{tensor}" for tensor, shape in shapes.items() if tensor.endswith(".weight") and len(shape) > 1]
    for name in named:
        if not any(tensor.endswith(f".{name}.weight") for tensor in matrices):
            known = sorted({tensor.split(".")[-2] for tensor in matrices})
            raise UserError(
                f"{what} names {shown(name)}, of which the model in {folder} has no weights. "
                f"It has {', '.join(known)}: name some of them, or all-linear.{did_you_mean(name, known)}"
            )


def _check_accelerate_config(what: str, path: Path, section: TrainingSettings) -> None:
    """Raise `UserError` if accelerate would not take the file, or would train something wrong with it.

    It is read within our limits first, then as accelerate reads it.
    """
    config = parse_mapping(read_text_file(path, what), f"{what} {path}")
    from accelerate.commands.config.config_args import load_config_from_file

    try:
        found = load_config_from_file(str(path))
    except Exception as error:  # accelerate checks nothing, so that any error may come of a wrong value
        raise UserError(
            f"{what} {path} is none that accelerate can read: {type(error).__name__}: {str(error)[:200]}. "
            "Write the file with accelerate config."
        ) from error
    whole = dict.fromkeys(("num_processes", "num_machines", "machine_rank", "main_process_port"), int)
    sections = {"fsdp_config": dict, "deepspeed_config": dict, "dynamo_config": dict, "fp8_config": dict}
    for field, kind in {**whole, **sections}.items():
        value = getattr(found, field, None)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            expected = "a whole number" if kind is int else "a mapping"
            raise UserError(f"{what} {path}: {field} is {shown(value)}, expected {expected}. Mend the file.")
    if faults := list(accelerate_faults(section, config)):
        raise UserError("\n  - ".join([f"{what} {path} cannot be trained with. Mend it, or the recipe.", *faults]))


def _check_context(folder: Path, engine: EngineSettings) -> None:
    """Raise `UserError` if the engine's context is longer than the model's: vLLM would say so after SFT."""
    most = most_positions(folder)
    if most is not None and engine.max_model_len > most:
        raise UserError(
            f"engine.max_model_len = {engine.max_model_len}: the model in {folder} reads {most} tokens at most, as its "
            f"config.json or tokenizer_config.json says. Set engine.max_model_len to {most} or less."
        )


def free_memory() -> int:
    """Bytes of memory that this process can still have: the machine's, or less where a control group limits it.

    What the group holds of files that were read is free, too.
    """
    free: int = psutil.virtual_memory().available
    lines = GROUPS_OF_PROCESS.read_text().splitlines() if GROUPS_OF_PROCESS.exists() else []
    for _, controllers, group in (line.split(":", 2) for line in lines):
        if controllers not in CONTROL_GROUPS:
            continue
        top, limit, used, cached = CONTROL_GROUPS[controllers]
        own = top / group.lstrip("/")
        for folder in (own, *own.parents[: len(own.parts) - len(top.parts)]):
            with suppress(OSError, ValueError, KeyError):  # no such group here, or no limit: "max"
                stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                most, now = (int((folder / name).read_text()) for name in (limit, used))
                free = min(free, max(0, most - now + int(stat[cached])))
    return free


def _notes(run: Run, encode: ChatEncoder | None, prompts: pl.DataFrame, eft: pl.DataFrame) -> Iterator[str]:
    """What is worth knowing of the user's files that were just read; of control tokens, if the model is here."""
    recipe = run.recipe
    yield from eft_notes(recipe, run.data, eft)
    if encode is not None:
        tokens_in = encode.control_tokens_in
        place = partial(place_of_prompt, recipe, run.data)
        yield from control_token_note(
            "prompts file", recipe.prompts.source, place, enumerate(prompts["prompt"]), tokens_in
        )
    if encode is not None and eft.height:
        judge = judge_prompts(recipe, run.data).judge
        rows = eft.select("example_id", "prompt", "completion").iter_rows()
        examples = ((int(i), _untrusted(judge, question) + answer[0]["content"]) for i, question, answer in rows)
        place = partial(place_of, "EFT file", eft_file(recipe), run.data)
        yield from control_token_note("EFT file", eft_file(recipe), place, examples, encode.control_tokens_in)


def _check_turns(run: Run, encode: ChatEncoder, prompts: pl.DataFrame) -> None:
    """Raise `UserError` for the first prompt whose sequence of roles the chat template refuses."""
    tried: set[tuple[str, ...]] = set()
    for row, prompt in enumerate(asked(prompts)):
        if isinstance(prompt, str) or (roles := tuple(turn["role"] for turn in prompt)) in tried:
            continue
        tried.add(roles)
        try:
            encode.prompt_ids(prompt)
        except UserError as error:
            raise UserError(
                f"prompts file {run.recipe.prompts.source}, {place_of_prompt(run.recipe, run.data, row)}: a "
                f"conversation of {', '.join(roles)}: {error}"
            ) from error


def _untrusted(judge: Template, asked: list[dict[str, str]]) -> str:
    """A question without the judge template's own text, which may be control tokens of a model made for it."""
    values = judge.unfill(asked[0]["content"])
    return asked[0]["content"] if values is None else "\n".join(values.values())


def seed_encoder(folder: Path, model: ModelSection, *templates: Template) -> ChatEncoder:
    """The seed model's. Raises `UserError` for a model that transformers does not know, or no template can ask."""
    _check_configuration(folder)
    encode = ChatEncoder.load(folder, **model.rendering())
    for template in templates:
        encode.template_ids(template, dict.fromkeys(template.fields, "x"))
    return encode


def _check_configuration(folder: Path) -> None:
    """Raise `UserError` for a config.json that this version of transformers cannot load.

    One that it can is known again by its content, beside Python's bytecode: to ask transformers takes two seconds, for
    it brings torch. Where nothing can be written, nothing is kept.
    """
    place = folder / "config.json"
    asked = f"{version('transformers')} ".encode()
    with suppress(OSError):  # of which transformers will speak
        asked += place.read_bytes()
    known = KNOWN_CONFIGURATIONS / blake2b(asked, digest_size=16).hexdigest()
    if known.exists():
        return
    from transformers import AutoConfig

    try:
        AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the configuration's own code checks it, each in its way
        raise UserError(
            f"{place} describes no model that transformers {version('transformers')} can load: "
            f"{str(error).strip() or type(error).__name__}. Name a complete model folder of a known architecture."
        ) from error
    with suppress(OSError):
        known.parent.mkdir(parents=True, exist_ok=True)
        known.touch()
