"""What a lineage says, as typed data.

    Lineage                   of one id in one run
      .rounds -> Round        what became of the prompt in an iteration, from its responses to the pairs
        .responses -> Response -> Judgment
        .rule -> ActorRule    what decided the actor pair
        .contest -> Contest   the judge's side: the selected response, battles, matrix, Elo
        .pairs -> Pair        the actor pair and the judge pair, with the training that took them
        .policy -> Model      who wrote it all, back to the SFT model
      .descent -> Descent     forward: which pairs came of the id
      .model -> Model         of a model's id
      .broken -> StaleLink       where what lies there now is not what it was made of

Every fact carries its `Provenance`: the asset and the Dagster run. What does not belong, because it was re-materialized
since, is not there: a field is None, or a tuple empty, and `broken` says why. Texts are as they were sampled and are
not to be trusted.
"""

from dataclasses import asdict, dataclass
from typing import Any

from mr_assets.ids import Kind, PairKind, prompt_of, sample_of
from mr_assets.judging import PAPERS_SCORING
from mr_assets.lineage.staleness import StaleLink
from mr_assets.runs.record import Record


@dataclass(frozen=True)
class Provenance:
    """What made a fact: an asset, of iteration `partition` (None: made once), in a Dagster run.

    version: of the artifact's content; created: ISO time; policy: fingerprint of the model that wrote it, if one did;
    code: version of the method's code.
    """

    asset: str
    partition: str | None
    dagster_run: str
    created: str
    version: str
    policy: str | None
    code: str

    @classmethod
    def of(cls, record: Record) -> "Provenance":
        """Who made the artifact of a record."""
        by_whom = (record.run_id, record.created, record.version, record.policy, record.code)
        return cls(record.asset, record.partition, *by_whom)


@dataclass(frozen=True)
class Dropped:
    """Something that an asset dropped: the reason as a word, in words, and the numbers behind it."""

    id: str
    reason: str
    why: str
    numbers: dict[str, Any]
    provenance: Provenance


@dataclass(frozen=True)
class Draw:
    """A tie and who won it. among: each candidate's number; the lowest wins.

    side: what was drawn, "chosen", "rejected" or "selected"; seed: what the numbers come of, with the ids.
    """

    side: str
    seed: str
    among: dict[str, int]
    winner: str


@dataclass(frozen=True)
class Prompt:
    """The prompt."""

    id: str
    text: str
    provenance: Provenance


@dataclass(frozen=True)
class Judgment:
    """One of the N judgments of a response. score: None if invalid; `why_invalid` says why in words. Beside a
    score it says why the score was asked for again.

    off: score less the true score of the response; None where that is not known.
    """

    id: str
    n: int
    text: str
    score: float | None
    invalid: str | None
    why_invalid: str | None
    finish_reason: str
    provenance: Provenance
    off: float | None = None


@dataclass(frozen=True)
class Response:
    """One of the K responses.

    chars: its length in characters; judged, valid: its judgments and those with a score; mean, variance: of the valid
    scores (ddof 0). in_top, in_bottom: the tiers it is in, by score; None where there is nothing to tell.
    selected: whether its judgments were chosen to battle. true_score: what it is worth, where known. text, chars
    and finish_reason are None where the responses were re-materialized since its judgments.
    """

    id: str
    k: int
    text: str | None
    chars: int | None
    finish_reason: str | None
    duplicate_of: str | None
    judged: int | None
    valid: int | None
    mean: float | None
    variance: float | None
    in_top: bool | None
    in_bottom: bool | None
    selected: bool | None
    judgments: tuple[Judgment, ...]
    dropped: tuple[Dropped, ...]
    provenance: Provenance
    true_score: float | None = None


@dataclass(frozen=True)
class ActorRule:
    """The rule of the actor pair with its numbers (section 2.1).

    Chosen is the shortest of `eligible`, rejected the longest of `bottom`; equally long ones are drawn.
    top: ids with a mean score in [top_from, score_max]; eligible: those that may be chosen (not cut off at max tokens,
    unless the recipe admits them); bottom: ids in [score_min, bottom_to]; max_chosen_chars: limit, None without one.
    """

    rho: float
    score_max: float
    score_min: float
    top_from: float
    bottom_to: float
    top: tuple[str, ...]
    eligible: tuple[str, ...]
    bottom: tuple[str, ...]
    max_chosen_chars: int | None
    draws: tuple[Draw, ...]
    provenance: Provenance


