"""What a run asks of the engine and of the trainer, stage by stage: requests, tokens, steps.

    judgments of iteration 1: 35,000 requests, 385,000 completions, 321M tokens in (93% cached), 46M out
    checkpoints of iteration 1: 10,000 pairs, 6 epochs, 1,878 steps, 14.6M tokens per epoch

Counts are those that the loop makes of the recipe's numbers. Where they depend on what is sampled they are upper
bounds, and say why; `BoundShares` of an earlier run bring them down.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil

from mr_assets.loop import titled
from mr_assets.planning.lengths import Lengths, Pieces
from mr_assets.recipes.recipe import GENERATED, WORLD, Recipe

EFT_EXAMPLES = 1630
"""Where the recipe does not say how many EFT examples there are: as many as Yuan et al. (2024) trained on."""
EFT_REPLIES = 7200
"""Where ranked replies were not counted: three to each of 3,200 prompts (Yuan et al. 2024), a quarter held out."""
HELD_OUT_PROMPTS = 531
"""Where the recipe does not say how many held-out prompts it takes: as many as Yuan et al. (2024) held out."""
REPLIES = 3
"""Ranked replies to a prompt, about so many."""
PAIRS = 350
"""Where labelled pairs were not counted: as many as JudgeBench has of GPT-4o's (Tan et al. 2024)."""
PAIRS_NOT_COUNTED = "the recipe does not say how many labelled pairs there are"
BLOCK = 16
"""Tokens of the prefix cache's unit on a GPU: what is shared beyond the last whole one is computed again."""
TASK_LABEL = 4
"""Tokens of "Task 3: " and the blank line after a task."""
DUPLICATES = "equal responses to a prompt are judged once"
UNSCORED = "judgments without a score, and two with the same text, do not battle"
NO_PAIR = "not every prompt gives a pair"
NOT_COUNTED_PROMPTS = "the recipe does not say how many held-out prompts there are"
NOT_COUNTED = "the recipe does not say how many ranked replies there are"

BoundShares = Mapping[str, float]
"""By what was counted, how much of the upper bound an earlier run had: {"judgments": 0.97, "meta_judgments": 0.6}."""


@dataclass(frozen=True)
class Sampling:
    """What one asset asks of the engine.

    requests: prompts; completions: of all of them; tokens_in: of the prompts, counted for each completion;
    tokens_computed: what of these a prefix cache that forgets nothing leaves to compute; tokens_out: sampled.
    at_most: why the counts are an upper bound; "" if they are exact. by: the folder of another model than the loop's.
    """

    asset: str
    partition: str | None
    requests: int
    completions: int
    tokens_in: int
    tokens_computed: int
    tokens_out: int
    at_most: str = ""
    by: str | None = None

    @property
    def title(self) -> str:
        """As a person would call it."""
        return titled(self.asset, self.partition)

    @property
    def cached(self) -> float:
        """The ceiling of the prefix cache's hit rate."""
        return 1 - self.tokens_computed / self.tokens_in if self.tokens_in else 0.0

    @property
    def prompt(self) -> float:
        """Mean tokens of a prompt."""
        return self.tokens_in / max(1, self.completions)

    @property
    def answer(self) -> float:
        """Mean tokens of a completion."""
        return self.tokens_out / max(1, self.completions)


@dataclass(frozen=True)
class Training:
    """What one asset asks of the trainer.

    examples: pairs in DPO; epochs: those that are trained, of the schedule; steps: of the optimizer, in all of them;
    tokens: of one epoch, prompts and completions, of a pair both sides. at_most: as in `Sampling`.
    """

    asset: str
    partition: str | None
    examples: int
    epochs: int
    steps: int
    tokens: int
    at_most: str = ""

    @property
    def title(self) -> str:
        """As a person would call it."""
        return titled(self.asset, self.partition)


Stage = Sampling | Training


@dataclass
class _Prompts:
    """Counts what must be computed of prompts that share beginnings: piece by piece, how many differ so far."""

    length: float = 0.0
    computed: float = 0.0
    different: float = 1.0

    def add(self, tokens: float, different: float = 1.0) -> None:
        """A piece of so many tokens, of which there are `different` ones."""
        if different > self.different:
            self.computed += different * min(BLOCK / 2, self.length)
            self.different = different
        self.computed += tokens * self.different
        self.length += tokens

    def sampled(self, n: int) -> "_Prompts":
        """The same where `n` completions of each are sampled: each but the first computes its last block again."""
        self.computed += (n - 1) * self.different * min(BLOCK / 2, self.length)
        return self


