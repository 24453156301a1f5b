"""Recipes: every number of a run, one row per iteration, validated before anything is launched.

A recipe is a YAML file in ``recipes/`` (or anywhere), readable without this module:

    extends: llama_3_8b
    dpo: {beta: 0.2}
    iterations:
      - {prompts: 5000, rho: 0.0, max_chosen_chars: 2500, judge_training: true, ..., keep_epoch: 6}
      - {prompts: 5000, rho: 0.32, max_chosen_chars: null, judge_training: true, ..., keep_epoch: 4}

``extends`` merges mappings key by key; anything else (``iterations`` too) is replaced as a whole. A base that is no
run of its own says ``abstract: true``. Single values are changed for one run:

    load_recipe("small_world_meta_rewarding", ["beta=0.2", "iterations.all.prompts=20", "iterations.4.rho=0"])

**Names** of recipes, runs and families are lower-case words joined by single underscores (`check_run_name`). Dagster
1.13.27 takes anything in an asset key, but refuses a hyphen in a group name, makes one op name of ``a-b`` and ``a_b``,
and cannot parse a hyphen in an unquoted asset selection; so one spelling serves key, group and folder.

**Families.** Runs whose seed prompts, EFT data and M_0 are the same share them under `Recipe.family_name`. The base
recipe named like the family defines the plain name; a run that changes anything that shapes those three artifacts
(another ``seed``, another SFT) gets a hash of its settings too: ``small_world`` becomes ``small_world_5f0c1e``.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from mr_assets.chat_template import DATE, OURS
from mr_assets.errors import UserError, did_you_mean, shown
from mr_assets.recipes.checks import contradictions, partial, warnings
from mr_assets.recipes.yaml_files import (
    FOLDER,
    Flow,
    dump_mapping,
    find_recipe,
    merge,
    parse_mapping,
    parse_value,
    read_recipe,
    shipped,
)
from mr_assets.sampling.engine_arguments import refused
from mr_assets.text_files import path_fault

MAX_NAME = 60
MAX_ITERATIONS = 1000
LONGEST_KEY = 200
MOST_PROBLEMS = 50  # that one message lists
NAME = r"^[a-z0-9]+(_[a-z0-9]+)*$"
RESERVED = ("seeds", "prompts", "eft")  # folders of what ships, or is put, beside the runs

# -------------------------------------------------------------------------------------------------------- sections


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _day(text: str) -> str:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError("should be a date, written like 2024-07-28")
    date.fromisoformat(text)
    return text


def _variable(name: str) -> str:
    if not name.isidentifier() or name in OURS:
        raise ValueError(f"should be a variable of the chat template, and none of {', '.join(OURS)}")
    return name


def _possible(path: str) -> str:
    if fault := path_fault(path):
        raise ValueError(fault)
    return path


Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]
Day = Annotated[str, AfterValidator(_day)]
Variable = Annotated[str, AfterValidator(_variable)]
File = Annotated[str, Field(min_length=1), AfterValidator(_possible)]  # absolute, or relative to the data folder


class ModelSection(_Section):
    """The seed model: an instruction-tuned language model with a chat template (section 3.1)."""

    seed: File = Field(description="the seed model: a local folder (absolute or under the data folder), or a hub name")
    allow_hub: bool = Field(description="whether a seed that is no local folder may be downloaded from the hub")
    revision: Text | None = Field(description="commit, tag or branch of a hub model; null is the hub's default")
    date: Day = Field(
        default=DATE,
        description="what a chat template that asks for today's date is told, in every prompt: year-month-day",
    )
    chat_template_kwargs: dict[Variable, JsonValue] = Field(
        default_factory=dict,
        description="further variables of the chat template, by its names; for example enable_thinking: false",
    )

    def rendering(self) -> dict[str, Any]:
        """The keyword arguments of `ChatEncoder`: those of the fields that shape a prompt which are not the default."""
        return self.model_dump(include={"date", "chat_template_kwargs"}, exclude_defaults=True)


class World(_Section):
    """A world whose truth can be computed; the judging errors in its EFT data."""

    name: Literal["letters"] = Field(description="the world; letters is mr_assets/worlds/letters.py")
    judge_noise: Share = Field(description="share of EFT judgments whose score is drawn at random")
    verbosity_bias: Share = Field(
        description="share of the other EFT judgments that go by length: padding lifts a score, brevity lowers it"
    )


class Prompts(_Section):
    """The seed prompts (section 3.1: 20,000, made by Llama-2-70B-Chat with an 8-shot prompt)."""

    source: File = Field(
        description="world, or a .jsonl, .csv or .txt file, plain or .gz, or .parquet "
        "(absolute or under the data folder)"
    )
    column: Text = Field(description="the file's column that holds the prompt; a .txt file has one prompt per line")
    count: Count | None = Field(
        description="seed prompts in use: as many as the world makes, or the first of a file; null is all of the file's"
    )
    disjoint: bool = Field(description="whether no prompt serves two iterations (section 3.1: sampled)")


class EFT(_Section):
    """Evaluation fine-tuning data: judgments made from human rankings (section 3.1)."""

    source: File = Field(
        description="world, or a .jsonl file, plain or .gz, or .parquet, with prompt and completion, or with messages "
        "(absolute or under the data folder)"
    )
    examples: Count | None = Field(
        description="examples in use: as many as the world makes, or the first of a file; null is all of the file's"
    )


class _Training(_Section):
    learning_rate: Rate = Field(description="peak learning rate")
    lr_scheduler: Literal["cosine", "linear", "constant"] = Field(
        description="learning-rate schedule, over schedule_epochs (A.3: cosine)"
    )
    batch_size: Count = Field(description="examples (pairs in DPO) per optimizer step over all devices (A.3: 32)")
    micro_batch_size: Count = Field(description="examples per device and forward pass: memory and speed only")
    schedule_epochs: Count = Field(description="epochs that the schedule spans (A.3: 10)")
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="share of the steps with a rising learning rate (paper: silent)"
    )
    max_length: Count = Field(
        description="tokens of prompt and completion together; what is longer is counted and left out, never cut"
    )
    optimizer: Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit"] = Field(
        description="optimizer; its state is fresh in every iteration (paper: silent)"
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(default=0.0, description="weight decay (paper: silent)")
    max_grad_norm: Positive = Field(default=1.0, description="norm that gradients are clipped to (paper: silent)")
    precision: Literal["fp32", "tf32", "bf16"] = Field(
        description="precision of the forward and backward passes; the weights themselves stay fp32"
    )
    gradient_checkpointing: bool = Field(description="recompute activations: less memory, slower")
    save_steps: Count | None = Field(
        description="optimizer steps between checkpoints to resume from, besides the end of each epoch; null is none"
    )
    num_processes: Count = Field(default=1, description="training processes, one per GPU")
    accelerate_config: File | None = Field(
        default=None, description="accelerate's YAML for FSDP or DeepSpeed; null is plain data parallelism"
    )
    cpu_threads: Count | None = Field(default=None, description="threads on a CPU; null is torch's choice")


class SFT(_Training):
    """Supervised fine-tuning of the seed model on the EFT data, which gives M_0 (sections 3.1, A.3)."""

    keep_epoch: Count = Field(description="the epoch whose weights become M_0 (A.3: 5)")


class DPO(_Training):
    """Direct preference optimization from M_{t-1} (sections 2, A.3)."""

    beta: Positive = Field(description="DPO's beta, no unit (A.3: 0.1)")
    keep_all_epochs: bool = Field(
        description="train the whole schedule and keep every epoch: another keep_epoch then needs no new training"
    )


class _Sampling(_Section):
    temperature: Annotated[float, Field(ge=0, le=2)] = Field(description="sampling temperature (section 3.1: 0.8)")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(description="nucleus sampling mass (section 3.1: 0.95)")
    max_tokens: Count = Field(description="tokens at which a completion is cut off (paper: silent)")


class Responses(_Sampling):
    """The actor's samples (sections 2.1, 3.1)."""

    k: Annotated[int, Field(ge=2)] = Field(description="K, response variations per prompt (section 3.1: 7)")


