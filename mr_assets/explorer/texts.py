"""Lists of a run's prompts, responses, judgments and meta-judgments, and of the seed model's judgments of replies.

/runs/RUN/responses?iteration=2&cut_off=yes
/runs/RUN/judgments?invalid=no_score&text=score
/runs/RUN/meta_judgments?iteration=1&invalid=any&sampled=yes
/runs/RUN/judgments?score=4..
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

import polars as pl

from mr_assets.addresses import page_of, texts_listed
from mr_assets.errors import UserError
from mr_assets.explorer.pages import PAGE, one_of, page_count, page_number
from mr_assets.ids import responses_of
from mr_assets.lineage.pairs import Between
from mr_assets.lineage.rows import read
from mr_assets.lineage.staleness import Staleness
from mr_assets.loop import LOOP, Place, titled
from mr_assets.method.dropped import REASONS
from mr_assets.printable import excerpt
from mr_assets.runs.run import Run
from mr_assets.worlds.truth import checker, true_scores

TEXTS = {
    "prompts": "prompt",
    "responses": "response",
    "judgments": "judgment",
    "meta_judgments": "meta_judgment",
    "eft_judgments": "judgment",
}
FILTERS = {
    "prompts": ("iteration", "text"),
    "responses": ("iteration", "score", "cut_off", "duplicate", "text"),
    "judgments": ("iteration", "score", "invalid", "cut_off", "text"),
    "meta_judgments": ("iteration", "winner", "invalid", "cut_off", "sampled", "text"),
    "eft_judgments": ("score", "invalid", "cut_off", "text"),
}
CHOICES = {
    "cut_off": ("yes", "no"),
    "duplicate": ("yes", "no"),
    "sampled": ("yes", "no"),
    "winner": ("first", "second"),
}
ANY = "any"
"""Every reason for which a judgment has no score, or a meta-judgment no winner."""
GIVES = {"judgments": "score", "meta_judgments": "winner", "eft_judgments": "score"}
"""What is read from a text, and is lacking in an invalid one."""


class Reason(NamedTuple):
    """For how many texts there is no score, or no winner, for a reason; and that in words."""

    reason: str
    texts: int
    why: str


@dataclass(frozen=True)
class TextList:
    """A page of rows (columns of `HEADS`, text and true_score) and what was asked for.

    score: of a judgment its own, of a response the mean of its valid ones. wrong: by filter, what is wrong with it;
    reasons: of everything that the filters beside that for the reason leave, the commonest first; stale: of which
    iterations the rows are not what the run would make now, and why.
    """

    run: Run
    kind: str
    asked: Mapping[str, str]
    wrong: Mapping[str, str]
    page: int
    count: int
    rows: list[dict[str, Any]]
    reasons: list[Reason]
    stale: list[str]

    @property
    def asks_again(self) -> bool:
        """Whether the recipe asks for what has none once more, so that a reason is why it did."""
        recipe = self.run.recipe
        by_kind = {"judgments": recipe.judgments.score_line, "meta_judgments": recipe.meta_judgments.winner_line}
        return by_kind.get(self.kind, "sampled") != "sampled"

    @classmethod
    def of(cls, run: Run, kind: str, given: Mapping[str, str], now: Mapping[Place, str]) -> "TextList":
        """What a query string asks for. Raises `UserError` if it names an unknown filter.

        now: what of the run is stale, as `mr_assets.lineage.staleness.stale_now` says.
        """
        asked = {name: given[name].strip() for name in FILTERS[kind] if given.get(name, "").strip()}
        if unknown := [name for name in given if name not in (*FILTERS[kind], "page")]:
            named = excerpt(", ".join(unknown), 80)
            raise UserError(f"unknown filter {named}. There are {', '.join(FILTERS[kind])}, page.")
        wrong, page = _wrong(run, asked, given), 1
        if wrong:
            return cls(run, kind, asked, wrong, page, 0, [], [], [])
        page = page_number(given)
        iterations: list[str | None] = [asked["iteration"]] if "iteration" in asked else [*run.iterations]
        if LOOP[kind].per == "family":
            iterations = [None]
        there = [t for t in iterations if run.record(kind, t) and run.path(kind, t).exists()]
        heads = [_heads(run, kind, t, asked) for t in there]
        found = pl.concat(heads) if heads else pl.DataFrame(schema=HEADS)
        found = found.filter(*_filters({name: value for name, value in asked.items() if name != "invalid"}))
        counts = found.group_by("invalid").len().drop_nulls().sort("len", "invalid", descending=[True, False])
        reasons = [Reason(reason, n, REASONS.get(reason, reason)) for reason, n in counts.iter_rows()]
        found = found.filter(*_filters({"invalid": asked.get("invalid")}))
        shown = found.slice((page - 1) * PAGE, PAGE)
        rows = _with_texts(run, kind, shown).to_dicts()
        stale = [f"{titled(kind, t)}: {now[kind, t]}" for t in there if (kind, t) in now]
        return cls(run, kind, asked, {}, page, found.height, rows, reasons, stale)

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return page_count(self.count)

    @property
    def truth(self) -> bool:
        """Whether the run's world knows what is listed, or what that judges, to be worth."""
        return self.kind in ("responses", "judgments") and checker(self.run.recipe) is not None

    @property
    def once(self) -> bool:
        """Whether these texts are made once: then they are of no iteration, and have no pages of their own."""
        return LOOP[self.kind].per == "family"

    @property
    def gives(self) -> str | None:
        """What is read from the texts: "score" or "winner"; None if nothing is."""
        return GIVES.get(self.kind)

    @property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """The filters that have few values, and which."""
        return {name: values for name, values in CHOICES.items() if name in FILTERS[self.kind]}

    def address(self, **changed: Any) -> str:
        """The same with something else asked for."""
        asked = {name: value for name, value in {**self.asked, **changed}.items() if value}
        return f"{page_of(self.run.name)}/{self.kind}" + (f"?{urlencode(asked)}" if asked else "")