@dataclass(frozen=True)
class Battle:
    """A meta-judgment: `first_id` was shown as Judgment A, `second_id` as Judgment B.

    winner: "first", "second" or None, and then `why_invalid` says why; text: None if it was not sampled; copied_from:
    the battle with the same two texts whose verdict this one takes.
    """

    id: str
    first_id: str
    second_id: str
    text: str | None
    winner: str | None
    invalid: str | None
    why_invalid: str | None
    copied_from: str | None
    finish_reason: str | None
    provenance: Provenance

    @property
    def order(self) -> tuple[int, int]:
        """The sample indices of the two judgments, as they were shown."""
        return sample_of(self.first_id), sample_of(self.second_id)

    @property
    def winner_id(self) -> str | None:
        """The judgment that won."""
        return {"first": self.first_id, "second": self.second_id}.get(self.winner or "")


@dataclass(frozen=True)
class Matrix:
    """The battle matrix: cells[m][n] are the weighted wins of judgment m over n, in the order of `judgment_ids`.

    omega_1, omega_2: weights of a win in first and in second position, from win_first and win_second wins;
    strongly_connected: whether everybody beats everybody through some chain of wins.
    """

    judgment_ids: tuple[str, ...]
    cells: tuple[tuple[float, ...], ...]
    omega_1: float
    omega_2: float
    win_first: int
    win_second: int
    strongly_connected: bool
    provenance: Provenance


@dataclass(frozen=True)
class Elo:
    """The Elo of every judgment, natural units, and what decides the judge pair by it.

    top, bottom: ids within `tolerance` of the highest and of the lowest; draws: between them.
    """

    scores: dict[str, float]
    ridge: float
    tolerance: float
    top: tuple[str, ...]
    bottom: tuple[str, ...]
    max_chosen_chars: int | None
    draws: tuple[Draw, ...]
    provenance: Provenance


@dataclass(frozen=True)
class Contest:
    """The judge's side of a prompt: the response whose scores vary most, and the battles of its judgments.

    variance: of the selected response; variances: of every response that has one.
    """

    response_id: str
    variance: float
    variances: dict[str, float]
    draw: Draw | None
    battles: tuple[Battle, ...]
    matrix: Matrix | None
    elo: Elo | None
    provenance: Provenance

    @property
    def by_elo(self) -> list[int]:
        """The places of the judgments in the matrix, the highest Elo first; in its own order where none is known."""
        ids = self.matrix.judgment_ids if self.matrix else ()
        elo = self.elo.scores if self.elo else {}
        return sorted(range(len(ids)), key=lambda n: -elo.get(ids[n], 0))


@dataclass(frozen=True)
class RewardMargin:
    """The DPO reward margin of a pair: beta times the log-ratio of chosen less that of rejected, to the reference.

    before: 0 by definition, the model that is trained being its own reference; after: under the trained model, and
    chosen_after, rejected_after the two rewards that it is the difference of; None if not recorded, and then `note`
    says so. batch_before, batch_after: means over the first step's pairs and over the last epoch, as the trainer logged
    them while it went on.
    """

    before: float
    after: float | None
    chosen_after: float | None
    rejected_after: float | None
    batch_before: float | None
    batch_after: float | None
    note: str | None


MARGIN_NOTE = (
    "An earlier version trained this model and recorded means over its batches alone. Materialize checkpoints again to "
    "have the margin of every pair."
)


@dataclass(frozen=True)
class Pair:
    """A preference pair. chosen_worth, rejected_worth: mean scores of an actor pair, Elo of a judge pair.

    dataset: what took it into the DPO dataset; None if it was dropped (`dropped`) or none was made of it yet.
    trained: what trained M_t on it; margin: what is known of its reward margin then. true_gap: by how much the truth is
    on its side, below 0 against it (`mr_assets.worlds.truth`); None where it is not known.
    """

    id: str
    kind: PairKind
    chosen_id: str
    rejected_id: str
    chosen_worth: float
    rejected_worth: float
    chosen_chars: int
    rejected_chars: int
    dataset: Provenance | None
    dropped: Dropped | None
    trained: Provenance | None
    margin: RewardMargin | None
    provenance: Provenance
    true_gap: float | None = None