def stages(
    recipe: Recipe, lengths: Lengths, shares: BoundShares | None = None, replies: int | None = None
) -> list[Stage]:
    """Every stage that samples or trains, in the order of the loop; what the family has one of comes first.

    replies: ranked replies to train on, where EFT data is made of rankings and they were counted.
    """
    shares = shares or {}
    by_model = recipe.prompts.source == GENERATED and not recipe.prompts.by_endpoint
    found: list[Stage] = [generation(recipe, lengths)] if by_model else []
    found += [ranked(recipe, lengths, replies)] if recipe.seed_judges else []
    found += [sft(recipe, lengths, replies)] if recipe.sft else []
    found += [stage for model in ("seed", "0") for stage in by_models(recipe, lengths, model, replies)]
    for t in range(1, len(recipe.iterations) + 1):
        found += [*samplings(recipe, lengths, t, shares), dpo(recipe, lengths, t, shares)]
        found += by_models(recipe, lengths, str(t), replies)
    return found


def by_models(recipe: Recipe, lengths: Lengths, model: str, replies: int | None) -> Iterator[Sampling]:
    """What is sampled to measure one model. replies: as in `stages`."""
    if recipe.evaluation:
        yield evaluation(recipe, lengths, model)
    if recipe.held_out:
        yield held_out_responses(recipe, lengths, model)
    if recipe.win_rates and recipe.win_rates.judge != WORLD:
        yield win_rates(recipe, lengths, model)
    if recipe.human_agreement:
        yield human_agreement(recipe, lengths, model, replies)
    if recipe.labelled_pairs:
        yield labelled_pairs(recipe, lengths, model)
    if recipe.probe:
        yield probe_judgments(recipe, lengths, model)


def generation(recipe: Recipe, lengths: Lengths) -> Sampling:
    """generated_prompts by the seed model or another one, if every answer gives a prompt.

    Each request shows examples as long as prompts.
    """
    count, shots = recipe.prompts.count or 0, recipe.generation.shots
    asked = _Prompts()
    asked.add(lengths.chat)
    asked.add(shots * (lengths.prompt + TASK_LABEL) + lengths.chat, count)
    return replace(_sampling("generated_prompts", None, count, 1, asked, lengths.prompt), by=recipe.prompts.generator)


def ranked(recipe: Recipe, lengths: Lengths, replies: int | None) -> Sampling:
    """eft_judgments: the seed model judges each ranked reply as the judge does a response."""
    count, n = replies or EFT_REPLIES, recipe.judgments.n
    judge = _filled(lengths, lengths.judge, prompt=count, response=count).sampled(n)
    return _sampling("eft_judgments", None, count, n, judge, lengths.judgment, "" if replies else NOT_COUNTED)


def samplings(recipe: Recipe, lengths: Lengths, t: int, shares: BoundShares) -> Iterator[Sampling]:
    """responses, judgments and, where the judge is trained, meta_judgments of iteration `t`."""
    row, k, n = recipe.row(t), recipe.responses.k, recipe.judgments.n
    partition = str(t)
    yield _sampling("responses", partition, row.prompts, k, _prompts(lengths, row.prompts, k), lengths.response)

    judged = _share(row.prompts * k, shares, "judgments")
    if recipe.reward_model is not None:
        yield rewards(lengths, "judgments", partition, judged, recipe.reward_model.folder, DUPLICATES)
    else:
        judge = _filled(lengths, lengths.judge, prompt=row.prompts, response=judged).sampled(n)
        yield _sampling("judgments", partition, judged, n, judge, lengths.judgment, DUPLICATES)

    if row.judge_training:
        battles = _share(row.prompts * n * (n - 1), shares, "meta_judgments")
        a, b = min(battles, row.prompts * n), battles
        selected = {"prompt": row.prompts, "response": row.prompts}
        meta = _filled(lengths, lengths.meta_judge, **selected, judgment_a=a, judgment_b=b)
        yield _sampling("meta_judgments", partition, battles, 1, meta, lengths.meta_judgment, UNSCORED)