HEADS = pl.Schema(
    {
        "id": pl.String(),
        "iteration": pl.String(),
        "score": pl.Float64(),
        "invalid": pl.String(),
        "cut_off": pl.Boolean(),
        "duplicate_of": pl.String(),
        "winner": pl.String(),
        "copied_from": pl.String(),
        "sampled": pl.Boolean(),
        "asked_again": pl.Boolean(),  # the text had no value, which was asked for again
    }
)


def _wrong(run: Run, asked: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    wrong = {}
    for name in (*asked, "page"):
        try:
            match name:
                case "iteration":
                    one_of(name, asked[name], run.iterations)
                case "score":
                    Between.parsed(asked[name])
                case "page":
                    page_number(given)
                case _ if name in CHOICES:
                    one_of(name.replace("_", " "), asked[name], CHOICES[name])
        except UserError as error:
            wrong[name] = str(error)
    return wrong


def kinds_of(run: Run) -> list[str]:
    """The texts that a run has lists of."""
    return [kind for kind in TEXTS if kind in run.loop]


def lists_of(run: Run, iteration: str | None) -> dict[str, str]:
    """The path of each of a run's lists, of an iteration or of all; what is made once is of none."""
    of = {kind: None if LOOP[kind].per == "family" else iteration for kind in kinds_of(run)}
    return {kind: texts_listed(run.name, kind, t) for kind, t in of.items()}


def _heads(run: Run, kind: str, t: str | None, asked: Mapping[str, str]) -> pl.DataFrame:
    """Every row of an iteration without its text, those alone whose text has what is searched for."""
    text, key = pl.col(TEXTS[kind]), f"{TEXTS[kind]}_id"
    wanted = text.str.to_lowercase().str.contains(asked["text"].lower(), literal=True) if "text" in asked else None
    columns = {
        "prompts": [key],
        "responses": [key, "finish_reason", "duplicate_of"],
        "judgments": [key, "finish_reason", "score", "invalid"],
        "eft_judgments": [key, "finish_reason", "score", "invalid"],
        "meta_judgments": [key, "finish_reason", "winner", "invalid", "copied_from"],
    }
    rows = read(run, kind, t, columns[kind], wanted)
    if kind == "responses" and t and Staleness(run).made_of(("judgments", t), ("responses", t)):
        scores = read(run, "judgments", t, ["response_id", "score"]).group_by("response_id").agg(pl.col("score").mean())
        rows = rows.join(scores, on="response_id", how="left", maintain_order="left")
    lacking = [pl.lit(None, dtype).alias(n) for n, dtype in HEADS.items() if n not in rows.columns]
    rows = rows.with_columns(lacking).with_columns(id=pl.col(key), iteration=pl.lit(t, pl.String))
    if "finish_reason" in rows.columns:
        rows = rows.with_columns(cut_off=pl.col("finish_reason") == "length")
    if kind in GIVES:
        given, asked_for = pl.col(GIVES[kind]).is_not_null(), pl.col("invalid").is_not_null()
        rows = rows.with_columns(invalid=pl.when(~given).then("invalid"), asked_again=given & asked_for)
    if kind == "meta_judgments":
        rows = rows.with_columns(sampled=pl.col("finish_reason").is_not_null() & pl.col("copied_from").is_null())
    return rows.select(list(HEADS)).cast(HEADS)


def _filters(asked: Mapping[str, str | None]) -> list[pl.Expr]:
    found = [Between.parsed(score).holds("score")] if (score := asked.get("score")) else []
    if reason := asked.get("invalid"):
        found.append(pl.col("invalid").is_not_null() if reason == ANY else pl.col("invalid") == reason)
    if winner := asked.get("winner"):
        found.append(pl.col("winner") == winner)
    found += [pl.col(name) == (asked[name] == "yes") for name in ("cut_off", "sampled") if name in asked]
    if "duplicate" in asked:
        found.append(pl.col("duplicate_of").is_not_null() == (asked["duplicate"] == "yes"))
    return found


def _with_texts(run: Run, kind: str, shown: pl.DataFrame) -> pl.DataFrame:
    """Rows with their text and true_score: of a response its own, of a judgment that of what it judges, if known."""
    key, text = f"{TEXTS[kind]}_id", TEXTS[kind]
    parts = [pl.DataFrame(schema={**HEADS, "text": pl.String(), "true_score": pl.Float64()})]
    for (t,), rows in shown.group_by("iteration", maintain_order=True):
        t = None if t is None else str(t)
        said = read(run, kind, t, [key, text], pl.col(key).is_in(rows["id"].implode()))
        rows = rows.join(said.rename({key: "id", text: "text"}), on="id", how="left", maintain_order="left")
        rows = rows.with_columns(response_id=responses_of("id"))
        truth = _truth(run, kind, t, rows["response_id"])
        rows = rows.join(truth, on="response_id", how="left", maintain_order="left").drop("response_id")
        parts.append(rows)
    return pl.concat(parts)


def _truth(run: Run, kind: str, t: str | None, ids: pl.Series) -> pl.DataFrame:
    """The true scores of responses, by response_id, where a world knows them and they lie there as they were judged."""
    check, judged = checker(run.recipe), kind == "judgments"
    unknown = pl.DataFrame(schema={"response_id": pl.String, "true_score": pl.Float64})
    if check is None or t is None or kind not in ("responses", "judgments"):
        return unknown
    there = all(run.record(asset, t) and run.path(asset, t).exists() for asset in ("prompts", "responses"))
    apart = judged and not Staleness(run).made_of(("judgments", t), ("responses", t))
    if not there or apart:
        return unknown
    among = pl.col("response_id").is_in(ids.implode())
    texts = read(run, "responses", t, ["response_id", "prompt_id", "response"], among)
    return true_scores(check, read(run, "prompts", t), texts)
