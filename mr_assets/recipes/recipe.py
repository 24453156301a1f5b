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

from mr_assets.bounds import Guardrails
from mr_assets.chat_template import DATE, OURS
from mr_assets.errors import UserError
from mr_assets.judging import PAPERS_SCORING, PAPERS_VERDICTS, Scoring, Verdicts
from mr_assets.recipes.names import MAX_NAME, NAME
from mr_assets.recipes.yaml_files import Flow, dump_mapping
from mr_assets.sampling.connection import is_endpoint
from mr_assets.sampling.settings import EngineSettings, RewardSettings, SamplingSettings
from mr_assets.section import SPEED, Count, File, Positive, Rate, Section, Share, Text, section_of, speed_fields
from mr_assets.training.settings import DPOSettings, SFTSettings

MAX_ITERATIONS = 1000
GENERATED = "generated"
"""The source of prompts that a model makes."""
RANKINGS = "rankings"
"""The source of held-out prompts that `eft.source` holds out."""
SEED, WORLD = "seed", "world"
"""The judges of win rates that are no folders."""
REWARD_MODEL = "reward_model:"
"""What stands before a reward model's folder in `win_rates.judge`."""
OPEN_ASSISTANT = "open_assistant:"
"""What stands before the file of ranked replies in `eft.source`."""


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


def _words(text: str) -> str:
    if text != " ".join(text.split()) or not any(c.isalnum() for c in text) or not text.isprintable():
        raise ValueError("should be words on one line, with a letter or digit, and single spaces between them alone")
    if text[-1] in ":\uff1a":
        raise ValueError("should be without the colon that follows")
    return text


Variable = Annotated[str, AfterValidator(_variable)]
Words = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_words)]
Worth = Annotated[float, Field(ge=0, le=1_000_000)]


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
        description="world, generated (by prompts.generator), or a .jsonl, .csv or .txt file, plain or .gz, or "
        ".parquet, or a folder: of such files, of texts that are one prompt each (.txt, .md), or a dataset that "
        "datasets.save_to_disk wrote (absolute or under the data folder)"
    )
    generator: File | None = Field(
        default=None,
        description="who makes generated prompts: a model's folder (absolute or under the data folder), a hub name, or "
        "the http:// or https:// address of an OpenAI-compatible endpoint; null is the seed model",
    )
    split: Text | None = Field(default=None, description="the split of a dataset in a folder; null is its only one")
    column: Text = Field(
        description="the column that holds the prompt, a text or a list of {role, content}; where it is not there, "
        "messages is read; a .txt file has one prompt per line"
    )
    count: Count | None = Field(
        description="seed prompts in use: as many as the world makes, or the first of a file; null is all of the file's"
    )
    disjoint: bool = Field(description="whether no prompt serves two iterations (section 3.1: sampled)")

    @property
    def by_endpoint(self) -> bool:
        """Whether what generates prompts is an endpoint, and no model that is sampled here."""
        return is_endpoint(self.generator)


class Generation(SamplingSettings):
    """Seed prompts made by a model that is shown example tasks, where prompts.source is generated (section 3.1)."""

    temperature: Annotated[float, Field(ge=0, le=2)] = Field(
        default=0.6, description="sampling temperature (Yuan et al. 2024, 3.1: 0.6)"
    )
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.9, description="nucleus sampling mass (Yuan et al. 2024, 3.1: 0.9)"
    )
    max_tokens: Count = Field(
        default=512, description="tokens at which a task is cut off, which is then dropped (paper: silent)"
    )
    examples: File | None = Field(
        default=None, description="a file of example tasks, as prompts.source may be one; null is ours, 48 tasks"
    )
    shots: Count = Field(default=8, description="examples that each request shows, drawn by the seed (section 3.1: 8)")
    rounds: Annotated[Count, SPEED] = Field(
        default=8,
        description="rounds of requests at most; each asks for as many as are missing, at the yield so far",
    )
    min_chars: Count = Field(default=12, description="characters of a prompt at least")
    max_chars: Count = Field(default=2000, description="characters of a prompt at most")
    language: Text | None = Field(
        default="en", description="language of the prompts, as py3langid has its code; null takes all"
    )
    similarity: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.7,
        description="Jaccard similarity of character 5-grams from which on a prompt is a near duplicate of another one "
        "or of an example, and dropped (Self-Instruct: ROUGE-L 0.7)",
    )
    model: Text | None = Field(
        default=None, description="the model's name at the endpoint that prompts.generator names"
    )
    key_variable: Annotated[Text, SPEED] = Field(
        default="OPENAI_API_KEY", description="the environment variable that holds the endpoint's key"
    )
    concurrency: Annotated[Count, SPEED] = Field(default=16, description="requests to the endpoint at a time")


