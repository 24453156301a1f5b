"""Recipes: every number of a run, one row per iteration, validated before anything is launched.

A recipe is a YAML file in ``recipes/`` (or anywhere), readable without this module:

    extends: llama_3_8b
    dpo: {beta: 0.1}
    iterations:
      - {prompts: 5000, rho: 0.0, max_chosen_chars: 2500, judge_training: true, ..., keep_epoch: 6}
      - {prompts: 5000, rho: 0.32, max_chosen_chars: null, judge_training: true, ..., keep_epoch: 4}

``extends`` merges mappings key by key, anything else (``iterations`` too) is replaced as a whole. A base that is no
run of its own says ``abstract: true``. Scalars are read as in YAML 1.2: ``5e-6`` is a number, ``no`` is a string.

    load_recipe("small_world_meta_rewarding", ["beta=0.2", "iterations.all.prompts=20", "iterations.4.rho=0"])

**Names** of recipes, runs and families are lower-case words joined by underscores (`check_run_name`). Dagster 1.13.27
takes anything in an asset key but refuses a hyphen in a group name, builds op names in which ``a-b`` and ``a_b`` are
the same, and cannot parse a hyphen in an unquoted asset selection; so one spelling serves key, group and folder.

**Families.** Runs whose seed prompts, EFT data and M_0 are the same share them under `Recipe.family_name`. A base
recipe named like the family fixes the plain name; changing anything that shapes those three artifacts (another
``seed``, another SFT) adds a hash of the settings: ``small_world`` becomes ``small_world_5f0c1e``.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal, NamedTuple, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mr_assets.errors import UserError

FOLDER = Path(__file__).parent / "recipes"
MAX_NAME = 60

# --------------------------------------------------------------------------------------------------------- sections


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$", max_length=MAX_NAME)]
Text = Annotated[str, Field(min_length=1)]


class Model(_Section):
    """The seed model, an instruction-tuned language model with a chat template (section 3.1)."""

    source: Text = Field(
        description="the seed model: a local folder (absolute, or relative to the data folder), or a hub name"
    )
    allow_hub: bool = Field(description="whether a name that is no local folder may be downloaded from the hub")
    revision: str | None = Field(description="commit, tag or branch of a hub model; null is the hub's default")


class World(_Section):
    """A world whose truth can be computed; its share of judging errors shapes the EFT data."""

    name: Literal["letters"] = Field(description="the world: letters, see mr_assets/worlds/letters.py")
    judge_noise: Share = Field(description="share of EFT judgments whose score is drawn at random")
    verbosity_bias: Share = Field(
        description="share of the other EFT judgments that score padding (a true 4) as 5 and concision (a true 5) as 3"
    )


class Prompts(_Section):
    """Where the seed prompts come from (section 3.1: 20,000 made by Llama-2-70B-Chat with an 8-shot prompt)."""

    source: Text = Field(
        description="world, or a .jsonl, .parquet, .csv or .txt file (absolute, or relative to the data folder)"
    )
    column: Text = Field(description="the file's column that holds the prompt; a .txt file has one prompt per line")
    count: Count = Field(description="how many seed prompts are used; a file with fewer different ones is an error")


class EFT(_Section):
    """Evaluation fine-tuning data: judgments made from human rankings (section 3.1)."""

    source: Text = Field(
        description="world, or a .jsonl or .parquet file with prompt and completion, or with messages "
        "(absolute, or relative to the data folder)"
    )
    examples: Count | None = Field(description="how many examples are used; null is all of a file's")


class _Training(_Section):
    learning_rate: Rate = Field(description="peak learning rate")
    lr_scheduler: Literal["cosine", "linear", "constant"] = Field(
        description="learning-rate schedule over schedule_epochs (A.3: cosine)"
    )
    batch_size: Count = Field(description="examples per optimizer step over all devices (A.3: 32)")
    micro_batch_size: Count = Field(description="examples per device and forward pass; divides batch_size; memory only")
    schedule_epochs: Count = Field(description="epochs that the schedule spans (A.3: 10)")
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="share of the steps with a rising learning rate (paper: silent; method row 19: 0)"
    )
    max_length: Count = Field(
        description="tokens of prompt and completion together; what is longer is counted and left out, never cut"
    )
    optimizer: Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit"] = Field(
        description="optimizer; its state starts fresh in every training (method row 19)"
    )
    precision: Literal["fp32", "tf32", "bf16"] = Field(
        description="precision of the forward and backward passes; the weights themselves stay fp32"
    )
    gradient_checkpointing: bool = Field(description="recompute activations: less memory, about a third slower")
    save_steps: Count | None = Field(
        description="optimizer steps between the checkpoints to resume from; null is at the end of each epoch"
    )


class SFT(_Training):
    """Supervised fine-tuning of the seed model on the EFT data, which gives M_0 (sections 3.1, A.3)."""

    keep_epoch: Count = Field(description="the epoch whose checkpoint becomes M_0 (A.3: 5)")


class DPO(_Training):
    """Direct preference optimization from M_{t-1}, which is also the reference (sections 2, A.3; method row 19)."""

    beta: Annotated[float, Field(gt=0)] = Field(description="DPO's beta, no unit (A.3: 0.1)")
    keep_all_epochs: bool = Field(
        description="train the whole schedule and keep every epoch, so that another than keep_epoch can be tried "
        "(method row 22)"
    )


class _Sampling(_Section):
    temperature: Annotated[float, Field(ge=0, le=5)] = Field(description="sampling temperature (section 3.1: 0.8)")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(description="nucleus sampling mass (section 3.1: 0.95)")
    max_tokens: Count = Field(description="tokens after which a completion is cut off (paper: silent)")


class Responses(_Sampling):
    """The actor's samples (sections 2.1, 3.1)."""

    k: Annotated[int, Field(ge=2)] = Field(description="K, response variations per prompt (section 3.1: 7)")


