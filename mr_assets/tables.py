"""The tables of a run: every column, its type and its meaning. What ids say: `mr_assets.ids`.

What an asset dropped, and why (`DROPPED`), lies in a folder of its own, ``dropped/<asset>/<t>.parquet``
(`dropped_path`); in the folder of each model of checkpoints lies ``reward_margins.parquet`` (`REWARD_MARGINS`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import polars as pl

from mr_assets.errors import UserError

TOKEN_IDS = pl.List(pl.Int32)
MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))


class Column(NamedTuple):
    """One column: its polars type and what it means."""

    dtype: pl.DataType | type[pl.DataType]
    meaning: str


@dataclass(frozen=True)
class Table:
    """A table's name, the column whose values are unique, its columns in order, and the asset that makes it.

    optional: columns that follow those where some row has a value in them.
    """

    name: str
    key: str
    columns: dict[str, Column]
    asset: str | None = None  # None: the asset has the table's name
    optional: dict[str, Column] = field(default_factory=dict)

    @property
    def schema(self) -> pl.Schema:
        """Column names and types, as polars wants them."""
        return pl.Schema({name: column.dtype for name, column in self.columns.items()})

    @property
    def whole_schema(self) -> pl.Schema:
        """The same with the optional columns."""
        return pl.Schema({name: column.dtype for name, column in {**self.columns, **self.optional}.items()})

    @property
    def has_completions(self) -> bool:
        """Whether its rows are completions that were sampled, or may be."""
        return "finish_reason" in self.columns

    def empty(self) -> pl.DataFrame:
        """The table without rows."""
        return pl.DataFrame(schema=self.schema)

    def check(self, frame: pl.DataFrame | pl.LazyFrame) -> None:
        """Raise `UserError` if a column is missing, unknown or of another type."""
        came = dict(frame.collect_schema())
        more = {name: column.dtype for name, column in self.optional.items() if name in came}
        wanted = dict(self.schema) | dict(pl.Schema(more))
        if came == wanted and list(came) == list(wanted):
            return
        wrong = [f"{n} is {came[n]}, expected {t}" for n, t in wanted.items() if n in came and came[n] != t]
        missing = [n for n in wanted if n not in came]
        unknown = [n for n in came if n not in wanted]
        said = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"unknown: {', '.join(unknown)}"] * bool(unknown)
        raise UserError(
            f"table {self.name} does not have the columns it should: {'; '.join(said + wrong) or 'wrong order'}. "
            f"Materialize {self.asset or self.name} again with this version."
        )

    def scan(self, path: Path) -> pl.LazyFrame:
        """The table in a file, read lazily. Raises `UserError` if its columns are another version's."""
        frame = pl.scan_parquet(path, glob=False)  # "[" in a folder is a "["
        self.check(frame)
        return frame


class Selected(NamedTuple):
    """What an asset keeps (`rows`) and what it drops and why (`dropped`, columns of `DROPPED`)."""

    rows: pl.DataFrame
    dropped: pl.DataFrame


def _table(
    name: str,
    key: str,
    asset: str | None = None,
    optional: dict[str, Column] | None = None,
    /,
    **columns: tuple[pl.DataType | type[pl.DataType], str],
) -> Table:
    return Table(name, key, {n: Column(*c) for n, c in columns.items()}, asset, optional or {})


TURNS = {
    "turns": Column(
        MESSAGES, "the conversation whose last turn the policy answers; null where the prompt is one message"
    )
}