class Judgments(_Sampling):
    """The judge's samples (sections 2.1, 3.1)."""

    n: Count = Field(description="N, judgments per response (section 3.1: 11)")
    template: File | None = Field(description="a file in place of the judge prompt; null is the paper's (A.1)")


class MetaJudgments(_Sampling):
    """The meta-judge's samples: every pair of judgments in both orders (section 2.2)."""

    template: File | None = Field(
        description="a file in place of the meta-judge prompt; null is the paper's (Figure 2)"
    )
    sample_distinct_once: bool = Field(
        description="sample each distinct ordered pair of texts once and copy its verdict (paper: no)"
    )


class Switches(_Section):
    """What the paper leaves open and is not a field of another section.

    Every switch has a second position that the code honours; what has none is a decision of docs/method.md.
    """

    cut_off: Literal["never_chosen", "eligible"] = Field(
        description="whether a response or judgment that was cut off at max_tokens may be the chosen one of a pair"
    )
    omega_scope: Literal["iteration", "response"] = Field(
        description="over which battles the wins are counted that weigh first and second position (section 2.2)"
    )
    elo_ridge: Positive = Field(
        description="lambda of the penalty (lambda/2) sum e^2 that keeps every Elo finite, natural units"
    )
    elo_tie_tolerance: Annotated[float, Field(ge=0)] = Field(
        description="Elo scores that differ by no more than this are a tie, natural units"
    )
    judge_share_cap: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        description="largest share of judge pairs in a DPO dataset; null takes all pairs"
    )