class Judgments(_Sampling):
    """The judge's samples (sections 2.1, 3.1, A.1)."""

    n: Count = Field(description="N, judgments per response (section 3.1: 11)")
    template: Text | None = Field(description="a file in place of the judge prompt; null is the paper's (A.1)")


class MetaJudgments(_Sampling):
    """The meta-judge's samples: every pair of judgments in both orders (section 2.2, Figure 2)."""

    template: Text | None = Field(
        description="a file in place of the meta-judge prompt; null is the paper's (Figure 2)"
    )
    sample_distinct_once: bool = Field(
        description="sample each distinct ordered pair of texts once and copy its verdict (method row 17; paper: no)"
    )


class Method(_Section):
    """Decisions that the paper leaves open; the rows are those of the method's table."""

    prompts_disjoint: bool = Field(description="row 1: no prompt serves two iterations")
    equal_scores: Literal["length", "draw"] = Field(
        description="row 10: between responses of exactly the same best (or worst) score, length takes the shortest "
        "(longest) and then draws, draw draws at once"
    )
    cut_off: Literal["never_chosen", "like_any"] = Field(
        description="row 14: whether a completion cut off at max_tokens may be the chosen one of a pair"
    )
    omega_scope: Literal["iteration", "response"] = Field(
        description="row 2: over what the wins are counted that weigh first and second position (section 2.2)"
    )
    elo_ridge: Annotated[float, Field(gt=0)] = Field(
        description="row 3: lambda of the penalty (lambda/2) sum e^2 that keeps every Elo finite, natural units"
    )
    elo_tie_tolerance: Annotated[float, Field(ge=0)] = Field(
        description="row 16: Elo scores nearer than this are a tie, natural units"
    )
    equal_score_judge_pairs: Literal["keep", "drop"] = Field(
        description="row 18: what becomes of a judge pair whose two judgments give the same score"
    )
    judge_share_cap: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        description="row 20: largest share of judge pairs in a DPO dataset; null is all pairs"
    )