DROPPED = _table(
    "dropped",
    "id",
    id=(pl.String, "id of what was dropped"),
    reason=(pl.String, "why, one word_with_underscores"),
    numbers=(pl.String, "JSON object: the numbers behind the decision"),
)
SEED_PROMPTS = _table(
    "seed_prompts",
    "prompt_id",
    None,
    TURNS,
    prompt_id=(pl.String, "short hash of the text"),
    prompt=(pl.String, "the user's message; of a conversation its turns as one text, as the judge reads them"),
)
GENERATED_PROMPTS = _table(
    "generated_prompts",
    "prompt_id",
    prompt_id=(pl.String, "short hash of the text"),
    prompt=(pl.String, "the task that the answer gives"),
    request_id=(pl.String, "the request: its round, and its number there"),
    shown=(pl.List(pl.Int32), "the examples that it showed, in their order, counted from 0 in their file"),
    answer=(pl.String, "the generator's whole answer"),
)
PROMPTS = _table(
    "prompts",
    "prompt_id",
    None,
    TURNS,
    prompt_id=(pl.String, "short hash of the text"),
    prompt=(pl.String, "the user's message; of a conversation its turns as one text, as the judge reads them"),
)
RANKED_REPLIES = _table(
    "ranked_replies",
    "response_id",
    response_id=(pl.String, "eft, the prompt's hash, r and the place among the prompt's ranked replies, 0 is the best"),
    tree_id=(pl.String, "the message tree, as Open Assistant names it"),
    message_id=(pl.String, "the reply, as Open Assistant names it"),
    prompt=(pl.String, "the tree's first message"),
    response=(pl.String, "the reply to it"),
    rank=(pl.Int32, "its rank by people, as published; 0 is the best"),
    replies=(pl.Int32, "ranked replies to the prompt that are in this table"),
    held_out=(pl.Boolean, "whether the prompt is held out: nothing is trained on it"),
)
EFT_DATASET = _table(
    "eft_dataset",
    "example_id",
    example_id=(pl.String, "number of the example; of one made from rankings, what it is made of"),
    prompt=(MESSAGES, "conversation up to the judgment: the filled judge template as the user's message"),
    completion=(MESSAGES, "the judgment, as the assistant's message"),
)
EFT_KINDS = JUDGMENT, META_JUDGMENT, INSTRUCTION = "judgment", "meta_judgment", "instruction"
EFT_ORIGIN = {
    "kind": Column(pl.String, '"judgment", "meta_judgment" or "instruction"'),
    "tree_id": Column(pl.String, "the message tree that it comes of; null if a person wrote it"),
    "message_id": Column(pl.String, "the reply that is judged, or given as the answer"),
    "rank": Column(pl.Int32, "that reply's rank by people, as published; 0 is the best"),
    "judgment_id": Column(pl.String, "the seed model's judgment; null if it is made from the ranks"),
    "score": Column(pl.Float64, "the score that the judgment gives; null of other kinds, and if a person wrote it"),
}
"""Optional columns of `EFT_DATASET`, all or none of which are there: where each example comes from."""
EFT_DATASET = replace(EFT_DATASET, optional=EFT_ORIGIN)
RESPONSES = _table(
    "responses",
    "response_id",
    response_id=(pl.String, "iteration, prompt and k"),
    prompt_id=(pl.String, "the prompt answered"),
    k=(pl.Int32, "sample index, 0..K-1"),
    response=(pl.String, "the policy's answer"),
    finish_reason=(pl.String, '"stop", or "length" if cut off at max tokens'),
    duplicate_of=(pl.String, "response_id of the first identical response to the prompt, else null"),
    token_ids=(TOKEN_IDS, "the sampled token ids, with the end token if it was reached"),
)
JUDGMENTS = _table(
    "judgments",
    "judgment_id",
    judgment_id=(pl.String, "response and n"),
    response_id=(pl.String, "the response judged; duplicates are not judged"),
    n=(pl.Int32, "sample index, 0..N-1"),
    judgment=(pl.String, "the policy's judgment"),
    score=(pl.Float64, "the score that it gives, on the judge's scale; null if invalid"),
    invalid=(pl.String, "why what was sampled gives no score; null if it does"),
    finish_reason=(pl.String, '"stop", or "length" if cut off at max tokens'),
    token_ids=(TOKEN_IDS, "the sampled token ids, with the end token if it was reached"),
)
EFT_JUDGMENTS = replace(JUDGMENTS, name="eft_judgments")
ACTOR_PAIRS = _table(
    "actor_pairs",
    "pair_id",
    pair_id=(pl.String, "iteration and prompt, .actor"),
    prompt_id=(pl.String, "the prompt"),
    chosen_id=(pl.String, "response_id of the chosen response"),
    rejected_id=(pl.String, "response_id of the rejected response"),
    chosen_score=(pl.Float64, "mean valid score of the chosen response"),
    rejected_score=(pl.Float64, "mean valid score of the rejected response"),
    score_max=(pl.Float64, "Smax: highest mean score of the prompt's responses"),
    score_min=(pl.Float64, "Smin: lowest mean score of the prompt's responses"),
    rho=(pl.Float64, "length-control parameter in force"),
    chosen_chars=(pl.Int64, "length of the chosen response in characters"),
    rejected_chars=(pl.Int64, "length of the rejected response in characters"),
)
SELECTED_RESPONSES = _table(
    "selected_responses",
    "response_id",
    prompt_id=(pl.String, "the prompt"),
    response_id=(pl.String, "the response whose scores vary most"),
    score_variance=(pl.Float64, "variance of its valid scores, ddof 0"),
)
META_JUDGMENTS = _table(
    "meta_judgments",
    "meta_judgment_id",
    meta_judgment_id=(pl.String, "response and the two judgments, first shown first"),
    response_id=(pl.String, "the response whose judgments battle"),
    first_id=(pl.String, "judgment_id shown as Judgment A"),
    second_id=(pl.String, "judgment_id shown as Judgment B"),
    meta_judgment=(pl.String, "the policy's meta-judgment; null if equal texts were not battled"),
    winner=(pl.String, '"first", "second", or null for a tie or an invalid verdict'),
    invalid=(pl.String, "why what was sampled names no winner; null if it does"),
    copied_from=(pl.String, "meta_judgment_id of the sampled battle with the same ordered texts; null if sampled"),
    finish_reason=(pl.String, '"stop", or "length" if cut off; null if not sampled'),
    token_ids=(TOKEN_IDS, "the sampled token ids; null if not sampled"),
)
BATTLE_MATRICES = _table(
    "battle_matrices",
    "response_id",
    response_id=(pl.String, "the response whose judgments battled"),
    judgment_ids=(pl.List(pl.String), "the judgments, in the matrix's order"),
    matrix=(pl.List(pl.List(pl.Float64)), "B_mn: weighted wins of judgment m over judgment n"),
    omega_1=(pl.Float64, "weight of a win in first position"),
    omega_2=(pl.Float64, "weight of a win in second position"),
    win_first=(pl.Int64, "wins in first position, over the scope of the weights"),
    win_second=(pl.Int64, "wins in second position, over the scope of the weights"),
    strongly_connected=(pl.Boolean, "whether every judgment beats every other through some chain (a finite MLE)"),
)
ELO_PAIRS = _table(
    "elo_pairs",
    "pair_id",
    pair_id=(pl.String, "iteration and prompt, .judge"),
    response_id=(pl.String, "the response whose judgments are paired"),
    chosen_id=(pl.String, "judgment_id with the highest Elo"),
    rejected_id=(pl.String, "judgment_id with the lowest Elo"),
    chosen_elo=(pl.Float64, "Elo of the chosen judgment, natural units"),
    rejected_elo=(pl.Float64, "Elo of the rejected judgment, natural units"),
    elo=(pl.List(pl.Float64), "Elo of every judgment, in the battle matrix's order"),
    chosen_chars=(pl.Int64, "length of the chosen judgment in characters"),
    rejected_chars=(pl.Int64, "length of the rejected judgment in characters"),
)
DPO_DATASET = _table(
    "dpo_dataset",
    "pair_id",
    pair_id=(pl.String, "the actor or judge pair"),
    kind=(pl.String, '"actor" or "judge"'),
    prompt=(MESSAGES, "conversation before the completions"),
    chosen=(MESSAGES, "the preferred completion"),
    rejected=(MESSAGES, "the other completion"),
    prompt_token_ids=(TOKEN_IDS, "the prompt exactly as the engine saw it"),
    chosen_token_ids=(TOKEN_IDS, "the chosen completion exactly as it was sampled"),
    rejected_token_ids=(TOKEN_IDS, "the rejected completion exactly as it was sampled"),
)
REWARD_MARGINS = _table(
    "reward_margins",
    "pair_id",
    "checkpoints",
    pair_id=(pl.String, "the pair, in the order of the DPO dataset"),
    chosen_reward=(
        pl.Float64,
        "beta times (log-probability of the chosen completion under the trained model, less that under the model that "
        "it was trained from); 0 before training",
    ),
    rejected_reward=(pl.Float64, "the same of the rejected completion"),
    reward_margin=(pl.Float64, "chosen_reward less rejected_reward"),
)
EACH = {
    "true_score_each": Column(
        pl.List(pl.Float64), "true_score of each question to the actor, in order: the same for all"
    ),
    "accuracy_each": Column(pl.List(pl.Float64), "accuracy of each question to the actor"),
    "characters_each": Column(pl.List(pl.Float64), "characters of each question to the actor"),
    "judge_exact_each": Column(pl.List(pl.Float64), "judge_exact of each response to judge"),
    "meta_accuracy_each": Column(pl.List(pl.Float64), "meta_accuracy of each pair of judgments, in both orders"),
}
EVALUATION = _table(
    "evaluation",
    "model",
    None,
    EACH,  # tables of earlier versions are without
    model=(pl.String, '"seed", "M0" (the SFT model), "M1", ...'),
    true_score=(pl.Float64, "actor: mean true score of its answers to held-out prompts, 0 to 5"),
    accuracy=(pl.Float64, "actor: share of answers with the right letters"),
    characters=(pl.Float64, "actor: mean length of an answer"),
    judge_exact=(pl.Float64, "judge: share of single judgments whose score is the true one"),
    judge_spearman=(pl.Float64, "judge: rank correlation of its mean score with the truth"),
    meta_accuracy=(pl.Float64, "meta-judge: share of battles won by the judgment nearer to the truth"),
    meta_first=(pl.Float64, "meta-judge: share of decisive verdicts for the first position; 0.5 is no bias"),
)
HELD_OUT_RESPONSES = _table(
    "held_out_responses",
    "response_id",
    response_id=(pl.String, "held_out, the prompt and k: the same for every model"),
    prompt_id=(pl.String, "the prompt answered"),
    prompt=(pl.String, "the prompt as one text"),
    k=(pl.Int32, "sample index, 0..K-1"),
    response=(pl.String, "the model's answer"),
    finish_reason=(pl.String, '"stop", or "length" if cut off at max tokens'),
    true_score=(pl.Float64, "what it is worth by a world's truth, 0 to 5; null where that is not known"),
)
PLACED = {
    "over_ranked": Column(pl.Float64, "of the prompt: share of its replies that the means put above people's place"),
    "under_ranked": Column(pl.Float64, "the same, below it"),
    "same_rank": Column(pl.Float64, "the same, at it"),
}
HUMAN_AGREEMENT = _table(
    "human_agreement",
    "response_id",
    None,
    PLACED,  # tables of earlier versions are without
    response_id=(pl.String, "the reply, as ranked_replies has it; of a world held_out, its prompt, and its place"),
    prompt_id=(pl.String, "the prompt, as its replies' ids begin"),
    prompt=(pl.String, "the prompt"),
    response=(pl.String, "the reply"),
    rank=(pl.Int32, "its rank by people, 0 is the best; of a world how far its true score is from the highest one"),
    scores=(pl.List(pl.Float64), "of the model's judgments of it, null if invalid; no list if it is too long to judge"),
    mean=(pl.Float64, "mean of the valid scores; null if there is none"),
    agreement=(pl.Float64, "of the prompt: share of its pairs that the means put in people's order, a tie half of one"),
    spearman=(pl.Float64, "of the prompt: rank correlation of the means with people's ranks; 0 where all are the same"),
)
LABELLED_PAIRS = _table(
    "labelled_pairs",
    "pair_id",
    pair_id=(pl.String, "its line in the file, counted from 1 (in parquet its row); of a world its number"),
    prompt_id=(pl.String, "short hash of the prompt's text"),
    category=(pl.String, "what the file says that it is about; null if it says nothing"),
    prompt=(pl.String, "the prompt"),
    chosen=(pl.String, "the response that the label prefers"),
    rejected=(pl.String, "the other response"),
    chosen_scores=(pl.List(pl.Float64), "of the judgments of chosen, null if invalid; no list if it is too long"),
    rejected_scores=(pl.List(pl.Float64), "the same of rejected"),
    chosen_mean=(pl.Float64, "mean of the valid scores; null if there is none"),
    rejected_mean=(pl.Float64, "the same of rejected"),
    verdict=(pl.String, '"right", "wrong" or "tie", by the means; null if one side is too long'),
    accuracy=(pl.Float64, "1 if it is right, 0.5 if a tie, 0 if wrong"),
    chosen_first=(pl.String, 'with chosen shown first: "first", "second", "none" or "too_long"; null if not asked'),
    rejected_first=(pl.String, "the same, rejected shown first"),
    pairwise_verdict=(pl.String, '"right", "wrong" or "tie", by both orders; null if not asked, or too long'),
    pairwise_accuracy=(pl.Float64, "1 if that is right, 0.5 if a tie, 0 if wrong"),
)
PROBE_JUDGMENTS = replace(JUDGMENTS, name="probe_judgments")
SCORING_SHIFT = _table(
    "scoring_shift",
    "response_id",
    response_id=(pl.String, "the seed model's response to a held-out prompt"),
    prompt_id=(pl.String, "the prompt"),
    scores=(pl.List(pl.Float64), "the valid scores of the model's judgments of it, in the order of n"),
    mean=(pl.Float64, "their mean; null if there is none"),
    mean_previous=(pl.Float64, "the mean by the model before; null if there is none"),
    mean_seed=(pl.Float64, "the mean by the seed model"),
    true_score=(pl.Float64, "what the response is worth by a world's truth; null where that is not known"),
)
WIN_RATES = _table(
    "win_rates",
    "response_id",
    response_id=(pl.String, "the held-out response, of this model and of the seed model"),
    prompt_id=(pl.String, "the prompt that both answered"),
    judge=(pl.String, "who scored both: seed, world, or the folder of a model or reward model"),
    preference=(pl.Float64, "1 if this model's response has the higher score, 0.5 for a draw, 0; null without a score"),
    score=(pl.Float64, "mean valid score of this model's response, or its reward; null if it has none"),
    seed_score=(pl.Float64, "the same of the seed model's"),
    chars=(pl.Int64, "length of this model's response in characters"),
    seed_chars=(pl.Int64, "length of the seed model's"),
)
DROPPED_FOLDER = "dropped"
TABLES = {table.name: table for table in list(globals().values()) if isinstance(table, Table)}