# Switches of earlier versions that had one position: the position, and the row of docs/method.md that decides it.
DECIDED = {
    "tier_ties": ("draw", 10),
    "equal_scores": ("no_pair", 12),
    "equal_score_judge_pairs": ("keep", 18),
    "reference": ("previous_model", 19),
    "end_token": ("finished_only", 21),
}


class Iteration(_Section):
    """One row: what iteration t does (A.3)."""

    prompts: Count = Field(description="prompts of this iteration (section 3.1: 5,000)")
    rho: Share = Field(description="length control: width of the quality tiers, no unit; 0 is score alone (2.1, A.3)")
    max_chosen_chars: Count | None = Field(
        description="actor pairs with a longer chosen response are dropped, characters (A.3); null is no limit"
    )
    judge_training: bool = Field(description="whether judge pairs are made and trained on (section 3.1: t = 1, 2)")
    max_chosen_judgment_chars: Count | None = Field(
        description="judge pairs with a longer chosen judgment are dropped, characters (2.2, A.3); null is no limit"
    )
    keep_epoch: Count = Field(description="the epoch whose weights become M_t (A.3)")
    learning_rate: Rate | None = Field(default=None, description="in place of dpo.learning_rate; null is that one")


Quantization = Literal[  # vLLM 0.32.0's; a test compares
    "awq",
    "auto_awq",
    "fp8",
    "fbgemm_fp8",
    "fp_quant",
    "modelopt",
    "modelopt_fp4",
    "modelopt_mxfp8",
    "modelopt_mixed",
    "auto_gptq",
    "gptq",
    "gptq_marlin",
    "awq_marlin",
    "humming",
    "compressed-tensors",
    "experts_int8",
    "quark",
    "moe_wna16",
    "torchao",
    "inc",
    "mxfp4",
    "gpt_oss_mxfp4",
    "deepseek_v4_fp8",
    "online",
    "fp8_per_tensor",
    "fp8_per_block",
    "fp8_per_channel",
    "int8_per_channel_weight_only",
    "nvfp4_per_token",
    "mxfp8",
]
KVCacheType = Literal[
    "auto",
    "float16",
    "bfloat16",
    "fp8",
    "fp8_e4m3",
    "fp8_e5m2",
    "fp8_inc",
    "fp8_ds_mla",
    "nvfp4_ds_mla",
    "turboquant_k8v4",
    "turboquant_4bit_nc",
    "turboquant_k3v4_nc",
    "turboquant_3bit_nc",
    "ultraquant_4bit",
    "int4_per_token_head",
    "int8_per_token_head",
    "fp8_per_token_head",
    "nvfp4",
    "nvfp4_4over6",
]


class Engine(_Section):
    """How vLLM samples. What changes the samples themselves says so; the rest is speed and memory."""

    max_model_len: Count = Field(
        description="context: tokens of prompt and completion together; what does not fit is skipped and counted"
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        description="type of weights and activations; changes the samples"
    )
    quantization: Quantization | None = Field(
        default=None, description="vLLM's method, for example fp8; changes the samples"
    )
    kv_cache_dtype: KVCacheType = Field(default="auto", description="type of the key-value cache; changes the samples")
    max_num_seqs: Count = Field(description="completions sampled at a time")
    max_num_batched_tokens: Count | None = Field(default=None, description="tokens per step; null is vLLM's choice")
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = Field(
        description="share of a GPU's memory, CUDA only"
    )
    cpu_kv_cache_gib: Positive = Field(description="key-value cache in GiB, CPU only")
    enforce_eager: bool | None = Field(description="no compilation; null is eager on the CPU and compiled on CUDA")
    tensor_parallel_size: Count = Field(description="GPUs that share one model")
    enable_prefix_caching: bool = Field(default=True, description="compute a common beginning of prompts once")
    shard_size: Count = Field(
        description="completions per shard at most, but at least one request's: what a killed run may have to "
        "do again. A shard is 2% of its asset's completions; of a small asset 60 completions or 30 requests"
    )
    extra: dict[str, Any] = Field(
        default_factory=dict,
        description="further vLLM engine arguments by vLLM's names; they count as changing samples",
    )

    def engine_settings(self) -> dict[str, Any]:
        """The keyword arguments of the sampling engine."""
        return self.model_dump(exclude={"shard_size"})