def rewards(lengths: Lengths, asset: str, partition: str, responses: int, by: str, at_most: str = "") -> Sampling:
    """Rewards of so many responses: each is read with its prompt, nothing is sampled, and no beginning is cached.

    by: the reward model's folder.
    """
    read = _Prompts()
    read.add(lengths.asked + lengths.response, responses)
    return replace(_sampling(asset, partition, responses, 1, read, 0.0, at_most), by=by)


def sft(recipe: Recipe, lengths: Lengths, replies: int | None = None) -> Training:
    """sft_checkpoint: each EFT example is a judge prompt and its judgment. replies: as in `stages`."""
    assert recipe.sft is not None
    examples = recipe.eft.examples or EFT_EXAMPLES
    why = "" if recipe.eft.examples else "the recipe does not say how many EFT examples there are"
    if replies:
        judged = replies * recipe.judgments.n if recipe.seed_judges else replies
        most = int(judged / (1 - recipe.eft.meta_judgment_share - recipe.eft.instruction_share))
        examples, why = min(examples, most), "not every ranked reply gives an example"
    per_epoch = ceil(examples / recipe.sft.batch_size)
    epochs = recipe.sft.keep_epoch
    tokens = round(examples * (lengths.judge_prompt + lengths.judgment))
    return Training("sft_checkpoint", None, examples, epochs, per_epoch * epochs, tokens, why)


def dpo(recipe: Recipe, lengths: Lengths, t: int, shares: BoundShares) -> Training:
    """checkpoints of iteration `t`: one actor pair per prompt and, where the judge is trained, one judge pair."""
    row = recipe.row(t)
    actor = _share(row.prompts, shares, "actor_pairs")
    judge = _share(row.prompts, shares, "elo_pairs") if row.judge_training else 0
    if cap := recipe.switches.judge_share_cap:
        judge = min(judge, int(actor * cap / (1 - cap)))
    tokens = 2 * actor * (lengths.asked + lengths.response) + 2 * judge * (lengths.judge_prompt + lengths.judgment)
    epochs = recipe.dpo.schedule_epochs if recipe.dpo.keep_all_epochs else row.keep_epoch
    steps = ceil((actor + judge) / recipe.dpo.batch_size) * epochs
    return Training("checkpoints", str(t), actor + judge, epochs, steps, round(tokens), NO_PAIR)


def evaluation(recipe: Recipe, lengths: Lengths, model: str) -> Sampling:
    """evaluation of one model: its three roles together."""
    assert recipe.evaluation is not None
    sizes = recipe.evaluation
    n, judged, pairs, battles = sizes.samples, sizes.judged_responses, sizes.battles, 2 * sizes.battles
    graded = _filled(lengths, lengths.judge, prompt=judged, response=judged).sampled(n)
    selected = {"prompt": pairs, "response": pairs}
    compared = _filled(lengths, lengths.meta_judge, **selected, judgment_a=battles, judgment_b=battles)
    roles = (
        (_prompts(lengths, sizes.prompts, n), sizes.prompts * n, lengths.response),
        (graded, judged * n, lengths.judgment),
        (compared, battles, lengths.meta_judgment),
    )
    return Sampling(
        "evaluation",
        model,
        sizes.prompts + judged + battles,
        sum(completions for _, completions, _ in roles),
        round(sum(prefixes.length * completions for prefixes, completions, _ in roles)),
        round(sum(prefixes.computed for prefixes, _, _ in roles)),
        round(sum(completions * answer for _, completions, answer in roles)),
    )


def held_out_responses(recipe: Recipe, lengths: Lengths, model: str) -> Sampling:
    """held_out_responses of one model."""
    assert recipe.held_out is not None
    k, count = recipe.held_out.per_prompt, recipe.held_out.prompts
    why = "" if count else NOT_COUNTED_PROMPTS
    prompts = count or HELD_OUT_PROMPTS
    return _sampling("held_out_responses", model, prompts, k, _prompts(lengths, prompts, k), lengths.response, why)