def draws(ids: Iterable[str], seed: int | str) -> list[int]:
    """One 62-bit draw per id, the same for the same id and seed wherever and in whatever order it is asked for."""
    return [int.from_bytes(blake2b(f"{seed}|{i}".encode(), digest_size=8).digest(), "big") >> 2 for i in ids]


def dropped_frame(rows: Sequence[tuple[str, str, str]] = ()) -> pl.DataFrame:
    """A `DROPPED` frame of (id, reason, numbers as JSON) rows."""
    return pl.DataFrame(list(rows), schema=DROPPED.schema, orient="row")


def dropped_path(table: Path) -> Path:
    """Where what a table dropped is written: not beside it, so that ``<asset>/*.parquet`` are tables alone.

    data/<run>/actor_pairs/1.parquet      data/<run>/dropped/actor_pairs/1.parquet
    data/<family>/seed_prompts.parquet    data/<family>/dropped/seed_prompts.parquet
    """
    partitioned = table.stem.isdigit()  # what is made once is no iteration
    folder = table.parent.parent / DROPPED_FOLDER / table.parent.name if partitioned else table.parent / DROPPED_FOLDER
    return folder / table.name


def dropped_beside(table: Path) -> Path:
    """Where earlier versions wrote what a table dropped."""
    return table.with_suffix(".dropped.parquet")