class Iteration(_Section):
    """One row: what iteration t does (A.3)."""

    prompts: Count = Field(description="prompts of this iteration (section 3.1: 5,000)")
    rho: Share = Field(
        description="length control, width of the quality tiers; 0 is the score alone (section 2.1, A.3)"
    )
    max_chosen_chars: Count | None = Field(
        description="actor pairs with a longer chosen response are dropped, characters (A.3); null is no limit"
    )
    judge_training: bool = Field(description="whether judge pairs are made and trained on (section 3.1: t = 1, 2)")
    max_chosen_judgment_chars: Count | None = Field(
        description="judge pairs with a longer chosen judgment are dropped, characters (section 2.2, A.3); null: no limit"
    )
    keep_epoch: Count = Field(description="the epoch whose checkpoint becomes M_t (A.3)")
    learning_rate: Rate | None = Field(default=None, description="in place of dpo.learning_rate; null is that one")


class Engine(_Section):
    """How vLLM samples. None of it but dtype and max_model_len changes what is sampled."""

    max_model_len: Count = Field(description="context, tokens of a prompt and its completion together")
    max_num_seqs: Count = Field(description="sequences sampled at the same time")
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(description="weights and activations in sampling")
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = Field(
        description="share of the GPU's memory, CUDA only"
    )
    cpu_kv_cache_gib: Annotated[float, Field(gt=0)] = Field(description="key-value cache in GiB, CPU only")
    enforce_eager: bool = Field(description="no compilation: starts faster, samples slower")
    tensor_parallel_size: Count = Field(description="GPUs that share one model")
    shard_size: Count = Field(description="requests per committed shard: what a killed run may have to do again")
    extra: dict[str, Any] = Field(
        default_factory=dict, description="further arguments of vLLM's engine, by their names"
    )


class Evaluation(_Section):
    """What each model is measured on: held-out prompts, never a training prompt (sections 3.2 to 3.4)."""

    source: Text = Field(
        description="world (a separate stream of prompts with a checker), or a file as in prompts.source"
    )
    column: Text = Field(description="the file's column that holds the prompt")
    prompts: Count = Field(description="held-out prompts that each model answers")
    responses_per_prompt: Count = Field(description="responses of each model to each of them")
    judged_responses: Count = Field(description="responses that each model judges, the same ones for every model")
    judgments: Count = Field(description="judgments averaged per judged response (section 3.4: 11)")
    battles: Count = Field(description="pairs of judgments that each model's meta-judge compares, in both orders")


# ------------------------------------------------------------------------------------------------------- the recipe


class Family(_Section):
    """What shapes seed_prompts, eft_dataset and sft_checkpoint: recipes that agree in all of it share the three."""

    family: Name = Field(description="namespace of seed_prompts, eft_dataset and sft_checkpoint; words and underscores")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(description="root of every random draw of a run")
    model: Model = Field(description="the seed model")
    world: World | None = Field(description="the verifiable world; null for real data")
    prompts: Prompts = Field(description="the seed prompts")
    eft: EFT | None = Field(description="the evaluation fine-tuning data; null if there is no SFT")
    sft: SFT | None = Field(description="SFT on the EFT data; null takes the seed model itself as M_0")


