"""A recipe for a user's model: what the model is, what of it fits the machine, and the file that says so.

    facts = model_facts(Path("/models/my-model"))
    text = recipe_text("my_model", facts, inputs, machine, data)

    engine:
      max_model_len: 2048   # ours: tokens; the model reads 8,192 at most

Numbers of the method stay the paper's where the machine allows; each other one says so beside it.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mr_assets.chat import ChatEncoder
from mr_assets.errors import UserError
from mr_assets.inputs.preflight import seed_encoder
from mr_assets.inputs.prompt_sources import read_prompts
from mr_assets.model_folder import check_model_folder, most_positions
from mr_assets.planning.data_sheets import Card
from mr_assets.planning.fits import Problem, cpu_problems, gpu_problems
from mr_assets.planning.memory import cache_bytes, training_memory
from mr_assets.planning.shapes import Shape, shape_of_folder
from mr_assets.recipes.recipe import GENERATED, OPEN_ASSISTANT, ModelSection, Recipe
from mr_assets.recipes.validation import validated
from mr_assets.recipes.yaml_files import FOLDER, OF_FILE, merge, parse_mapping, read_recipe
from mr_assets.templates import Template, judge_template, meta_judge_template

NOT_THINKING = {"enable_thinking": False}
LICENCES = re.compile(r"(licen[cs]e|copying|notice)([.-].*)?", re.IGNORECASE)
LEAST = {"responses": 64, "judgments": 48, "meta_judgments": 48}
"""Tokens below which an answer, a judgment or a comparison says nothing."""
PROMPT = 256
"""Tokens that a user's prompt may have, where no file is given."""
SMALL = 3e9
"""Weights below which the paper's rate of SFT, meant for eight billion, moves nothing."""
LORA = 16
DEPARTS = "; paper: null, all weights are trained"
"""Rank of adapters, where all weights do not fit, and what is said of it."""
AT_A_TIME = 4
"""Of the longest completions: the least that an engine's cache on a CPU should hold."""
READ = 1000
"""Prompts of a file whose length is looked at."""


@dataclass(frozen=True)
class ModelFacts:
    """What a model folder holds.

    named: as the recipe names it; shape: None if it is none that memory can be computed of; context: tokens that it
    reads at most; judge, meta_judge: tokens of the two prompts with nothing in them; end: the token that ends its turn;
    kwargs: what its chat template needs; licence: the file, None if there is none; revision: of a hub's model.
    """

    folder: Path
    named: str
    shape: Shape | None
    dtype: str
    context: int | None
    tokens: int
    judge: int
    meta_judge: int
    end: str
    ends_text: bool
    kwargs: dict[str, Any]
    licence: str | None
    encode: ChatEncoder = field(repr=False)
    revision: str | None = None


@dataclass(frozen=True)
class Inputs:
    """What a person brings: prompts and EFT data, as the recipe names them; None if there are none.

    prompts: how many there are; longest: tokens of a long one (95% have at most so many).
    """

    source: str | None = None
    column: str = "prompt"
    prompts: int = 0
    longest: int = PROMPT
    eft: str | None = None


@dataclass(frozen=True)
class Machine:
    """Where it is to run: GPUs, or without one the CPU of this machine with its cores and free memory, bytes."""

    gpu: Card | None = None
    count: int = 1
    free: float = 0.0

    @property
    def title(self) -> str:
        """In words."""
        return f"{self.count} x {self.gpu.title}" if self.gpu else "a CPU"


def inputs_of(facts: ModelFacts, source: str, column: str, eft: str | None) -> Inputs:
    """What a file or folder of prompts holds. Raises `UserError` for one that cannot be used, by its line."""
    texts = read_prompts(source, column, Path())
    tokens = sorted(len(facts.encode.prompt_ids(prompt)) for prompt in texts[:READ])
    longest = tokens[int(0.95 * (len(tokens) - 1))] if tokens else PROMPT
    return Inputs(source, column, len(texts), longest, eft)


# -------------------------------------------------------------------------------------------------------- the model