class EFT(Section):
    """Evaluation fine-tuning data: judgments made from human rankings (section 3.1)."""

    source: File | None = Field(
        default=None,
        description="world; a .jsonl file, plain or .gz, or .parquet, with prompt and completion, or with messages; or "
        "open_assistant:FILE, ranked replies in a layout that Open Assistant publishes (absolute or under the data "
        "folder); null, and left out, where sft is null",
    )
    examples: Count | None = Field(
        default=None,
        description="examples in use: as many as the world makes, or the first of a file; at most so many made of "
        "rankings; null is all",
    )
    language: Text = Field(
        default="en", description="of Open Assistant: the language of prompts and replies, as lang has it"
    )
    held_out: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.25,
        description="of Open Assistant: share of the prompts that nothing is trained on; the judge is measured there "
        "(Yuan et al. 2024, section 3.1: 531 of 2,161 examples)",
    )
    judged_by: Literal["seed_model", "ranks"] = Field(
        default="seed_model",
        description="of Open Assistant: whose judgments are kept. seed_model: the seed model's own, where its scores "
        "rank the replies as people did (Yuan et al. 2024, section 3.1); ranks: made from the ranks, to teach the form",
    )
    meta_judgment_share: Share = Field(
        default=0.0, description="of Open Assistant: share of the examples that are meta-judgments made from the ranks"
    )
    instruction_share: Share = Field(
        default=0.0,
        description="of Open Assistant: share of the examples that answer a prompt, by its best ranked reply",
    )

    @property
    def rankings(self) -> str | None:
        """The file of ranked replies that `source` names; None where it names something else."""
        file = (self.source or "").removeprefix(OPEN_ASSISTANT)
        return None if file == (self.source or "") else file


class Responses(SamplingSettings):
    """The actor's samples (sections 2.1, 3.1)."""

    k: Annotated[int, Field(ge=2)] = Field(description="K, response variations per prompt (section 3.1: 7)")


class Judgments(SamplingSettings):
    """The judge's samples (sections 2.1, 3.1)."""

    n: Count = Field(description="N, judgments per response (section 3.1: 11)")
    template: File | None = Field(description="a file in place of the judge prompt; null is the paper's (A.1)")
    score_words: Words = Field(
        default=PAPERS_SCORING.words,
        description="what stands before the colon and the score, as the judge prompt asks for it (A.1: Score)",
    )
    lowest_score: Worth = Field(
        default=PAPERS_SCORING.lowest, description="the lowest score of the judge prompt's scale (A.1: 0)"
    )
    highest_score: Worth = Field(
        default=PAPERS_SCORING.highest, description="the highest score of the judge prompt's scale (A.1: 5)"
    )

    score_line: Literal["sampled", "asked_again", "expectation"] = Field(
        default="sampled",
        description="where a score is from: the judgment as sampled (A.1); its line asked for again where that has "
        "none; or the expectation over the numbers of the scale at that place",
    )

    @property
    def scoring(self) -> Scoring:
        """How the judge gives its score."""
        return Scoring.of(self.model_dump())


