"""What a recipe may say: every number of a run, one row per iteration.

A recipe is a YAML file in this folder (or anywhere), readable without this module:

    extends: llama_3_8b
    dpo: {beta: 0.2}
    iterations:
      - {prompts: 5000, rho: 0.0, max_chosen_chars: 2500, judge_training: true, ..., keep_epoch: 6}
      - {prompts: 5000, rho: 0.32, max_chosen_chars: null, judge_training: true, ..., keep_epoch: 4}

Here are its sections and what each of their fields means. `load` makes a `Recipe` of a file.
"""

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue

from mr_assets.chat_template import DATE, OURS
from mr_assets.errors import UserError
from mr_assets.recipes.names import MAX_NAME, NAME
from mr_assets.recipes.yaml_files import Flow, dump_mapping
from mr_assets.section import Count, File, Positive, Rate, Section, Share, Text

MAX_ITERATIONS = 1000


def _day(text: str) -> str:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError("should be a date, written like 2024-07-28")
    date.fromisoformat(text)
    return text


def _variable(name: str) -> str:
    if not name.isidentifier() or name in OURS:
        raise ValueError(f"should be a variable of the chat template, and none of {', '.join(OURS)}")
    return name


Day = Annotated[str, AfterValidator(_day)]
Variable = Annotated[str, AfterValidator(_variable)]


class ModelSection(Section):
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


class World(Section):
    """A world whose truth can be computed; the judging errors in its EFT data."""

    name: Literal["letters"] = Field(description="the world; letters is mr_assets/worlds/letters.py")
    judge_noise: Share = Field(description="share of EFT judgments whose score is drawn at random")
    verbosity_bias: Share = Field(
        description="share of the other EFT judgments that go by length: padding lifts a score, brevity lowers it"
    )


class Prompts(Section):
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


class EFT(Section):
    """Evaluation fine-tuning data: judgments made from human rankings (section 3.1)."""

    source: File = Field(
        description="world, or a .jsonl file, plain or .gz, or .parquet, with prompt and completion, or with messages "
        "(absolute or under the data folder)"
    )
    examples: Count | None = Field(
        description="examples in use: as many as the world makes, or the first of a file; null is all of the file's"
    )


class _Training(Section):
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


class _Sampling(Section):
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


class Switches(Section):
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


class Iteration(Section):
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


class Engine(Section):
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


class Evaluation(Section):
    """The held-out set of a world, the same for every model; each role is measured against the truth."""

    prompts: Count = Field(description="held-out prompts that the actor answers")
    samples: Count = Field(description="samples per held-out question of the actor and of the judge")
    judged_responses: Count = Field(description="responses of known worth that the judge scores")
    battles: Count = Field(description="pairs of judgments that the meta-judge compares, each in both orders")


class Bounds(Section):
    """Where a number of the run begins to be worth a warning, and where training on such data would do harm."""

    warn: float | None = Field(description="beyond it the asset's check warns; null never warns")
    stop: float | None = Field(description="beyond it the check fails and training stops; null never stops")


class Guardrails(Section):
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


class Recipe(Section):
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

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of the file that it was loaded from, a sentence each."""
        return self._notes

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


# Fields of sft and dpo that change the speed and the memory of a training, not its result beyond rounding.
SPEED_FIELDS = (
    "micro_batch_size",
    "gradient_checkpointing",
    "save_steps",
    "num_processes",
    "accelerate_config",
    "cpu_threads",
)