def model_facts(folder: Path, named: str | None = None, revision: str | None = None) -> ModelFacts:
    """Look at a model folder. Raises `UserError` with everything that keeps it from being used."""
    problems: list[str] = []
    try:
        check_model_folder(folder)
    except UserError as error:
        problems.append(str(error))
    try:
        encode, kwargs = _encoder(folder)
    except UserError as error:
        problems.append(str(error))
    if problems:
        said = dict.fromkeys(problems)
        raise UserError("\n  - ".join([f"{folder} cannot be used. Nothing was written.", *said]))
    tokenizer, empty = encode.tokenizer, _tokens_of(encode)
    return ModelFacts(
        folder,
        named or str(folder),
        shape_of_folder(folder),
        _dtype(folder),
        most_positions(folder),
        len(tokenizer),
        empty(judge_template()),
        empty(meta_judge_template()),
        str(tokenizer.convert_ids_to_tokens(encode.end_id)),
        encode.end_id == tokenizer.eos_token_id,
        kwargs,
        next((path.name for path in sorted(folder.iterdir()) if LICENCES.fullmatch(path.name)), None),
        encode,
        revision,
    )


def _encoder(folder: Path) -> tuple[ChatEncoder, dict[str, Any]]:
    """The encoder, and what its chat template needs for it: to be told not to think, if that helps."""

    def encoder(kwargs: dict[str, Any]) -> ChatEncoder:
        section = ModelSection(seed=str(folder), allow_hub=False, revision=None, chat_template_kwargs=kwargs)
        return seed_encoder(folder, section, judge_template(), meta_judge_template())

    try:
        return encoder({}), {}
    except UserError as error:
        with suppress(UserError):
            return encoder(NOT_THINKING), NOT_THINKING
        raise error


def _tokens_of(encode: ChatEncoder) -> Callable[[Template], int]:
    return lambda template: len(encode.template_ids(template, dict.fromkeys(template.fields, "")))


def _dtype(folder: Path) -> str:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    said = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    return said if said.isidentifier() else "another type"


# ---------------------------------------------------------------------------------------------------------- lengths


@dataclass(frozen=True)
class Context:
    """Tokens: of the engine's context, and at most of each kind of text."""

    context: int
    responses: int
    judgments: int
    meta_judgments: int