class Evaluation(_Section):
    """The held-out set of a world, the same for every model; each role is measured against the truth."""

    prompts: Count = Field(description="held-out prompts that the actor answers")
    samples: Count = Field(description="samples per held-out question of the actor and of the judge")
    judged_responses: Count = Field(description="responses of known worth that the judge scores")
    battles: Count = Field(description="pairs of judgments that the meta-judge compares, each in both orders")


class Bounds(_Section):
    """Where a number of the run begins to be worth a warning, and where training on such data would do harm."""

    warn: float | None = Field(description="beyond it the asset's check warns; null never warns")
    stop: float | None = Field(description="beyond it the check fails and training stops; null never stops")


class Guardrails(_Section):
    """When a run is warned, and when it is stopped before it harms itself. Nothing of what is made depends on these.

    Names with at_least have lower bounds, the others upper ones.
    """

    min_count: Count = Field(
        default=20, description="a share or a mean of fewer rows says nothing: the check passes and says so"
    )
    judgment_parse_rate_at_least: Bounds = Field(
        default=Bounds(warn=0.9, stop=0.5), description="share of judgments that give a score"
    )
    meta_judgment_parse_rate_at_least: Bounds = Field(
        default=Bounds(warn=0.9, stop=0.5), description="share of meta-judgments that name a winner"
    )
    cut_off_share: Bounds = Field(
        default=Bounds(warn=0.1, stop=0.5),
        description="share of responses, of judgments and of meta-judgments that were cut off at max_tokens",
    )
    score_entropy_at_least: Bounds = Field(
        default=Bounds(warn=0.5, stop=0.1), description="entropy of the scores of all judgments, bits"
    )
    top_score_share: Bounds = Field(
        default=Bounds(warn=0.9, stop=0.98), description="share of scores that are the highest possible one"
    )
    position_bias: Bounds = Field(
        default=Bounds(warn=0.6, stop=0.95),
        description="share of decisive battles won by the position that wins more; 0.5 is fair (Table 5: up to 0.68)",
    )
    score_bias: Bounds = Field(
        default=Bounds(warn=0.75, stop=None),
        description="share of decisive battles won by the higher score (Table 5: 0.63, then 0.98)",
    )
    actor_pair_yield_at_least: Bounds = Field(
        default=Bounds(warn=0.5, stop=0.05), description="share of prompts that give an actor pair"
    )
    judge_pair_yield_at_least: Bounds = Field(
        default=Bounds(warn=0.5, stop=None), description="share of battle matrices that give a judge pair"
    )
    length_growth: Bounds = Field(
        default=Bounds(warn=1.25, stop=2.0),
        description="mean characters of a response, as a multiple of the iteration before",
    )
    chosen_length: Bounds = Field(
        default=Bounds(warn=1.25, stop=None),
        description="mean characters of a chosen completion, as a multiple of a rejected one's",
    )
    identical_pairs: Bounds = Field(
        default=Bounds(warn=0.0, stop=0.0), description="share of pairs whose chosen and rejected texts are equal"
    )
    contradictory_pairs: Bounds = Field(
        default=Bounds(warn=0.0, stop=0.01),
        description="share of pairs that another pair of the same prompt turns round",
    )
    duplicate_ids: Bounds = Field(
        default=Bounds(warn=0.0, stop=0.0), description="share of rows whose id another row has too"
    )
    orphan_ids: Bounds = Field(
        default=Bounds(warn=0.0, stop=0.0), description="share of rows that name an id which its table does not have"
    )


# ------------------------------------------------------------------------------------------------------- the recipe