def human_agreement(recipe: Recipe, lengths: Lengths, model: str, replies: int | None) -> Sampling:
    """human_agreement of one model: it judges the held-out replies as the judge does responses."""
    section, held_out = recipe.human_agreement, recipe.eft.held_out
    assert section is not None
    prompts, why = section.prompts, ""
    if recipe.eft.rankings:
        held = (replies or EFT_REPLIES) / (1 - held_out) * held_out / REPLIES
        prompts, why = round(min(held, section.prompts or held)), NOT_COUNTED
    count, n = (prompts or 0) * REPLIES, section.n or recipe.judgments.n
    judge = _filled(lengths, lengths.judge, prompt=count / REPLIES, response=count).sampled(n)
    return _sampling("human_agreement", model, count, n, judge, lengths.judgment, why)


def labelled_pairs(recipe: Recipe, lengths: Lengths, model: str) -> Sampling:
    """labelled_pairs of one model: both sides as the judge; side by side, in both orders, as the meta-judge."""
    section = recipe.labelled_pairs
    assert section is not None
    pairs, n = section.pairs or PAIRS, section.n or recipe.judgments.n
    judge = _filled(lengths, lengths.judge, prompt=pairs, response=2 * pairs).sampled(n)
    why = "" if section.pairs else PAIRS_NOT_COUNTED
    alone = _sampling("labelled_pairs", model, 2 * pairs, n, judge, lengths.judgment, why)
    if not section.pairwise:
        return alone
    compared = _Prompts()
    compared.add(lengths.judge_prompt + lengths.response, 2 * pairs)
    both = _sampling("labelled_pairs", model, 2 * pairs, 1, compared, lengths.meta_judgment, why)
    counts = ("requests", "completions", "tokens_in", "tokens_computed", "tokens_out")
    return replace(alone, **{name: getattr(alone, name) + getattr(both, name) for name in counts})


def probe_judgments(recipe: Recipe, lengths: Lengths, model: str) -> Sampling:
    """probe_judgments of one model: it judges the seed model's responses to the held-out prompts."""
    assert recipe.held_out is not None
    assert recipe.probe is not None
    prompts, n = recipe.held_out.prompts or HELD_OUT_PROMPTS, recipe.probe.per_response or recipe.judgments.n
    responses = prompts * recipe.held_out.per_prompt
    judge = _filled(lengths, lengths.judge, prompt=prompts, response=responses).sampled(n)
    why = DUPLICATES if recipe.held_out.prompts else NOT_COUNTED_PROMPTS
    return _sampling("probe_judgments", model, responses, n, judge, lengths.judgment, why)


def win_rates(recipe: Recipe, lengths: Lengths, model: str) -> Sampling:
    """win_rates of one model: its held-out responses and the seed's are judged; the seed's own once."""
    section, answered = recipe.win_rates, held_out_responses(recipe, lengths, model)
    assert section is not None
    responses = answered.completions * (1 if model == "seed" else 2)
    why = answered.at_most or DUPLICATES
    if section.reward_model is not None:
        return rewards(lengths, "win_rates", model, responses, section.reward_model, why)
    n = section.n or recipe.judgments.n
    judge = _filled(lengths, lengths.judge, prompt=answered.requests, response=responses).sampled(n)
    return replace(_sampling("win_rates", model, responses, n, judge, lengths.judgment, why), by=section.folder)


def _sampling(
    asset: str, partition: str | None, requests: int, n: int, prompts: _Prompts, answer: float, at_most: str = ""
) -> Sampling:
    completions = requests * n
    tokens_in = prompts.length * completions
    counts = (round(tokens_in), round(min(prompts.computed, tokens_in)), round(answer * completions))
    return Sampling(asset, partition, requests, completions, *counts, at_most)


def _prompts(lengths: Lengths, prompts: int, n: int) -> _Prompts:
    """The users' prompts, each of which `n` completions share."""
    found = _Prompts()
    found.add(lengths.chat)
    found.add(lengths.prompt + lengths.chat, prompts)
    return found.sampled(n)


def _filled(lengths: Lengths, pieces: Pieces, **different: float) -> _Prompts:
    """A filled template; `different`: how many beginnings differ once a text is inserted, by the text's name."""
    found = _Prompts()
    found.add(lengths.chat)
    for name, tokens in lengths.filled(pieces):
        found.add(tokens, different.get(name, 1.0))
    found.add(lengths.chat)
    return found


def _share(most: int, shares: BoundShares, name: str) -> int:
    return round(most * shares.get(name, 1.0))