class Recipe(Family):
    """A validated recipe. Made by `load_recipe` and `from_yaml`, which alone check the fields against each other."""

    title: Text = Field(description="one line: what a run of this recipe is")
    description: str = Field(description="what to expect of it, and how it departs from the paper")
    responses: Responses = Field(description="sampling of responses")
    judgments: Judgments = Field(description="sampling of judgments")
    meta_judgments: MetaJudgments | None = Field(description="sampling of meta-judgments; null without judge training")
    method: Method = Field(description="decisions that the paper leaves open")
    dpo: DPO = Field(description="DPO training")
    iterations: Annotated[tuple[Iteration, ...], Field(min_length=1, strict=False)] = Field(
        description="one row per iteration, t = 1 first"
    )
    engine: Engine = Field(description="the sampling engine")
    evaluation: Evaluation | None = Field(description="held-out evaluation; null is none")

    @classmethod
    def from_yaml(cls, text: str, origin: str = "recipe") -> "Recipe":
        """The recipe that `dump_yaml` wrote. Raises `UserError` naming `origin` and every problem."""
        return _validated(_parse_yaml(text, origin), origin)

    def dump_yaml(self) -> str:
        """The whole recipe as YAML, one line per iteration: what is stored with a run that was launched."""
        data = self.model_dump()
        data = {name: data[name] for name in ("title", "description", *data)}
        data["iterations"] = [_Flow(row) for row in data["iterations"]]
        return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=200)

    def row(self, t: int) -> Iteration:
        """The row of iteration `t`, counted from 1."""
        if not 1 <= t <= len(self.iterations):
            raise UserError(f"iteration {t}: the recipe has iterations 1 to {len(self.iterations)}.")
        return self.iterations[t - 1]

    def learning_rate(self, t: int) -> float:
        """The DPO learning rate of iteration `t`: the row's own, else that of the dpo section."""
        return self.row(t).learning_rate or self.dpo.learning_rate

    def with_iterations(self, count: int) -> "Recipe":
        """The recipe with `count` iterations: the last row is repeated, or rows are left out at the end.

        Raises `UserError` if the seed prompts do not suffice.
        """
        if count < 1:
            raise UserError(f"iterations = {count}: expected 1 or more.")
        rows = [*self.iterations, *[self.iterations[-1]] * (count - len(self.iterations))][:count]
        return _validated({**self.model_dump(), "iterations": [r.model_dump() for r in rows]}, "recipe")

    @cached_property
    def family_name(self) -> str:
        """Namespace of the three shared artifacts: the family, with a hash if it departs from the family's base.

        The base is the shipped recipe of the family's name as it is today, so store the name with a launched run.
        """
        base = FOLDER / f"{self.family}.yaml"
        settings = family_settings(self)
        if base.exists() and settings == _base_settings(base):
            return self.family
        packed = json.dumps(settings, sort_keys=True).encode()
        return f"{self.family}_{blake2b(packed, digest_size=3).hexdigest()}"

    @property
    def warnings(self) -> list[str]:
        """What is allowed and yet worth knowing before a launch, one sentence each."""
        return list(_warnings(self))


def family_settings(recipe: Recipe) -> dict[str, Any]:
    """What shapes seed_prompts, eft_dataset and sft_checkpoint, as plain data.

    The judge template belongs to it: the world's EFT examples are written with it.
    """
    settings = recipe.model_dump(include=set(Family.model_fields))
    return {**settings, "judge_template": recipe.judgments.template}


def _base_settings(path: Path) -> dict[str, Any]:
    raw, _ = _read(path)
    base = Family.model_validate({name: raw.get(name) for name in Family.model_fields})
    return {**base.model_dump(), "judge_template": raw["judgments"]["template"]}


# ---------------------------------------------------------------------------------------------------- finding, names


def check_run_name(name: str) -> str:
    """`name`, if it can name a run: it becomes an asset key prefix, a group and a folder. Raises `UserError`."""
    if re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name) and len(name) <= MAX_NAME:
        return name
    hint = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:MAX_NAME].strip("_")
    raise UserError(
        f"run name {name!r}: expected lower-case letters and digits in words joined by single underscores, at most "
        f"{MAX_NAME} characters, as it becomes an asset key, a group and a folder." + (f" Try {hint}." if hint else "")
    )


def default_run_name(name_or_path: str | Path) -> str:
    """The name of a run that is not given one: the recipe's file name."""
    return check_run_name(Path(name_or_path).name.removesuffix(".yaml").removesuffix(".yml"))


def list_recipes() -> list[str]:
    """Names of the shipped recipes that can be run, in alphabetical order."""
    return [path.stem for path in sorted(FOLDER.glob("*.yaml")) if not _read(path)[1]]


def load_recipe(name_or_path: str | Path, sets: Sequence[str] = ()) -> Recipe:
    """The validated recipe of that name (shipped) or file, with each ``key=value`` of `sets` applied in turn.

    A key is a full path (``dpo.beta``, ``iterations.2.rho``, ``iterations.all.prompts``) or the name of a field that
    occurs once (``beta``). Raises `UserError` with every problem found.
    """
    path = _find(str(name_or_path), Path())
    raw, abstract = _read(path)
    if abstract:
        raise UserError(
            f"recipe {path.stem} is a base for others and no run of its own. Run one of: {', '.join(list_recipes())}."
        )
    for text in sets:
        _apply_set(raw, text)
    return _validated(raw, f"recipe {path.stem}")