class Recipe(_Section):
    """A validated recipe. `load_recipe` and `from_yaml` make one; they also check the fields against each other."""

    title: Text = Field(description="one line: what a run of this recipe is")
    description: str = Field(description="what to expect of a run, and how it departs from the paper")
    family: Annotated[str, Field(pattern=NAME, max_length=MAX_NAME)] = Field(
        description="namespace of seed_prompts, eft_dataset and sft_checkpoint: lower-case words and underscores"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(description="root of every random draw of a run")
    model: ModelSection = Field(description="the seed model")
    world: World | None = Field(description="the world whose truth can be computed; null for real data")
    prompts: Prompts = Field(description="the seed prompts")
    eft: EFT = Field(description="the evaluation fine-tuning data")
    sft: SFT | None = Field(description="SFT on the EFT data; null takes the seed model itself as M_0")
    responses: Responses = Field(description="sampling of responses")
    judgments: Judgments = Field(description="sampling of judgments")
    meta_judgments: MetaJudgments = Field(description="sampling of meta-judgments, in iterations that train the judge")
    switches: Switches = Field(description="what the paper leaves open")
    dpo: DPO = Field(description="DPO training")
    iterations: Annotated[tuple[Iteration, ...], Field(strict=False, max_length=MAX_ITERATIONS)] = Field(
        description="one row per iteration, t = 1 first"
    )
    engine: Engine = Field(description="the sampling engine")
    evaluation: Evaluation | None = Field(description="measurement against the world's truth; null is none")
    guardrails: Guardrails = Field(
        default=Guardrails(), description="when a run is warned, and when it is stopped before it harms itself"
    )

    _notes: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        """Whether all fields are equal, whatever the file said beside them."""
        return isinstance(other, Recipe) and self.model_dump() == other.model_dump()

    @classmethod
    def from_yaml(cls, text: str, origin: str = "recipe") -> "Recipe":
        """The recipe that `dump_yaml` wrote. Raises `UserError` with `origin` and every problem."""
        return _stored(text, origin)

    def dump_yaml(self) -> str:
        """The whole recipe as YAML, nothing inherited, one line per row: what is stored with a launched run."""
        data = self.model_dump()
        data["iterations"] = [Flow(row) for row in data["iterations"]]
        data["guardrails"] = {k: Flow(v) if isinstance(v, dict) else v for k, v in data["guardrails"].items()}
        return dump_mapping(data)

    def row(self, t: int) -> Iteration:
        """The row of iteration `t`, counted from 1."""
        if not 1 <= t <= len(self.iterations):
            raise UserError(
                f"iteration {t}: the recipe has iterations 1 to {len(self.iterations)}. Add it to the recipe."
            )
        return self.iterations[t - 1]

    def learning_rate(self, t: int) -> float:
        """The peak DPO learning rate of iteration `t`: the row's own, else that of the dpo section."""
        return self.row(t).learning_rate or self.dpo.learning_rate

    def with_iterations(self, count: int) -> "Recipe":
        """The recipe with `count` iterations: the last row is repeated, or rows at the end are left out.

        Raises `UserError` if the seed prompts do not suffice.
        """
        return self.with_rows(resized(self.iterations, count))

    def with_rows(self, rows: Sequence[Iteration]) -> "Recipe":
        """The recipe with these iterations. Raises `UserError` if the seed prompts do not suffice."""
        return validated({**self.model_dump(), "iterations": [row.model_dump() for row in rows]}, "recipe")

    def with_sets(self, sets: Sequence[str]) -> "Recipe":
        """The recipe with each ``key=value`` of `sets` applied in turn; see `load_recipe`."""
        data = self.model_dump()
        data["iterations"] = list(data["iterations"])
        for text in sets:
            _apply_set(data, text)
        return validated(data, "recipe")

    @property
    def family_name(self) -> str:
        """Namespace of the three shared artifacts: the family, with a hash of the settings if it is not the plain one.

        It is compared with the shipped base of the family's name as it is now; where there is none, the hash is there.
        """
        settings = family_settings(self)
        base = FOLDER / f"{self.family}.yaml"
        if base.is_file() and settings == _base_settings(base):
            return self.family
        return f"{self.family}_{blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=3).hexdigest()}"

    @property
    def warnings(self) -> list[str]:
        """What is allowed and yet worth knowing before a launch, one sentence each."""
        return [*self._notes, *warnings(self)]


def family_settings(recipe: Recipe) -> dict[str, Any]:
    """The part of a recipe that shapes seed_prompts, eft_dataset and sft_checkpoint, as JSON.

    The judge template belongs to it, as a world's EFT examples are written with it. What only decides where a model may
    come from, how prompts are dealt out later, or speed and memory of the training does not.
    """
    fields = {name: True for name in ("seed", "model", "world", "prompts", "eft", "sft")}
    left_out = {"model": {"allow_hub"}, "prompts": {"disjoint"}, "sft": set(SPEED_FIELDS)}
    settings = recipe.model_dump(mode="json", include=fields, exclude=left_out)
    return {**settings, "judge_template": recipe.judgments.template}


# Fields of sft and dpo that change the speed and the memory of a training, not its result beyond rounding.
SPEED_FIELDS = (
    "micro_batch_size",
    "gradient_checkpointing",
    "save_steps",
    "num_processes",
    "accelerate_config",
    "cpu_threads",
)


def _base_settings(path: Path) -> dict[str, Any]:
    """`family_settings` of a base recipe, which need not have all that a run needs: title and rows are put in."""
    row = Iteration(
        prompts=1, rho=0.0, max_chosen_chars=None, judge_training=False, max_chosen_judgment_chars=None, keep_epoch=1
    )
    raw = {"title": "base", "description": "", "iterations": [row], **read_recipe(path)}
    return family_settings(validated({name: raw[name] for name in raw if name != "abstract"}, f"recipe {path.stem}"))


# -------------------------------------------------------------------------------------------------- names and files


def check_run_name(name: str) -> str:
    """`name`, if a run can have it: it becomes an asset key prefix, a group and a folder. Raises `UserError`."""
    taken = {*RESERVED, *(n for n, abstract in shipped().items() if abstract)}
    if name in taken:
        raise UserError(f"run name {name!r} is taken by what runs share. Choose another, {name}_1 for example.")
    if re.fullmatch(NAME, name) and len(name) <= MAX_NAME:
        return name
    hint = re.sub(r"[^a-z0-9]+", "_", name.lower())[:MAX_NAME].strip("_")
    raise UserError(
        f"run name {name!r}: expected lower-case letters and digits in words joined by single underscores, at most "
        f"{MAX_NAME} characters, as it becomes an asset key, a group and a folder." + (f" Try {hint}." if hint else "")
    )


def is_run_name(name: str) -> bool:
    """Whether a folder of this name can be a run's, whatever else lies there."""
    return bool(re.fullmatch(NAME, name)) and len(name) <= MAX_NAME and name not in RESERVED


def list_recipes() -> list[str]:
    """Names of the shipped recipes that can be run, in alphabetical order."""
    return [name for name, abstract in shipped().items() if not abstract]


def resized(rows: Sequence[Any], count: int) -> list[Any]:
    """`count` rows: the last one is repeated, or rows at the end are left out."""
    if count < 1:
        raise UserError(f"iterations = {count}: expected 1 or more.")
    if count > MAX_ITERATIONS:
        raise UserError(f"iterations = {shown(count)}: expected at most {MAX_ITERATIONS:,}.")
    return [*rows, *list(rows[-1:]) * (count - len(rows))][:count]


@lru_cache(maxsize=1024)  # what one text says never changes, and reading YAML takes longer than any file
def _stored(text: str, origin: str) -> Recipe:
    return validated(parse_mapping(text, origin), origin)


def load_recipe(name_or_path: str | Path, sets: Sequence[str] = (), iterations: int | None = None) -> Recipe:
    """The validated recipe of that name (shipped) or file, with each ``key=value`` of `sets` applied in turn.

    With `iterations`, it then has so many: see `Recipe.with_iterations`.

    A key is a full path (``dpo.beta``, ``iterations.2.rho``, ``iterations.all.prompts``) or the name of a field that
    occurs only once (``beta``); of a row's field, all rows' (``rho``). Raises `UserError` with every problem found.
    """
    raw, origin = _raw(name_or_path, sets)
    if iterations is not None and isinstance(raw.get("iterations"), list):
        raw["iterations"] = resized(raw["iterations"], iterations)
    recipe, decided = validated(raw, origin), _decided(raw)
    if problems := list(refused(recipe.engine.extra)):  # here and not in `validated`: what was launched stays readable
        raise UserError("\n  - ".join([f"{origin}: {len(problems)} in engine.extra. Mend the recipe.", *problems]))
    if decided:
        recipe._notes = (
            f"{', '.join(f'switches.{name}' for name in decided)}: no switch any more, but decided as it says here "
            "(docs/method.md); leave it out.",
        )
    return recipe


def load_rows(name_or_path: str | Path, sets: Sequence[str] = ()) -> tuple[Iteration, ...]:
    """All rows of a recipe, also where there are too few seed prompts to run all of them. Raises as `load_recipe`."""
    raw, origin = _raw(name_or_path, sets)
    try:
        return _ROWS.validate_python(raw.get("iterations"))
    except ValidationError:
        return validated(raw, origin).iterations  # raises, in the words that are used for a recipe


_ROWS = TypeAdapter(tuple[Iteration, ...])


def parse_rows(text: str) -> tuple[Iteration, ...]:
    """Rows from JSON. Raises `ValueError` if they are none."""
    return _ROWS.validate_json(text)


def _raw(name_or_path: str | Path, sets: Sequence[str]) -> tuple[dict[str, Any], str]:
    """What a recipe's file says with each ``key=value`` of `sets`, not yet validated, and what to call it."""
    path = find_recipe(str(name_or_path))
    raw = read_recipe(path)
    if raw.pop("abstract"):
        raise UserError(
            f"recipe {path.stem} is a base for others and no run of its own. Run one of {', '.join(list_recipes())}."
        )
    for text in sets:
        _apply_set(raw, text)
    return raw, f"recipe {path.stem}"


# ------------------------------------------------------------------------------------------------------------ --set


def _apply_set(raw: dict[str, Any], text: str) -> None:
    """Put one ``key=value`` into a raw recipe, in place."""
    key, equals, value = (part.strip() for part in text.partition("="))
    if len(key) > LONGEST_KEY:
        raise UserError(f"--set {key[:LONGEST_KEY]}...: no field of a recipe has so long a name.")
    if not equals or not key:
        raise UserError(f"--set {text}: expected key=value, for example dpo.beta=0.2.")
    rows = raw.get("iterations")
    rows = rows if isinstance(rows, list) else []
    first, *rest = _resolve(key, len(rows))
    new = parse_value(value, f"--set {text}")
    _refuse_section(first if not rest else key, new, text, len(rows))
    if first != "iterations" or not rest:
        raw.update(_put(raw, [first, *rest], new))
        return
    named = range(1, len(rows) + 1) if rest[0] == "all" else [int(rest[0])]
    raw["iterations"] = [
        _put({"row": row}, ["row", *rest[1:]], new)["row"] if t in named and isinstance(row, dict) else row
        for t, row in enumerate(rows, start=1)
    ]


def _put(mapping: dict[str, Any], parts: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of `mapping` with `value` at the path `parts`; a mapping is merged into the one that is there."""
    first, *rest = parts
    old = mapping.get(first)
    if rest:
        value = _put(old if isinstance(old, dict) else {}, rest, value)
    return merge(mapping, {first: value})


def _resolve(key: str, rows: int) -> list[str]:
    """The parts of the one path that a key of --set means. Raises `UserError` if there is none, or more than one."""
    parts = key.split(".")
    if parts[-1] in DECIDED and parts[:-1] in ([], ["switches"]):
        return ["switches", parts[-1]]
    row = parts[1] if parts[0] == "iterations" and len(parts) > 1 else None
    if row is not None and row not in ("all", *map(str, range(1, rows + 1))):
        raise UserError(f"--set {key}: there is no iteration {row}; expected 1 to {rows}, or all.")
    if (row is not None and len(parts) == 2) or ".".join(["iterations", "*", *parts[2:]] if row else parts) in PATHS:
        return parts
    if key.startswith(("engine.extra.", "model.chat_template_kwargs.")) and len(parts) <= 20:
        return parts
    found = [path for path in PATHS if path.rpartition(".")[2] == key]
    if found == [f"iterations.*.{key}"]:
        return ["iterations", "all", key]
    full = _spelt_out(found, rows)
    if len(full) == 1:
        return full[0].split(".")
    if full:
        raise UserError(f"--set {key}: several fields have this name. Say which: {', '.join(full)}.")
    known = [path.replace("*", row or "all") for path in PATHS]
    hint = did_you_mean(key, [*known, *(path.rpartition(".")[2] for path in known)])
    raise UserError(f"--set {key}: no field of a recipe has this name.{hint} Full paths look like dpo.beta.")


def _refuse_section(path: str, value: Any, text: str, rows: int) -> None:
    """Raise `UserError` if a section, or a row, is given a single value: name the fields that may have been meant."""
    parts = path.split(".")
    general = ".".join(["iterations", "*"] if parts[0] == "iterations" and len(parts) == 2 else parts)
    inner = [path + p.removeprefix(general) for p in PATHS if p.startswith(f"{general}.")]
    if not inner or general == "iterations" or value is None or isinstance(value, dict):
        return
    same = [p for p in PATHS if p.rpartition(".")[2] == path and p != general]
    meant = [*_spelt_out(same, rows), *inner]
    raise UserError(f"--set {text}: {path} is a section. Say which of its fields, or which other: {', '.join(meant)}.")


def _spelt_out(paths: Sequence[str], rows: int) -> list[str]:
    """Paths with the star of the iterations replaced by each row's number and by all."""
    choices = [*map(str, range(1, rows + 1)), "all"]
    return [p.replace("*", t) for p in paths for t in (choices if "*" in p else choices[:1])]


def section_of(annotation: Any) -> type[_Section] | None:
    """The section that a field holds, be it optional or one row of many; None for a plain value."""
    inner = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type)]
    return next((a for a in inner if issubclass(a, _Section)), None)