def context_of(facts: ModelFacts, longest: int, base: Recipe) -> Context:
    """How long texts may be in the model's context: as long as in the base recipe if they fit, else in proportion.

    The judge reads prompt and response, the meta-judge two judgments besides. Raises `UserError` if too little is left.
    """
    wanted = {name: getattr(base, name).max_tokens for name in LEAST}
    own, most = base.engine.max_model_len, facts.context or base.engine.max_model_len
    prompt = min(longest, most // 8)
    answers, judged, compared = _needs(wanted)
    needed = max(facts.judge + prompt + answers, facts.meta_judge + prompt + compared)
    if needed <= most:
        return Context(min(most, max(own, _rounded(needed))), *wanted.values())
    share = min(
        (most - facts.judge - prompt) / answers,
        (most - facts.meta_judge - prompt) / compared,
        (most - prompt) / judged,
    )
    cut = {name: int(tokens * share) for name, tokens in wanted.items()}
    if any(cut[name] < least for name, least in LEAST.items()):
        raise UserError(
            f"{facts.named}: its context of {most:,} tokens is too short. The judge prompt takes {facts.judge:,} with "
            f"nothing in it, the meta-judge prompt {facts.meta_judge:,}; of the prompt, a response, two judgments and "
            f"their comparison {compared + prompt:,} were wanted. Nothing was written. Take a model with a longer "
            "context, or write a recipe with shorter prompts by judgments.template and meta_judgments.template."
        )
    return Context(most, *cut.values())


def _needs(tokens: dict[str, int]) -> tuple[int, int, int]:
    """Tokens besides the templates: of a response and its judgment, of a response alone, of what is compared."""
    response, judgment, comparison = (tokens[name] for name in LEAST)
    return response + judgment, response, response + 2 * judgment + comparison


def _rounded(tokens: int) -> int:
    return -(-tokens // 256) * 256


# --------------------------------------------------------------------------------------------------------- the file

Line = tuple[str, Any, str]
"""A field, its value, and the reason beside it."""


def base_of(machine: Machine) -> str:
    """The recipe to extend."""
    return "llama_3_8b" if machine.gpu else "cpu"


def recipe_text(name: str, facts: ModelFacts, inputs: Inputs, machine: Machine, data: Path) -> tuple[str, Recipe]:
    """The file, and the recipe that it is. Raises `UserError` with what does not fit, as `mr plan` has it."""
    base = _base(machine)
    lengths = context_of(facts, inputs.longest, base)
    sections: dict[str, list[Line]] = {
        "model": list(_model(facts)),
        "prompts": list(_prompts(inputs, machine)),
        "eft": list(_eft(facts, inputs)),
        "sft": list(_sft(facts, lengths, base)) if inputs.eft else [],
        "responses": [*_samples(machine, "k", 4, 7), *_most_tokens("responses", lengths, base)],
        "judgments": [*_samples(machine, "n", 5, 11), *_most_tokens("judgments", lengths, base)],
        "meta_judgments": _most_tokens("meta_judgments", lengths, base),
        "dpo": list(_longest("dpo", lengths, base)),
        "engine": list(_engine(facts, lengths, machine, base)),
    }
    for section in ("sft", "dpo") if inputs.eft else ("dpo",):
        sections[section] += _training(section, sections, facts, machine, base)
    for _ in range(8):
        text = _text(name, facts, inputs, machine, sections)
        recipe = _as_recipe(text, machine, name)
        problems = list(_problems(recipe, facts, machine, data))
        changes = [change for problem in problems for change in problem.change]
        if not changes:
            break
        for change in changes:
            _put(sections, change)
    if problems:
        said = [problem.said for problem in problems]
        raise UserError("\n  - ".join([f"{facts.named} does not fit on {machine.title}. Nothing was written.", *said]))
    return text, recipe


def _base(machine: Machine) -> Recipe:
    rows = [{"prompts": 1, "rho": 0.0, "max_chosen_chars": None, "judge_training": True, "keep_epoch": 1}]
    row = {**rows[0], "max_chosen_judgment_chars": None}
    raw = read_recipe(FOLDER / f"{base_of(machine)}.yaml")
    raw |= {"title": "base", "description": "", "iterations": [row]}
    return validated({key: value for key, value in raw.items() if key not in OF_FILE}, base_of(machine))


def _as_recipe(text: str, machine: Machine, name: str) -> Recipe:
    raw = merge(read_recipe(FOLDER / f"{base_of(machine)}.yaml"), parse_mapping(text, name))
    return validated({key: value for key, value in raw.items() if key not in (*OF_FILE, "extends")}, f"recipe {name}")


def _problems(recipe: Recipe, facts: ModelFacts, machine: Machine, data: Path) -> Iterator[Problem]:
    if machine.gpu and facts.shape:
        yield from gpu_problems(recipe, facts.shape, data, machine.gpu.memory, machine.count)
    elif not machine.gpu:
        yield from cpu_problems(recipe, facts.shape, data, machine.free)


def _put(sections: dict[str, list[Line]], change: str) -> None:
    """A change as --set takes it, in place of what the section says of the field."""
    path, _, value = change.partition("=")
    section, name = path.split(".")
    sections[section] = [line for line in sections[section] if line[0] != name]
    departs = DEPARTS if name == "lora_r" else ""
    sections[section].append(
        (name, parse_mapping(f"v: {value}", change)["v"], f"ours{departs}: so that it fits (mr plan)")
    )


def _model(facts: ModelFacts) -> Iterator[Line]:
    yield "seed", facts.named, "yours"
    if facts.revision:
        yield "allow_hub", True, "you allowed it: downloaded from the hub"
        yield "revision", facts.revision, "the commit that was looked at"
    if facts.kwargs:
        yield "chat_template_kwargs", facts.kwargs, "its template reasons before it answers unless it is told not to"


def _prompts(inputs: Inputs, machine: Machine) -> Iterator[Line]:
    if inputs.source is None:
        counts = _counts(inputs, machine)
        yield (
            "source",
            GENERATED,
            "by the seed model from examples; name a file of yours in its place if you have one",
        )
        yield "count", sum(counts), f"ours: {' + '.join(map(str, counts))}; the paper had 20,000 (3.1)"
        return
    yield "source", inputs.source, f"yours: {inputs.prompts:,} prompts"
    if inputs.column != "prompt":
        yield "column", inputs.column, "yours"


def _eft(facts: ModelFacts, inputs: Inputs) -> Iterator[Line]:
    if inputs.eft is None:
        return
    yield "source", inputs.eft, "yours: teaches M0 to judge (3.1)"
    if inputs.eft.startswith(OPEN_ASSISTANT) and facts.shape and facts.shape.weights < SMALL:
        yield (
            "judged_by",
            "ranks",
            "ours; paper: the seed model's own judgments, and a small model has none: see mr pilot",
        )
        yield "meta_judgment_share", 0.25, "ours: teaches the form of a comparison, too; paper: 0"
        yield "instruction_share", 0.25, "ours: else a small model answers questions with judgments; paper: 0"


def _sft(facts: ModelFacts, lengths: Context, base: Recipe) -> Iterator[Line]:
    if facts.shape and facts.shape.weights < SMALL:
        yield (
            "learning_rate",
            2.0e-5,
            "ours; paper: 5.0e-8 for 8 billion weights (A.3), at which a small model stays as it is",
        )
    yield from _longest("sft", lengths, base)


def _longest(name: str, lengths: Context, base: Recipe) -> Iterator[Line]:
    """Of a training: on a CPU rows are as long as the context, elsewhere no longer than in the base recipe."""
    own = getattr(base, name).max_length
    longest = lengths.context if own == base.engine.max_model_len else min(own, lengths.context)
    if longest != own:
        yield "max_length", longest, "ours: tokens, as the engine's context"


def _samples(machine: Machine, name: str, ours: int, paper: int) -> list[Line]:
    return [] if machine.gpu else [(name, ours, f"ours: a CPU's time; paper: {paper} (3.1)")]


def _most_tokens(name: str, lengths: Context, base: Recipe) -> list[Line]:
    tokens = getattr(lengths, name)
    if tokens == getattr(base, name).max_tokens:
        return []
    return [("max_tokens", tokens, "ours: tokens, as many as the model's context leaves room for")]


def _engine(facts: ModelFacts, lengths: Context, machine: Machine, base: Recipe) -> Iterator[Line]:
    of = f"the model reads {facts.context:,} at most" if facts.context else "the model does not say how many it reads"
    yield "max_model_len", lengths.context, f"ours: tokens of prompt and completion together; {of}"
    if facts.dtype != "bfloat16":
        yield "dtype", "bfloat16", f"ours: the weights are stored as {facts.dtype}"
    if machine.gpu:
        if machine.count > 1:
            yield "replicas", machine.count, "ours: an engine per GPU"
        return
    if facts.shape:
        least = AT_A_TIME * lengths.context * cache_bytes(facts.shape, base.engine) / 2**30
        if least > base.engine.cpu_kv_cache_gib:
            yield (
                "cpu_kv_cache_gib",
                -(-least // 0.5) * 0.5,
                f"ours: GiB; {AT_A_TIME} of the longest completions at a time",
            )


def _training(
    name: str, sections: dict[str, list[Line]], facts: ModelFacts, machine: Machine, base: Recipe
) -> list[Line]:
    """On GPUs: how many processes, what is shared out, and the largest micro-batch that fits, up to the base recipe's.

    A larger one would gain little, and the logits of a large vocabulary are not in the plan's arithmetic.
    """
    if machine.gpu is None or facts.shape is None:
        return []
    own = getattr(base, name)
    section = own.model_copy(update={key: value for key, value, _ in sections[name] if key == "max_length"})
    processes = max(p for p in (1, 2, 4, 8, 16, 32) if p <= machine.count)
    for said, why in _ways(processes):
        micro = section.micro_batch_size
        while micro:
            said["micro_batch_size"] = micro
            need = training_memory(
                facts.shape, section.model_copy(update=said), sharded="accelerate_config" in said
            ).needed
            if section.batch_size % (micro * processes) == 0 and need <= machine.gpu.memory * 1e9:
                of = f"{need / 1e9:.0f} GB of {machine.gpu.memory:.0f} with rows of {section.max_length:,} tokens"
                changed = {key: value for key, value in said.items() if getattr(section, key) != value}
                return [(key, value, f"ours{why.get(key, '')}: {of} (mr plan)") for key, value in changed.items()]
            micro //= 2
    return []  # what there is to say of it, `mr plan` says


def _ways(processes: int) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Settings of a training on so many GPUs, the nearest to the paper first; what its reason adds, by field."""
    yield {"num_processes": processes}, {}
    if processes > 1:
        # bitsandbytes does not share its optimizer out
        yield {"num_processes": processes, "optimizer": "adamw_torch", "accelerate_config": "fsdp"}, {}
    yield {"num_processes": processes, "lora_r": LORA}, {"lora_r": DEPARTS}


def _counts(inputs: Inputs, machine: Machine) -> list[int]:
    """Prompts of each iteration, four on GPUs and two on a CPU: of a file as many as it has for each, up to a bound."""
    iterations, most = (4, 5000) if machine.gpu else (2, 100)
    if inputs.source is None:
        return [most] * iterations
    if inputs.prompts < iterations:
        raise UserError(
            f"prompts: {inputs.prompts} in {inputs.source}, and {iterations} iterations need one each at the least. "
            "Nothing was written. Bring more prompts: the paper had 5,000 per iteration."
        )
    return [min(most, inputs.prompts // iterations)] * iterations


PAPER_ROWS = (  # 3.1, A.3: rho, most characters of a chosen response, judge pairs, of a chosen judgment, epoch kept
    (0.0, 2500, True, 1100, 6),
    (0.32, None, True, 1000, 4),
    (0.32, None, False, None, 2),
    (0.4, None, False, None, 2),
)


def _rows(inputs: Inputs, machine: Machine) -> Iterator[str]:
    names = ("prompts", "rho", "max_chosen_chars", "judge_training", "max_chosen_judgment_chars", "keep_epoch")
    for count, row in zip(_counts(inputs, machine), PAPER_ROWS, strict=False):
        said = ", ".join(f"{name}: {_value(value)}" for name, value in zip(names, (count, *row), strict=True))
        yield f"  - {{{said}}}"


def _text(name: str, facts: ModelFacts, inputs: Inputs, machine: Machine, sections: dict[str, list[Line]]) -> str:
    """The file, section by section, each field with its reason beside it."""
    model = json.dumps(facts.named.rstrip("/").rpartition("/")[2])[1:-1]  # on one line, whatever it is called
    lines = [
        f"# Meta-Rewarding on {model}, for {machine.title}. Written by: mr new {name}",
        '# "paper" marks the numbers of Wu et al. 2024, "ours" the others. What is not here is as in the recipe which',
        f"# this one extends ({base_of(machine)}). --set changes any field for one run: --set dpo.beta=0.2, say.",
        f"extends: {base_of(machine)}",
        f"title: {_value(f'Meta-Rewarding, {model}')}",
        f"description: {_value(f'{len(_counts(inputs, machine))} iterations on {machine.title}.')}",
        f"family: {name}   # namespace of seed prompts, EFT data and M0",
    ]
    for section, said in sections.items():
        if section == "sft" and not inputs.eft:
            why = "ours; paper: SFT on judged examples (3.1). Without them M0 is the model itself: see mr pilot"
            lines += ["", f"sft: null   # {why}"]
        elif said:
            lines += ["", f"{section}:", *(f"  {key}: {_value(value)}   # {why}" for key, value, why in said)]
    per = "paper: 5,000 (3.1)"
    lines += ["", f"iterations:   # prompts: as many as there are, {per}; the other numbers are the paper's (A.3)"]
    return "\n".join([*lines, *_rows(inputs, machine), ""])


def _value(value: Any) -> str:
    """A value as YAML 1.2 has it, which JSON is."""
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