def _find(name: str, folder: Path) -> Path:
    if "/" in name or name.endswith((".yaml", ".yml")):
        return folder / name
    path = FOLDER / f"{name}.yaml"
    if path.exists():
        return path
    known = [p.stem for p in sorted(FOLDER.glob("*.yaml"))]
    runnable = list_recipes()
    raise UserError(
        f"recipe {name!r} is not known.{_did_you_mean(name, known)} Recipes: {', '.join(runnable)}; "
        "or the path of a .yaml file."
    )


def _read(path: Path, seen: tuple[Path, ...] = ()) -> tuple[dict[str, Any], bool]:
    """A recipe file merged into what it extends, and whether it is abstract."""
    if path.resolve() in seen:
        chain = " extends ".join(p.stem for p in (*seen, path))
        raise UserError(f"recipe {path}: extends itself ({chain}). Take one extends out.")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"recipe {path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    except OSError as error:
        raise UserError(f"recipe {path} cannot be read: {error.strerror}. Name a readable .yaml file.") from error
    raw = _parse_yaml(text, f"recipe {path}")
    base, abstract = raw.pop("extends", None), raw.pop("abstract", False)
    if not isinstance(abstract, bool):
        raise UserError(f"recipe {path}: abstract = {_shown(abstract)}: expected true or false.")
    if base is None:
        return raw, abstract
    if not isinstance(base, str):
        raise UserError(f"recipe {path}: extends = {_shown(base)}: expected a recipe's name or path.")
    return _merge(_read(_find(base, path.parent), (*seen, path.resolve()))[0], raw), abstract


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`: mappings key by key, anything else replaced."""
    both = {k: _merge(base[k], v) for k, v in over.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return {**base, **over, **both}


# -------------------------------------------------------------------------------------------------------------- YAML


class _Flow(dict[str, Any]):
    """A mapping that is written on one line."""


class _Loader(yaml.SafeLoader):
    """YAML with the scalars of version 1.2, which refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen if isinstance(key, yaml.ScalarNode) else False:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} occurs twice", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads."""


_SCALARS = {
    "tag:yaml.org,2002:null": (r"~|null|", "~n\0"),
    "tag:yaml.org,2002:bool": (r"true|false", "tf"),
    "tag:yaml.org,2002:int": (r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    "tag:yaml.org,2002:float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
        "-+.0123456789",
    ),
    "tag:yaml.org,2002:merge": (r"<<", "<"),
}
for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = {}
    for _tag, (_pattern, _first) in _SCALARS.items():
        _starts = ["" if c == "\0" else c for c in _first]
        _class.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _starts)
_Dumper.add_representer(_Flow, lambda d, data: d.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True))


def _parse_scalar(text: str, origin: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # _Loader is a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UserError(f"{origin}{where}: {problem}. Mend the YAML.") from error


def _parse_yaml(text: str, origin: str) -> dict[str, Any]:
    data = _parse_scalar(text, origin)
    if not isinstance(data, dict):
        raise UserError(f"{origin}: expected a mapping of sections, found {_shown(data)}.")
    return data


# ------------------------------------------------------------------------------------------------------------ --set


def _paths(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Every path of a recipe and whether it is a field (not a section); the row of an iteration is written ``T``."""
    for name, field in model.model_fields.items():
        inner = [a for a in (field.annotation, *get_args(field.annotation)) if isinstance(a, type)]
        section = next((a for a in inner if issubclass(a, _Section)), None)
        yield prefix + name, section is None
        if section is not None:
            yield from _paths(section, f"{prefix}{name}.T." if section is Iteration else f"{prefix}{name}.")


def _resolve(key: str, rows: int) -> list[str]:
    """The parts of the one path that a key of --set means. Raises `UserError` if there is none or more than one."""
    known = dict(_paths())
    parts = key.split(".")
    is_row = parts[0] == "iterations" and len(parts) > 1
    if is_row and (parts[1] != "all" and not (parts[1].isdecimal() and 1 <= int(parts[1]) <= rows)):
        raise UserError(f"--set {key}: iteration {parts[1]!r}: expected 1 to {rows}, or all.")
    general = ".".join(["iterations", "T", *parts[2:]] if is_row else parts)
    if general in known or key.startswith("engine.extra.") or (is_row and len(parts) == 2):
        return parts
    fields = [path for path, is_field in known.items() if is_field and path.rpartition(".")[2] == key]
    full = [
        p.replace(".T.", f".{t}.") for p in fields for t in (*range(1, rows + 1), "all") if t == "all" or ".T." in p
    ]
    if len(full) == 1:
        return full[0].split(".")
    if full:
        raise UserError(f"--set {key}: more than one field has this name. Say which: {', '.join(full)}.")
    spelt = [path.replace(".T.", f".{parts[1]}." if is_row else ".all.") for path in known]
    close = _did_you_mean(key, [*spelt, *(path.rpartition(".")[2] for path in known)])
    raise UserError(f"--set {key}: no such field.{close} Fields are named as in the recipe, for example dpo.beta.")


def _apply_set(raw: dict[str, Any], text: str) -> None:
    """Put one ``key=value`` into a raw recipe, in place."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UserError(f"--set {text}: expected key=value, for example dpo.beta=0.2.")
    new = _parse_scalar(value, f"--set {text}")
    rows = raw.get("iterations")
    rows = rows if isinstance(rows, list) else []
    first, *rest = _resolve(key, len(rows))
    if first != "iterations" or not rest:
        _put(raw, [first, *rest], new)
        return
    for row in rows if rest[0] == "all" else [rows[int(rest[0]) - 1]]:
        if len(rest) == 1:
            raise UserError(f"--set {text}: name a field of the row, for example iterations.{rest[0]}.rho=0.")
        if isinstance(row, dict):
            _put(row, rest[1:], new)


def _put(mapping: dict[str, Any], parts: list[str], value: Any) -> None:
    for part in parts[:-1]:
        inner = mapping.get(part)
        mapping[part] = inner = dict(inner) if isinstance(inner, dict) else {}
        mapping = inner
    old = mapping.get(parts[-1])
    mapping[parts[-1]] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value


# ------------------------------------------------------------------------------------------------------- validation


def _validated(raw: Mapping[str, Any], origin: str) -> Recipe:
    """The recipe, or one `UserError` with every problem: of single fields, and of fields against each other."""
    try:
        recipe = Recipe.model_validate(dict(raw))
    except ValidationError as error:
        problems = [_field_problem(details, raw) for details in error.errors(include_url=False)]
        problems += _contradictions(_loose(raw, [details["loc"] for details in error.errors()]))
    else:
        problems = _contradictions(recipe)
        if not problems:
            return recipe
    raise UserError("\n  - ".join([f"{origin}: {len(problems)} problem{'s'[: len(problems) > 1]}", *problems]))


def _field_problem(details: Any, raw: Mapping[str, Any]) -> str:
    """One pydantic error as ``path = value: reason (what the field means)``."""
    loc: tuple[int | str, ...] = details["loc"]
    path, section, field = _spelt(loc), *_field_at(loc)
    if details["type"] == "extra_forbidden":
        known = list(section.model_fields) if section else []
        return f"{path} = {_shown(details['input'])}: unknown key.{_did_you_mean(str(loc[-1]), known)}"
    meaning = f" ({field})" if field else ""
    if details["type"] == "missing":
        return f"{path}: missing{meaning}"
    reason = details["msg"].replace("Input should be", "should be").replace("String should", "should")
    if details["type"] in ("model_type", "dataclass_type"):
        reason = "should be a mapping of " + ", ".join(_section_fields(loc))
    return f"{path} = {_shown(details['input'])}: {reason}{meaning}"


def _spelt(loc: Sequence[int | str]) -> str:
    """A pydantic location as a path: rows are counted from 1."""
    return ".".join(str(part + 1) if isinstance(part, int) else str(part) for part in loc)


def _field_at(loc: Sequence[int | str]) -> tuple[type[BaseModel] | None, str | None]:
    """The section that a location lies in, and the description of the field there."""
    section: type[BaseModel] | None = Recipe
    description = None
    for depth, part in enumerate(loc):
        if isinstance(part, int):
            continue
        field = section.model_fields.get(part) if section else None
        description = field.description if field else None
        last = depth == len(loc) - 1
        if field and not last:
            section = _section_of(field.annotation)
    return section, description


def _section_of(annotation: Any) -> type[BaseModel] | None:
    inner = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type)]
    return next((a for a in inner if issubclass(a, _Section)), None)


def _section_fields(loc: Sequence[int | str]) -> list[str]:
    section: type[BaseModel] | None = Recipe
    for part in loc:
        if isinstance(part, str) and section:
            section = _section_of(section.model_fields[part].annotation)
    return list(section.model_fields) if section else []


def _loose(value: Any, bad: Sequence[tuple[int | str, ...]]) -> Any:
    """Raw data with attribute access and without the fields at the locations `bad`, so that the rest can be checked."""
    if () in bad:
        raise AttributeError
    if not isinstance(value, dict | list):
        return value
    items = value.items() if isinstance(value, dict) else enumerate(value)
    inner = {}
    for key, item in items:
        with suppress(AttributeError):
            inner[key] = _loose(item, [loc[1:] for loc in bad if loc[:1] == (key,)])
    if isinstance(value, dict):
        return SimpleNamespace(**{str(k): v for k, v in inner.items()})
    return [inner.get(i) for i in range(len(value))]


def _contradictions(recipe: Any) -> list[str]:
    """What is wrong between fields that are each fine. A check whose fields were already reported is left out."""
    found: list[str] = []
    for check in _CHECKS:
        checking = check(recipe)
        # TypeError, ZeroDivisionError: an unvalidated neighbour of a field that is reported already
        with suppress(AttributeError, TypeError):
            found.extend(checking)
    return found


def _rows(recipe: Any) -> Iterator[tuple[int, Any]]:
    return ((t, row) for t, row in enumerate(recipe.iterations, start=1) if row is not None)


def _check_epochs(recipe: Any) -> Iterator[str]:
    if recipe.sft and recipe.sft.keep_epoch > recipe.sft.schedule_epochs:
        yield (
            f"sft.keep_epoch = {recipe.sft.keep_epoch}: should not be after the last of the "
            f"{recipe.sft.schedule_epochs} epochs of sft.schedule_epochs"
        )


def _check_row_epochs(recipe: Any) -> Iterator[str]:
    for t, row in _rows(recipe):
        with suppress(AttributeError):
            if row.keep_epoch > recipe.dpo.schedule_epochs:
                yield (
                    f"iterations.{t}.keep_epoch = {row.keep_epoch}: should not be after the last of the "
                    f"{recipe.dpo.schedule_epochs} epochs of dpo.schedule_epochs"
                )


def _check_batches(name: str) -> Callable[[Any], Iterator[str]]:
    def check(recipe: Any) -> Iterator[str]:
        section = getattr(recipe, name)
        if section and section.batch_size % section.micro_batch_size:
            yield f"{name}.micro_batch_size = {section.micro_batch_size}: should divide {name}.batch_size = {section.batch_size}"

    return check


def _judge_rows(recipe: Any) -> list[int]:
    return [t for t, row in _rows(recipe) if getattr(row, "judge_training", False)]


def _check_judge_training(recipe: Any) -> Iterator[str]:
    rows = _judge_rows(recipe)
    where = f"judge training in iteration{'s'[: len(rows) > 1]} {', '.join(map(str, rows))}"
    if rows and recipe.meta_judgments is None:
        yield f"meta_judgments = null: {where} needs meta-judgments, or set judge_training: false there"


def _check_judgments(recipe: Any) -> Iterator[str]:
    if not _judge_rows(recipe):
        return
    if recipe.judgments.n < 2:
        yield f"judgments.n = {recipe.judgments.n}: judge training compares judgments of one response, so 2 or more"
    if recipe.judgments.temperature == 0:
        yield "judgments.temperature = 0: all judgments of a response would be the same, so judge training has no pairs"


def _check_responses(recipe: Any) -> Iterator[str]:
    if recipe.responses.temperature == 0:
        yield "responses.temperature = 0: all K responses to a prompt would be the same, so there are no pairs"


def _check_prompts(recipe: Any) -> Iterator[str]:
    counts = [row.prompts for _, row in _rows(recipe)]
    need, how = (sum(counts), "together") if recipe.method.prompts_disjoint else (max(counts), "at most")
    if need > recipe.prompts.count:
        yield (
            f"prompts.count = {recipe.prompts.count}: the iterations take {need} prompts {how}; raise it, lower "
            "iterations.all.prompts, or set method.prompts_disjoint to false"
        )


def _check_sources(recipe: Any) -> Iterator[str]:
    for name in ("prompts", "eft", "evaluation"):
        section = getattr(recipe, name, None)
        if recipe.world is None and getattr(section, "source", None) == "world":
            yield f"{name}.source = world: world is null; name a file, or describe the world"


def _check_eft(recipe: Any) -> Iterator[str]:
    if recipe.sft and recipe.eft is None:
        yield "eft = null: sft needs its data; name them, or set sft to null too"
    if recipe.eft and recipe.eft.source == "world" and recipe.eft.examples is None:
        yield "eft.examples = null: the world makes as many examples as it is asked for; give a number"


def _check_context(recipe: Any) -> Iterator[str]:
    for name in ("responses", "judgments", "meta_judgments"):
        with suppress(AttributeError):
            tokens = getattr(recipe, name).max_tokens
            if tokens >= recipe.engine.max_model_len:
                yield (
                    f"{name}.max_tokens = {tokens}: leaves no room for a prompt in "
                    f"engine.max_model_len = {recipe.engine.max_model_len}"
                )


_CHECKS: tuple[Callable[[Any], Iterator[str]], ...] = (
    _check_epochs,
    _check_row_epochs,
    _check_batches("sft"),
    _check_batches("dpo"),
    _check_judge_training,
    _check_judgments,
    _check_responses,
    _check_prompts,
    _check_sources,
    _check_eft,
    _check_context,
)


def _warnings(recipe: Recipe) -> Iterator[str]:
    for t, row in enumerate(recipe.iterations, start=1):
        if row.rho >= 0.5:
            yield f"iterations.{t}.rho = {row.rho}: from 0.5 on the tiers overlap; pairs that would turn round are left out"
        if row.max_chosen_judgment_chars and not row.judge_training:
            yield f"iterations.{t}.max_chosen_judgment_chars has no effect without judge_training"
    if recipe.meta_judgments and not any(row.judge_training for row in recipe.iterations):
        yield "meta_judgments has no effect: no iteration has judge_training"
    context, longest = recipe.engine.max_model_len, recipe.responses.max_tokens + recipe.judgments.max_tokens
    if longest >= context:
        yield (
            f"engine.max_model_len = {context}: a response of responses.max_tokens and its judgment take {longest} "
            "tokens without the judge prompt; such responses will be skipped and counted"
        )


# ------------------------------------------------------------------------------------------------------------ drift


class Difference(NamedTuple):
    """One field in which two recipes differ; what one of them lacks is None."""

    path: str
    old: Any
    new: Any


def differences(old: Recipe, new: Recipe) -> list[Difference]:
    """Every field in which `new` departs from `old`, in the recipe's order; rows are counted from 1."""
    return list(_differences(old.model_dump(), new.model_dump(), ()))


def _differences(old: Any, new: Any, path: tuple[int | str, ...]) -> Iterator[Difference]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from _differences(old.get(key), new.get(key), (*path, key))
    elif isinstance(old, tuple) and isinstance(new, tuple):
        for i in range(max(len(old), len(new))):
            yield from _differences(*(rows[i] if i < len(rows) else None for rows in (old, new)), (*path, i))
    elif old != new:
        yield Difference(_spelt(path), old, new)


# ---------------------------------------------------------------------------------------------------------- wording


def _shown(value: Any) -> str:
    """A value as a recipe would write it, at most 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = list(dict.fromkeys(difflib.get_close_matches(word, known, n=3, cutoff=0.6)))
    return f" Did you mean {' or '.join(close)}?" if close else ""