def _paths(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield prefix + name
        inner = section_of(field.annotation)
        if inner is not None:
            yield from _paths(inner, f"{prefix}{name}.*." if inner is Iteration else f"{prefix}{name}.")


PATHS = tuple(_paths(Recipe))  # of every section and field; a row of the iterations is written as a star

# ------------------------------------------------------------------------------------------------------- validation


def validated(raw: Mapping[str, Any], origin: str, mend: str = "Mend the recipe, or --set other values.") -> Recipe:
    """The recipe, or one `UserError` with every problem: of single fields, and of fields against each other.

    What `DECIDED` names may be there, with the value that is decided.
    """
    raw, decided = _without_decided(raw)
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        if len(errors) > MOST_PROBLEMS:  # to find what contradicts what would take long, and be of no use
            first = [_problem(e["loc"], e["type"], e["msg"], e["input"]) for e in errors[:MOST_PROBLEMS]]
            more = f"and {len(errors) - MOST_PROBLEMS} more"
            raise UserError("\n  - ".join([f"{origin}: {len(errors)} problems. {mend}", *first, more])) from None
        problems = decided + [_problem(e["loc"], e["type"], e["msg"], e["input"]) for e in errors]
        problems += contradictions(partial(raw, [e["loc"] for e in errors]))
    else:
        problems = decided + contradictions(recipe)
        if not problems:
            return recipe
    count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
    raise UserError("\n  - ".join([f"{origin}: {count}. {mend}", *problems]))


def _decided(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The switches of a raw recipe that are none any more, with their values."""
    switches = raw.get("switches")
    return {name: switches[name] for name in DECIDED if name in switches} if isinstance(switches, Mapping) else {}


def _without_decided(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A raw recipe without the switches that are none any more, and a problem for each that has another position."""
    found = _decided(raw)
    if not found:
        return dict(raw), []
    kept = {name: value for name, value in raw["switches"].items() if name not in found}
    problems = [
        f"switches.{name} = {shown(value)}: is no switch any more, the method takes {DECIDED[name][0]} alone "
        f"(docs/method.md, row {DECIDED[name][1]}); leave it out"
        for name, value in found.items()
        if value != DECIDED[name][0]
    ]
    return {**raw, "switches": kept}, problems


def _problem(loc: tuple[int | str, ...], kind: str, message: str, value: Any) -> str:
    """One of pydantic's errors as ``path = value: reason (what the field means)``."""
    path, section, description = _spelt(loc), *_field_at(loc)
    if kind == "extra_forbidden":
        return f"{path} = {shown(value)}: unknown key.{did_you_mean(str(loc[-1]), list(section.model_fields))}"
    meaning = f" ({description})" if description else ""
    if kind == "missing":
        return f"{path}: missing{meaning}"
    inner = section_of(section.model_fields[str(loc[-1])].annotation) if description else Iteration
    reason = re.sub(r"^((Input|String|Tuple) (?=should)|Value error, )", "", message)
    if kind in ("model_type", "tuple_type") and inner is not None:
        reason = (
            f"should be a {'list of rows' if kind == 'tuple_type' else 'mapping'} of {', '.join(inner.model_fields)}"
        )
    return f"{path} = {shown(value)}: {reason}{meaning}"


def _spelt(loc: Sequence[int | str]) -> str:
    """A location as a path, rows counted from 1."""
    return ".".join(str(part + 1) if isinstance(part, int) else str(part) for part in loc)


def _field_at(loc: Sequence[int | str]) -> tuple[type[BaseModel], str]:
    """The section that a location lies in, and the description of the field there, empty if there is none."""
    section: type[BaseModel] = Recipe
    description = ""
    for part in loc:
        field = section.model_fields.get(str(part))
        description = (field.description or "") if field else ""
        inner = section_of(field.annotation) if field else None
        if inner is not None and part != loc[-1]:
            section = inner
    return section, description


# ------------------------------------------------------------------------------------------------------------ drift


class Difference(NamedTuple):
    """One field in which two recipes differ; what one of them lacks is None there."""

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
            a, b = (rows[i] if i < len(rows) else None for rows in (old, new))
            yield from _differences(a, b, (*path, i))
    elif old != new:
        yield Difference(_spelt(path), old, new)