class MetaJudgments(SamplingSettings):
    """The meta-judge's samples: every pair of judgments in both orders (section 2.2)."""

    template: File | None = Field(
        description="a file in place of the meta-judge prompt; null is the paper's (Figure 2)"
    )
    winner_words: Words = Field(
        default=PAPERS_VERDICTS.words,
        description="what stands before the colon and the winner, as the meta-judge prompt asks for it "
        "(Figure 2: Winner)",
    )
    first_name: Words = Field(
        default=PAPERS_VERDICTS.first,
        description="what the winner is called if it is the judgment shown first (Figure 2: Judgement A)",
    )
    second_name: Words = Field(
        default=PAPERS_VERDICTS.second,
        description="what the winner is called if it is the judgment shown second (Figure 2: Judgement B)",
    )
    winner_line: Literal["sampled", "asked_again"] = Field(
        default="sampled",
        description="where a winner is from: the meta-judgment as sampled (Figure 2), or its line asked for again "
        "where that has none",
    )
    sample_distinct_once: bool = Field(
        description="sample each distinct ordered pair of texts once and copy its verdict (paper: no)"
    )

    @property
    def verdicts(self) -> Verdicts:
        """How the meta-judge names the winner."""
        return Verdicts(self.winner_words, self.first_name, self.second_name)


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
    judge_pairs: Literal["as_ranked", "shuffled"] = Field(
        default="as_ranked",
        description="which judgment of a judge pair is trained on as the chosen one: as_ranked, the one with the "
        "higher Elo (section 2.2), or shuffled, by a seeded coin: a control with as many steps that prefers nothing",
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


class Evaluation(Section):
    """The held-out set of a world, the same for every model; each role is measured against the truth."""

    prompts: Count = Field(description="held-out prompts that the actor answers")
    samples: Count = Field(description="samples per held-out question of the actor and of the judge")
    judged_responses: Count = Field(description="responses of known worth that the judge scores")
    battles: Count = Field(description="pairs of judgments that the meta-judge compares, each in both orders")


class HeldOutPrompts(Section):
    """Prompts that nothing is trained on, which every model answers as the actor does."""

    source: File = Field(
        description="world; rankings, the prompts that eft.source holds out; or a file or folder of prompts, as "
        "prompts.source names one: those that are seed prompts are dropped"
    )
    prompts: Count | None = Field(
        default=None, description="prompts in use: as many as the world makes, or the first ones; null is all"
    )
    per_prompt: Count = Field(default=1, description="responses per prompt, sampled as the loop's own are")


class HumanAgreement(Section):
    """Each model's judge against people's ranks (Table 7), on replies that are held out of EFT data.

    With eft.source of Open Assistant these are its held-out replies; else a world's, whose truth stands for people.
    """

    n: Count | None = Field(default=None, description="judgments per reply (Table 7: 11); null is judgments.n")
    prompts: Count | None = Field(
        default=None, description="held-out prompts in use, three replies each in a world; null is all of the rankings'"
    )


class LabelledPairs(Section):
    """Each model's judge on pairs of which it is known which response is better."""

    source: File = Field(
        description="world, or a .jsonl or .csv file, plain or .gz, or .parquet: with prompt, chosen and rejected, or "
        "in JudgeBench's layout (absolute or under the data folder)"
    )
    pairs: Count | None = Field(
        default=None, description="pairs in use: as many as the world makes, or the first of the file; null is all"
    )
    n: Count | None = Field(default=None, description="judgments per response; null is judgments.n")
    pairwise: bool = Field(
        default=False,
        description="whether both responses are also shown in one prompt, in both orders, sampled as meta_judgments",
    )


class Probe(Section):
    """Every model's judge on the same responses: the seed model's to the held-out prompts (Figure 5)."""

    per_response: Count | None = Field(
        default=None, description="judgments per response (Figure 5: 11); null is judgments.n"
    )


class WinRates(Section):
    """Who wins on the held-out prompts, each model or the seed model, by a judge that the loop does not train."""

    judge: File = Field(
        description="who scores the responses of both: seed, the seed model; the folder of another language model "
        "(absolute or under the data folder); reward_model:FOLDER; or world, the truth"
    )
    n: Count | None = Field(
        default=None, description="judgments per response, of a judge that writes them; null is judgments.n"
    )

    @property
    def reward_model(self) -> str | None:
        """The folder of the reward model that `judge` names; None where it names something else."""
        folder = self.judge.removeprefix(REWARD_MODEL)
        return None if folder == self.judge else folder

    @property
    def folder(self) -> str | None:
        """The folder of the other language model that `judge` names; None where it names something else."""
        return None if self.reward_model is not None or self.judge in (SEED, WORLD) else self.judge


class Storage(Section):
    """What stays on disk."""

    keep_policies: Count | None = Field(
        default=None, description="of how many of a run's newest trained models the weights stay; null is all"
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
    generation: Generation = Field(
        default=Generation(), description="how seed prompts are generated, where prompts.source says so"
    )
    eft: EFT = Field(default=EFT(), description="the evaluation fine-tuning data, where there is SFT")
    sft: SFTSettings | None = Field(
        description="SFT on the EFT data; null takes the seed model itself as M_0, which then judges as it is"
    )
    responses: Responses = Field(description="sampling of responses")
    judgments: Judgments = Field(description="sampling of judgments, and what they look like")
    reward_model: RewardSettings | None = Field(
        default=None,
        description="a model that scores the responses in place of the judge; null lets the policy judge (3.5)",
    )
    meta_judgments: MetaJudgments = Field(description="sampling of meta-judgments, in iterations that train the judge")
    switches: Switches = Field(description="what the paper leaves open")
    dpo: DPOSettings = Field(description="DPO training")
    iterations: Annotated[tuple[Iteration, ...], Field(strict=False, max_length=MAX_ITERATIONS)] = Field(
        description="one row per iteration, t = 1 first"
    )
    engine: EngineSettings = Field(description="the sampling engine")
    evaluation: Evaluation | None = Field(description="measurement against the world's truth; null is none")
    held_out: HeldOutPrompts | None = Field(
        default=None, description="prompts that nothing is trained on, for every model to answer; null is none"
    )
    human_agreement: HumanAgreement | None = Field(
        default=None, description="each model's judge against people's ranks; null is none"
    )
    labelled_pairs: LabelledPairs | None = Field(
        default=None, description="each model's judge on labelled pairs; null is none"
    )
    probe: Probe | None = Field(
        default=None, description="every model judges the seed model's held-out responses; null is none"
    )
    win_rates: WinRates | None = Field(
        default=None, description="each model against the seed model on the held-out prompts; null is none"
    )
    guardrails: Guardrails = Field(
        default=Guardrails(), description="when a run is warned, and when it is stopped before it harms itself"
    )

    storage: Storage = Field(default=Storage(), description="what stays on disk")

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

    @property
    def seed_judges(self) -> bool:
        """Whether the seed model judges ranked replies, of which EFT data is made."""
        return self.sft is not None and self.eft.rankings is not None and self.eft.judged_by == "seed_model"

    @property
    def teaches_meta_judge(self) -> bool:
        """Whether EFT data may have meta-judgments: a user's file may, of rankings a share is made."""
        if self.sft is None or self.eft.source == "world":
            return False
        return self.eft.rankings is None or self.eft.meta_judgment_share > 0

    @property
    def asks_pairwise(self) -> bool:
        """Whether each model compares labelled pairs in one prompt, too."""
        return self.labelled_pairs is not None and self.labelled_pairs.pairwise

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


# Of each section, the fields that change speed and memory alone.
SPEED_FIELDS = {
    name: set(speed_fields(section))
    for name, field in Recipe.model_fields.items()
    if (section := section_of(field.annotation)) and speed_fields(section)
}
