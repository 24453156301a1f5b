"""The loop, one row per asset: what it is made of, what shapes it, and which code.

To add an asset: its file in `assets/` with a function of its name, its pure function in `method/`, the columns of its
table in `mr_assets.tables`, and its row here. Definitions, runs, settings, status, lineage and code versions go by the
rows. `LOOP` has every row; `LOOP.of(recipe)`, which is `Run.loop`, those of one recipe.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mr_assets.ids import model_id
from mr_assets.judging import (
    LINES,
    ONLY_JUDGMENTS,
    PAPERS,
    PAPERS_JUDGE,
    PAPERS_META_JUDGE,
    SCORE_LINE,
    WINNER_LINE,
)

if TYPE_CHECKING:
    from mr_assets.recipes.recipe import Recipe

Place = tuple[str, str | None]  # an asset and its partition
Per = Literal["family", "iteration", "model"]
Of = Literal["its own", "the previous", "the seed"]
"""Of which model an asset per model takes another one: "2" takes that of "2", "1" or "seed"."""

RENDERING = ("model.date", "model.chat_template_kwargs")
"""How a chat template renders: the same wherever a prompt is sampled, trained on or verified."""


WITHOUT_LORA = {"lora_r": None, "lora_alpha": 32.0, "lora_dropout": 0.0, "lora_target_modules": "all-linear"}
"""How trainings were made before there was LoRA: all weights were trained."""

META_JUDGE = ("meta_judgments.template", "text of the meta-judge template")
"""How records name the meta-judge prompt."""

SEED_MODEL = ("model.seed", "model.revision", *RENDERING)
"""What the seed model is, and how its prompts are rendered."""


SORTED = {"engine.cpu_top_k_first": None}
"""How completions were sampled before the nucleus could be looked for among the likeliest tokens first."""


@dataclass(frozen=True)
class Asset:
    """One asset of the loop.

    name: of its file and function in `assets/`, its table in `mr_assets.tables`, its folder, and in the UI.
    code: the modules (without the package's name) that decide its content; templates: the shipped ones that it fills
    in. Of both its code version is made (`mr_assets.runs.code_versions`).
    upstream: the assets that it is made of, as far as the recipe has them. The handoff is not among them: policy[t]
    also takes checkpoints[t-1].
    shaped_by: the recipe's fields, or sections, that shape it; ``row.`` stands for the iteration's own row.
    shaped_too: what else shapes it in some recipes, by the recipe; shaped_less: what of `shaped_by` does not in some.
    per: what there is one of it for. A "family" of recipes shares it; a "model" is "seed", "0" or an iteration's.
    of_models: of an asset per model, which models' it takes of others that are per model; not named: its own model's.
    holds: a parquet table, the folder of a trained model, or a record that points at such a folder.
    trained_by: the section of the recipe that says how a model is trained.
    side: whose pairs alone it is for. Those of the judge are empty in an iteration that trains no judge.
    selects: whether it also writes what it dropped and why.
    begins_after: what must be there before it, though it takes nothing of it.
    sources: the fields that may name a user's file or model folder that it is made of.
    before: what had one value, and no setting, when earlier versions made it: their records do not name it.
    not_noted: what the records of some versions name and those of others do not: no difference where one has none.
    when: which recipes have it; None: all. Where a recipe does not have it, it is nowhere: not in the graph, not in
    `mr status`, not among what others are made of.
    """

    name: str
    code: tuple[str, ...]
    upstream: tuple[str, ...] = ()
    shaped_by: tuple[str, ...] = ()
    shaped_too: "Callable[[Recipe], tuple[str, ...]] | None" = None
    shaped_less: "Callable[[Recipe], tuple[str, ...]] | None" = None
    per: Per = "iteration"
    of_models: Mapping[str, tuple[Of, ...]] = field(default_factory=dict)
    holds: Literal["table", "model", "pointer"] = "table"
    trained_by: Literal["sft", "dpo"] | None = None
    side: Literal["actor", "judge"] | None = None
    selects: bool = False
    templates: tuple[Literal["judge", "meta_judge", "pairwise", "generate", "tasks"], ...] = ()
    begins_after: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    not_noted: tuple[str, ...] = ()
    when: "Callable[[Recipe], bool] | None" = None

    def shaping(self, recipe: "Recipe") -> tuple[str, ...]:
        """The fields and sections of a recipe that shape it."""
        more, less = (of(recipe) if of else () for of in (self.shaped_too, self.shaped_less))
        return tuple(path for path in (*self.shaped_by, *more) if path not in less)


class Loop(dict[str, Asset]):
    """The rows by name. What an asset is made of comes before it."""

    def __init__(self, *rows: Asset) -> None:
        super().__init__((row.name, row) for row in rows)

    def of(self, recipe: "Recipe") -> "Loop":
        """The rows that a recipe has, in order."""
        return Loop(*(row for row in self.values() if row.when is None or row.when(recipe)))

    def per(self, what: Per) -> tuple[str, ...]:
        """The assets that there is one of for each family, iteration or model, in order."""
        return tuple(name for name, row in self.items() if row.per == what)


def titled(asset: str, partition: str | None) -> str:
    """An artifact as a person would call it: "actor_pairs of iteration 2", "evaluation of M2", "sft_checkpoint"."""
    if LOOP[asset].per == "model":
        return f"{asset} of {model_id(str(partition))}"
    return f"{asset} of iteration {partition}" if partition else asset


def iteration_of(asset: str, partition: str | None) -> int:
    """The row of the recipe that an artifact goes by; 1 for what a family has one of, and for what a model has."""
    return int(partition) if partition and LOOP[asset].per == "iteration" else 1


def _not_of_its_generator(recipe: "Recipe") -> tuple[str, ...]:
    """Another generator than the seed model makes the prompts without that; an endpoint without the engine, too."""
    if recipe.prompts.generator is None:
        return ()
    return (*SEED_MODEL, "engine") if recipe.prompts.by_endpoint else SEED_MODEL


def _of_examples_from_rankings(recipe: "Recipe") -> tuple[str, ...]:
    """The words of examples that are made of rankings; of those of the world, or a user's, the text is all there is."""
    if recipe.sft is None or recipe.eft.rankings is None:
        return ()
    return (*PAPERS, "meta_judgments.template") if recipe.teaches_meta_judge else tuple(PAPERS)


# An iteration begins when everything of the family is there. Without `begins_after`, a backfill with the family's
# assets would start prompts of every iteration while M0 is trained, and the rest of each iteration in a run of its own.
LOOP = Loop(
    Asset(
        "ranked_replies",
        per="family",
        when=lambda recipe: recipe.eft.rankings is not None,
        shaped_by=("eft.source", "eft.language", "eft.held_out"),
        sources=("eft.source",),
        selects=True,
        code=("method.ranked_replies", "inputs.open_assistant"),
    ),
    Asset(
        "generated_prompts",
        per="family",
        when=lambda recipe: recipe.prompts.source == "generated",
        upstream=("ranked_replies",),
        shaped_by=(
            "seed",
            "world.name",
            *SEED_MODEL,
            "prompts.generator",
            "prompts.column",
            "prompts.count",
            "generation",
            "engine",
        ),
        shaped_less=_not_of_its_generator,
        sources=("model.seed", "prompts.generator", "generation.examples"),
        selects=True,
        code=(
            *("method.generated_prompts", "method.ranked_replies", "worlds.letters"),
            *("chat", "chat_template", "sampling.endpoint"),
        ),
        templates=("generate", "tasks"),
    ),
    Asset(
        "seed_prompts",
        per="family",
        upstream=("ranked_replies", "generated_prompts"),
        shaped_by=("seed", "world.name", "prompts.source", "prompts.split", "prompts.column", "prompts.count"),
        before={"prompts.split": None},
        sources=("prompts.source",),
        code=(
            "method.prompts",
            "method.conversations",
            "method.ranked_replies",
            "worlds.letters",
            "inputs.prompt_sources",
            "inputs.user_files",
        ),
    ),
    Asset(
        "eft_judgments",
        per="family",
        when=lambda recipe: recipe.seed_judges,
        upstream=("ranked_replies",),
        shaped_by=("seed", *SEED_MODEL, "judgments", "engine"),
        sources=("model.seed",),
        selects=True,
        code=("method.judgments", "method.asked_lines", "method.ranked_replies", "chat", "chat_template"),
        templates=("judge",),
    ),
    Asset(
        "eft_dataset",
        per="family",
        upstream=("ranked_replies", "eft_judgments"),
        shaped_by=("seed", "world", "eft", "judgments.template"),
        shaped_too=_of_examples_from_rankings,
        before={f"eft.{name}": value for name, value in ONLY_JUDGMENTS.items()},
        not_noted=(*META_JUDGE, *PAPERS),
        sources=("eft.source",),
        selects=True,
        code=("worlds.eft", "inputs.user_files", "method.eft_dataset"),
        templates=("judge", "meta_judge"),
    ),
    Asset(
        "sft_checkpoint",
        per="family",
        holds="model",
        trained_by="sft",
        upstream=("eft_dataset",),
        shaped_by=("seed", *SEED_MODEL, "sft", "judgments.template"),
        shaped_too=lambda recipe: ("meta_judgments.template",) if recipe.teaches_meta_judge else (),
        not_noted=META_JUDGE,
        before={f"sft.{name}": value for name, value in WITHOUT_LORA.items()},
        sources=("model.seed",),
        code=("method.sft_dataset", "chat", "chat_template", "training.sft", "training.trainer"),
        templates=("judge", "meta_judge"),
    ),
    Asset(
        "policy",
        holds="pointer",
        upstream=("sft_checkpoint",),
        begins_after=("sft_checkpoint", "seed_prompts"),
        code=("wiring.handoff",),
    ),
    Asset(
        "prompts",
        upstream=("seed_prompts",),
        begins_after=("sft_checkpoint",),
        shaped_by=("seed", "prompts.disjoint", "prompts_until"),
        code=("method.prompts",),
    ),
    Asset(
        "responses",
        upstream=("prompts", "policy"),
        shaped_by=("seed", *RENDERING, "responses", "engine"),
        selects=True,
        before=SORTED,
        code=("method.responses", "method.conversations", "chat", "chat_template"),
    ),
    Asset(
        "judgments",
        upstream=("prompts", "responses", "policy"),
        shaped_by=("seed", *RENDERING, "judgments", "reward_model", "engine"),
        before={**PAPERS_JUDGE, **SCORE_LINE, **SORTED, "reward_model": None},
        sources=("reward_model.folder",),
        selects=True,
        code=(
            *("method.judgments", "method.asked_lines", "method.rewards", "sampling.reward_model"),
            *("chat", "chat_template"),
        ),
        templates=("judge",),
    ),
    Asset(
        "actor_pairs",
        side="actor",
        upstream=("responses", "judgments"),
        shaped_by=("seed", "row.rho", "row.max_chosen_chars", "switches.cut_off"),
        selects=True,
        code=("method.actor_pairs",),
    ),
    Asset(
        "selected_responses",
        side="judge",
        upstream=("responses", "judgments"),
        shaped_by=("seed",),
        selects=True,
        code=("method.selected_responses",),
    ),
    Asset(
        "meta_judgments",
        side="judge",
        upstream=("prompts", "responses", "selected_responses", "judgments", "policy"),
        shaped_by=("seed", *RENDERING, "meta_judgments", "engine"),
        before={**PAPERS_META_JUDGE, **WINNER_LINE, **SORTED},
        selects=True,
        code=("method.meta_judgments", "method.asked_lines", "chat", "chat_template"),
        templates=("meta_judge",),
    ),
    Asset(
        "battle_matrices",
        side="judge",
        upstream=("selected_responses", "meta_judgments"),
        shaped_by=("switches.omega_scope",),
        selects=True,
        code=("method.battle_matrices",),
    ),
    Asset(
        "elo_pairs",
        side="judge",
        upstream=("battle_matrices", "judgments"),
        shaped_by=(
            *("seed", "row.max_chosen_judgment_chars"),
            *("switches.elo_ridge", "switches.elo_tie_tolerance", "switches.cut_off"),
        ),
        before={"switches.cut_off": "never_chosen"},
        selects=True,
        code=("method.elo_pairs",),
    ),
    Asset(
        "dpo_dataset",
        upstream=("prompts", "responses", "judgments", "actor_pairs", "elo_pairs", "policy"),
        shaped_by=(
            *("seed", *RENDERING, "switches.judge_share_cap", "switches.judge_pairs"),
            *("dpo.max_length", "judgments.template"),
        ),
        before={"switches.judge_pairs": "as_ranked"},
        selects=True,
        code=("method.dpo_dataset", "chat", "chat_template"),
        templates=("judge",),
    ),
    Asset(
        "checkpoints",
        holds="model",
        trained_by="dpo",
        upstream=("dpo_dataset", "policy"),
        shaped_by=("seed", "dpo", "row.keep_epoch", "row.learning_rate"),
        before={f"dpo.{name}": value for name, value in WITHOUT_LORA.items()},
        code=("training.dpo", "training.trainer"),
    ),
    Asset(
        "evaluation",
        per="model",
        when=lambda recipe: recipe.evaluation is not None,
        upstream=("sft_checkpoint", "checkpoints"),
        shaped_by=("seed", *SEED_MODEL, "evaluation", "responses", "judgments", "meta_judgments", "engine"),
        before={**PAPERS, **LINES, **SORTED},
        sources=("model.seed",),
        code=(
            "worlds.held_out",
            "method.judgments",
            "method.meta_judgments",
            "method.asked_lines",
            "chat",
            "chat_template",
        ),
        templates=("judge", "meta_judge"),
    ),
    Asset(
        "held_out_responses",
        per="model",
        when=lambda recipe: recipe.held_out is not None,
        upstream=("ranked_replies", "seed_prompts", "sft_checkpoint", "checkpoints"),
        shaped_by=("seed", "world.name", *SEED_MODEL, "held_out", "prompts.column", "responses", "engine"),
        sources=("model.seed", "held_out.source"),
        selects=True,
        code=(
            *("method.held_out_responses", "method.conversations", "method.ranked_replies", "worlds.letters"),
            *("inputs.held_out_prompts", "inputs.prompt_sources", "chat", "chat_template"),
        ),
    ),
    Asset(
        "human_agreement",
        per="model",
        when=lambda recipe: recipe.human_agreement is not None,
        upstream=("sft_checkpoint", "checkpoints", "ranked_replies"),
        shaped_by=("seed", "world.name", *SEED_MODEL, "human_agreement", "judgments", "engine"),
        sources=("model.seed",),
        code=(
            *("method.human_agreement", "method.ranked_replies", "method.judgments", "method.asked_lines"),
            *("worlds.held_out", "chat", "chat_template"),
        ),
        templates=("judge",),
    ),
    Asset(
        "probe_judgments",
        per="model",
        when=lambda recipe: recipe.probe is not None,
        upstream=("held_out_responses", "sft_checkpoint", "checkpoints"),
        of_models={"held_out_responses": ("the seed",)},
        shaped_by=("seed", *SEED_MODEL, "probe", "judgments", "engine"),
        sources=("model.seed",),
        selects=True,
        code=(
            *("method.responses", "method.judgments", "method.asked_lines"),
            *("chat", "chat_template"),
        ),
        templates=("judge",),
    ),
    Asset(
        "labelled_pairs",
        per="model",
        when=lambda recipe: recipe.labelled_pairs is not None,
        upstream=("sft_checkpoint", "checkpoints"),
        shaped_by=("seed", "world.name", *SEED_MODEL, "labelled_pairs", "judgments", "engine"),
        shaped_too=lambda recipe: ("meta_judgments",) if recipe.asks_pairwise else (),
        sources=("model.seed", "labelled_pairs.source"),
        code=(
            *("method.labelled_pairs", "method.judgments", "method.meta_judgments", "method.asked_lines"),
            *("inputs.labelled_pairs", "inputs.user_files", "worlds.held_out", "chat", "chat_template"),
        ),
        templates=("judge", "pairwise"),
    ),
    Asset(
        "scoring_shift",
        per="model",
        when=lambda recipe: recipe.probe is not None,
        upstream=("held_out_responses", "probe_judgments"),
        of_models={
            "held_out_responses": ("the seed",),
            "probe_judgments": ("its own", "the previous", "the seed"),
        },
        shaped_by=("judgments",),
        code=("method.scoring_shift",),
    ),
    Asset(
        "win_rates",
        per="model",
        when=lambda recipe: recipe.win_rates is not None,
        upstream=("held_out_responses",),
        of_models={"held_out_responses": ("its own", "the seed")},
        shaped_by=("seed", *SEED_MODEL, "win_rates", "judgments", "engine"),
        sources=("model.seed", "win_rates.judge"),
        code=(
            *("method.win_rates", "method.agreement", "method.judgments", "method.asked_lines", "method.rewards"),
            *("sampling.reward_model", "chat", "chat_template"),
        ),
        templates=("judge",),
    ),
)