@dataclass(frozen=True)
class Model:
    """A model, and the one that it was trained from: M2 from M1 from M0, the SFT model.

    trained_on: the training data (dpo_dataset, or eft_dataset for M0), with its counts; numbers: the training's.
    parent: None for M0, for which `seed` names what it was finetuned from; None, too, if that was re-materialized.
    pruned: when its weights were removed as not needed any more, ISO; "" if they were not.
    """

    name: str
    path: str
    fingerprint: str
    settings: dict[str, Any]
    numbers: dict[str, Any]
    trained_on: Provenance | None
    pairs: dict[str, int]
    parent: "Model | None"
    seed: str | None
    pruned: str
    provenance: Provenance

    @property
    def line(self) -> list["Model"]:
        """The models that it comes of, the first one first, and itself."""
        return [*(self.parent.line if self.parent else ()), self]


@dataclass(frozen=True)
class Round:
    """What became of a prompt in one iteration. pairs: those that were made; dropped: everything that was not kept.

    scale: the lowest and the highest score that its judgments can give.
    """

    iteration: str
    prompt: Prompt | None
    policy: Model | None
    responses: tuple[Response, ...]
    rule: ActorRule | None
    contest: Contest | None
    pairs: tuple[Pair, ...]
    dropped: tuple[Dropped, ...]
    judge_training: bool
    scale: tuple[float, float] = (PAPERS_SCORING.lowest, PAPERS_SCORING.highest)

    @property
    def texts(self) -> dict[str, str]:
        """Every text of responses and judgments by id."""
        found = {each.id: each.text for each in self.responses if each.text is not None}
        return found | {j.id: j.text for each in self.responses for j in each.judgments}

    def pair(self, kind: PairKind) -> Pair | None:
        """The pair of a kind, if there is one."""
        return next((pair for pair in self.pairs if pair.kind == kind), None)

    def no_pair(self, kind: PairKind) -> Dropped | None:
        """Why there is no pair of a kind, if there is none: what the last asset on its way said."""
        if self.pair(kind):
            return None
        side = ("actor_pairs",) if kind == "actor" else ("elo_pairs", "battle_matrices", "selected_responses")
        selected = self.contest.response_id if self.contest else None
        for asset in (*side, "responses"):
            for each in self.dropped:
                if each.provenance.asset == asset and each.id in (selected, prompt_of(each.id)):
                    return each
        return None


@dataclass(frozen=True)
class EftJudgment:
    """A judgment of a ranked reply by the seed model. kept: whether it is an example; why: why it is not, in words."""

    id: str
    n: int
    text: str
    score: float | None
    kept: bool
    why: str | None
    provenance: Provenance


@dataclass(frozen=True)
class Example:
    """An example of the EFT dataset that is made of a ranked reply. judgment_id: None if it is made of its rank."""

    id: str
    kind: str
    asked: str
    said: str
    score: float | None
    judgment_id: str | None
    provenance: Provenance


@dataclass(frozen=True)
class Reply:
    """A ranked reply of Open Assistant, and what was made of it for the EFT dataset.

    rank: by people, as published, 0 is the best; replies: how many of the prompt's are ranked; held_out: whether
    nothing is trained on its prompt. dropped: what was made of it and is no example.
    """

    id: str
    tree_id: str
    message_id: str
    rank: int
    replies: int
    held_out: bool
    prompt: str
    text: str
    judgments: tuple[EftJudgment, ...]
    examples: tuple[Example, ...]
    dropped: tuple[Dropped, ...]
    provenance: Provenance

    @property
    def texts(self) -> dict[str, str]:
        """Every text of it by id."""
        judged = {each.id: each.text for each in self.judgments}
        return {self.id: self.text, **{each.id: each.said for each in self.examples}, **judged}


@dataclass(frozen=True)
class Descent:
    """A pair that came of an id, and the part that the id had in it.

    direct: whether its own text is in the pair, or made the pair's judgments; else it was weighed with the others.
    """

    pair_id: str
    kind: PairKind
    role: str
    direct: bool
    provenance: Provenance


@dataclass(frozen=True)
class Lineage:
    """The whole lineage of an id.

    rounds: one, or for a prompt one per iteration that drew it; none for a model. descent: the pairs that came of it;
    models: those trained on one of them, and all that were trained from those. For a model: `model` is it, descent
    what it wrote (iteration t+1) and was trained on (iteration t). reply: for a ranked reply, and what was made of it.
    """

    run: str
    id: str
    kind: Kind
    rounds: tuple[Round, ...]
    model: Model | None
    descent: tuple[Descent, ...]
    models: tuple[Model, ...]
    broken: tuple[StaleLink, ...]
    reply: Reply | None = None

    def as_json(self) -> dict[str, Any]:
        """For programs: everything, with names."""
        return asdict(self)