def found_dropped(table: Path) -> Path | None:
    """Where what a table dropped lies, of this version or an earlier one; None if it drops nothing."""
    return next((path for path in (dropped_path(table), dropped_beside(table)) if path.exists()), None)


def scan_dropped(table: Path) -> pl.LazyFrame:
    """What a table dropped: rows of `DROPPED`; none if it drops nothing. Raises as `Table.scan` does."""
    path = found_dropped(table)
    return DROPPED.empty().lazy() if path is None else DROPPED.scan(path)


def version_of(rows: pl.DataFrame | pl.LazyFrame) -> str:
    """Sixteen hex digits over a table's content: names, types and values in order.

    Not over Arrow's buffers, which for the same values may differ in padding, in what lies under a null, or in whether
    there is a null mask at all.
    """
    digest = blake2b(repr(list(rows.collect_schema().items())).encode(), digest_size=8)
    for batch in rows.lazy().collect_batches(maintain_order=True, chunk_size=20_000):
        for column in batch:
            for part in _content(column):
                digest.update(part)
    return digest.hexdigest()


def _content(column: pl.Series) -> Iterator[bytes]:
    """The values of a column as bytes: length and nulls, then what is not null, lists and structs by their parts."""
    yield len(column).to_bytes(8, "little") + column.is_null().cast(pl.UInt8).to_numpy().tobytes()
    values = column.drop_nulls()
    match column.dtype:
        case pl.List():
            lengths = values.list.len()
            yield lengths.to_numpy().tobytes()
            yield from _content(values.filter(lengths > 0).explode())
        case pl.Struct():
            for field in values.struct.fields:
                yield from _content(values.struct.field(field))
        case pl.String:
            yield values.str.len_bytes().to_numpy().tobytes()
            for start in range(0, len(values), 1_000):  # a text of all of them would be there three times
                yield values.slice(start, 1_000).str.join().item().encode()
        case pl.Boolean:
            yield values.cast(pl.UInt8).to_numpy().tobytes()
        case _:
            yield values.to_numpy().tobytes()
