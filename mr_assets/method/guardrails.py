"""The guardrails: is a table fit to go on with? Pure measurements, held against the bounds of the recipe.

    Expected at least 90% of judgments to give a score (below 50% training stops), came 43.1%: 431 of 1,000, left out
    569 no_score. Read the column invalid of judgments; ...

A check is *harmful* where training on such data would do harm: it stops training. Beyond the milder bound it is a
*warning*. The paper's own biases (Table 5) warn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import polars as pl

from mr_assets.bounds import Bounds, Guardrails
from mr_assets.errors import shown
from mr_assets.method import Frame
from mr_assets.method.dropped import REASONS, setting_behind
from mr_assets.method.judgments import TOP_SCORE
from mr_assets.method.numbers import score_counts, score_entropy, win_shares
from mr_assets.tables import (
    ACTOR_PAIRS,
    BATTLE_MATRICES,
    DPO_DATASET,
    EFT_DATASET,
    ELO_PAIRS,
    JUDGMENTS,
    META_JUDGMENTS,
    PROMPTS,
    RESPONSES,
    SEED_PROMPTS,
    SELECTED_RESPONSES,
    Table,
)

Level = Literal["passed", "warning", "harmful"]
Tables = Mapping[str, Frame]
PREVIOUS = "responses of the iteration before"  # a name beside those of the tables


@dataclass(frozen=True)
class Finding:
    """What a check found: how bad, the numbers behind it, and a sentence: expected, came, what to do next."""

    asset: str
    name: str
    level: Level
    numbers: dict[str, float | int]
    said: str
    limit: str | None = None  # the field of the recipe's guardrails that has the bounds
    measured: "Measured | None" = None  # what the bounds were held against

    @property
    def passed(self) -> bool:
        """Whether all is well."""
        return self.level == "passed"


class Measured(NamedTuple):
    """A number to hold against the bounds, the rows that it was made of, and how it came about.

    cause: what it most likely comes of, as a sentence; why: what lies behind it (`Background.why`); departed: whether
    that is a departure from the recipe. They are shown where the check does not pass.
    """

    value: float
    rows: int
    came: str
    numbers: dict[str, float | int]
    cause: str = ""
    why: str = ""
    departed: bool = False


Measure = Callable[[Tables], Measured | None]


class Departed(NamedTuple):
    """A setting that a person chose for one artifact in place of the recipe's: "judgments", "max_tokens", 5, 128."""

    asset: str
    setting: str
    used: Any
    recipe: Any
    path: str  # as records name it

    def __str__(self) -> str:
        return f"{self.asset} with {self.setting} = {shown(self.used)} (the recipe: {shown(self.recipe)})"


class Background(NamedTuple):
    """What may lie behind a finding on an artifact.

    dropped: what it left out (`DROPPED`), if it selects; settings: those it was made with, by path; departed: what was
    chosen in place of the recipe for it and for what it is made of.
    """

    dropped: Frame | None = None
    settings: Mapping[str, Any] = {}
    departed: tuple[Departed, ...] = ()

    def why(self, asset: str, *, left_out: bool) -> tuple[str, bool]:
        """The cause in sentences, and whether a departure from the recipe is behind it.

        left_out: whether what was left out explains the finding; then the most frequent reason is named with its
        count, and the setting that decides it.
        """
        said, mine = [], [d for d in self.departed if d.asset == asset]
        if left_out and (found := self._most(asset)):
            reason, count, total = found
            path = setting_behind(asset, reason)
            value = _at(self.settings, path) if path else None
            by = "" if value is None else f", by {path} = {shown(value)}"
            words = REASONS.get(reason, reason)
            said.append(f"Most were left out as {reason} ({words}): {count:,} of {total:,}{by}.")
            if path and any(d.path == path for d in mine):
                mine = [d for d in mine if d.path == path]
            elif path and value is not None:
                said.append(f"{path} is as the recipe says.")
        behind = [*mine, *(d for d in self.departed if d.asset != asset)]
        if behind:
            which, again = ", ".join(map(str, behind)), ", ".join(dict.fromkeys(d.asset for d in behind))
            said.append(
                f"This departs from the recipe: {which}. The bound is not what is wrong: go back to the recipe's value "
                f"(leave the field out in the launchpad, or mr run with --as-recipe) and materialize {again} again."
            )
        return " ".join(said), bool(behind)

    def _most(self, asset: str) -> tuple[str, int, int] | None:
        """The most frequent reason, how often it is given, and how many were left out."""
        if self.dropped is None:
            return None
        left_out = _collect(self.dropped, "id", "reason")
        if asset == "actor_pairs":  # prompts without a pair; responses without a score are beside the point
            left_out = left_out.filter(~pl.col("id").str.contains(".", literal=True))
        counts = left_out.group_by("reason").len().sort("len", "reason", descending=[True, False])
        return None if counts.is_empty() else (*counts.row(0), left_out.height)


def _at(settings: Mapping[str, Any], path: str) -> Any:
    """A setting by its path, be it stored by it or within its section."""
    if path in settings:
        return settings[path]
    section, _, leaf = path.rpartition(".")
    return settings.get(section, {}).get(leaf) if section else None


NOTHING_KNOWN = Background()


@dataclass(frozen=True)
class Check:
    """One check of one asset's table.

    limit: the recipe's bounds, guardrails.<limit>; or bounds that are no choice (any value above 0 is too much).
    expects: what a good table is like, with {} for the bound. next: what to do if it is not.
    measure: takes the tables by name; None if one of `needs` says that there is nothing to compare.
    """

    asset: str
    name: str
    limit: str | Bounds
    expects: str
    next: str
    measure: Measure
    needs: tuple[str, ...] = ()
    counted: bool = False  # whether few rows (guardrails.min_count) say nothing
    unit: Literal["%", "times", "bits"] = "%"
    left_out: bool = False  # whether what the asset left out explains what was found

    def bounds(self, limits: Guardrails) -> Bounds:
        """Where it warns and where it stops."""
        return self.limit if isinstance(self.limit, Bounds) else getattr(limits, self.limit)

    def find(self, tables: Tables, limits: Guardrails, background: Background = NOTHING_KNOWN) -> Finding:
        """The finding on these tables; where there is nothing to measure, it passes and says so.

        What lies behind a finding that does not pass is told from the `background`.
        """
        missing = [name for name in self.needs if name not in tables]
        measured = None if missing else self.measure(tables)
        if measured is None:
            return self.passes(f"Nothing to compare: there are no {missing[0] if missing else 'rows'}.")
        why, departed = background.why(self.asset, left_out=self.left_out)
        return self.judge(measured._replace(why=why, departed=departed), limits)

    def judge(self, measured: Measured, limits: Guardrails) -> Finding:
        """The finding on what was measured, be it just now or when the table was made."""
        if self.counted and measured.rows < limits.min_count:
            few = f"Too few to tell: {_rows(measured.rows)}, guardrails.min_count is {limits.min_count}"
            said = f"{few}. Came {measured.came}."
            return Finding(self.asset, self.name, "passed", measured.numbers, said, measured=measured)
        bounds = self.bounds(limits)
        level: Level = "passed"
        for bound, reached in ((bounds.warn, "warning"), (bounds.stop, "harmful")):
            if bound is not None and self._beyond(measured.value, bound):
                level = cast(Level, reached)
        numbers = {**measured.numbers, "value": measured.value}
        numbers |= {k: v for k, v in (("warns at", bounds.warn), ("stops at", bounds.stop)) if v is not None}
        said = f"{self.expected(limits)}, came {measured.came}."
        if level != "passed":
            hint = "" if measured.departed else self.next
            said = " ".join(filter(None, (said, measured.cause, measured.why, hint)))
        limit = self.limit if isinstance(self.limit, str) else None
        return Finding(self.asset, self.name, level, numbers, said, limit, measured)

    def passes(self, why: str) -> Finding:
        """The finding where the check does not apply."""
        return Finding(self.asset, self.name, "passed", {}, why)

    @property
    def _is_lower(self) -> bool:
        return isinstance(self.limit, str) and self.limit.endswith("_at_least")

    def _beyond(self, value: float, bound: float) -> bool:
        return value < bound - 1e-12 if self._is_lower else value > bound + 1e-12

    def expected(self, limits: Guardrails) -> str:
        """What is expected; the bound that stops training is named where it is not the one that warns."""
        bounds = self.bounds(limits)
        first = bounds.stop if bounds.warn is None else bounds.warn
        if first is None:
            return "No bounds are set"
        expected = f"Expected {self.expects.format(self._shown(first))}"
        if bounds.stop in (None, first):
            return expected
        return f"{expected} ({'below' if self._is_lower else 'above'} {self._shown(bounds.stop)} training stops)"

    def _shown(self, value: float) -> str:
        return f"{100 * value:.3g}%" if self.unit == "%" else f"{value:.3g} {self.unit}"


def findings(asset: str, tables: Tables, limits: Guardrails, background: Background = NOTHING_KNOWN) -> list[Finding]:
    """What the checks of `asset` find in its table and those that it was made of (`tables`, by name)."""
    return [check.find(tables, limits, background) for check in CHECKS if check.asset == asset]


def judged(asset: str, measured: Mapping[str, Mapping[str, Any]], limits: Guardrails) -> list[Finding]:
    """What the checks of `asset` find in what they measured earlier (fields of `Measured`, by the check's name).

    What another version measured, and this one cannot read, is left out.
    """
    needed = set(Measured._fields) - set(Measured._field_defaults)
    known = {name: {f: each[f] for f in Measured._fields if f in each} for name, each in measured.items()}
    return [
        check.judge(Measured(**known[check.name]), limits)
        for check in CHECKS
        if check.asset == asset and needed <= set(known.get(check.name, ()))
    ]


def harmful(found: Sequence[Finding]) -> list[Finding]:
    """Those that must stop training."""
    return [finding for finding in found if finding.level == "harmful"]


def _rows(count: int) -> str:
    return f"{count:,} row{'s' if count != 1 else ''}"


def _collect(frame: Frame, *columns: Any) -> pl.DataFrame:
    return frame.lazy().select(*columns).collect(engine="streaming")


def _share(part: int, whole: int, what: str, of: str, more: str = "") -> Measured | None:
    """`part` of `whole` as a measured share; None of nothing."""
    if not whole:
        return None
    came = f"{100 * part / whole:.3g}%: {part:,} of {whole:,}{more}"
    return Measured(part / whole, whole, came, {what: part, of: whole})


# ------------------------------------------------------------------------------------------------------- any table


def _empty(name: str) -> Measure:
    def measure(tables: Tables) -> Measured:
        rows = _collect(tables[name], pl.len()).item()
        return Measured(float(rows == 0), 1, _rows(rows), {"rows": rows})

    return measure


def _duplicates(table: Table) -> Measure:
    def measure(tables: Tables) -> Measured | None:
        key = pl.col(table.key)
        rows, ids = _collect(tables[table.name], pl.len().alias("rows"), key.n_unique().alias("ids")).row(0)
        return _share(rows - ids, rows, "repeated ids", "rows")

    return measure


def _orphans(name: str, columns: Sequence[str], parents: Sequence[str], key: str) -> Measure:
    def measure(tables: Tables) -> Measured | None:
        known = pl.concat([_collect(tables[parent], key) for parent in parents])[key]
        named = _collect(tables[name], *columns)
        lost = named.select(pl.any_horizontal(~pl.col(c).is_in(known.implode()) for c in columns).sum()).item()
        return _share(int(lost), named.height, "rows with an unknown id", "rows")

    return measure


# -------------------------------------------------------------------------------------------- judge and meta-judge


def _parsed(name: str, value: str) -> Measure:
    def measure(tables: Tables) -> Measured | None:
        frame = tables[name].lazy()
        if name == "meta_judgments":
            frame = frame.filter(pl.col("meta_judgment").is_not_null() & pl.col("copied_from").is_null())
        reasons = frame.group_by("invalid").agg(rows=pl.len(), given=pl.col(value).count()).collect(engine="streaming")
        rows, given = (int(reasons[c].sum()) for c in ("rows", "given"))
        why = reasons.filter(pl.col("invalid").is_in(list(REASONS))).sort("rows", "invalid", descending=[True, False])
        others = ", ".join(f"{n:,} {reason}" for reason, n in why.select("invalid", "rows").iter_rows())
        return _share(given, rows, f"with a {value}", "all", f", the others {others}" if others else "")

    return measure


NEAR = 0.8  # of max_tokens: where completions that end are so long, others that need a little more are likely


def _cut_off(name: str) -> Measure:
    def measure(tables: Tables) -> Measured | None:
        frame = tables[name].lazy()
        columns = frame.collect_schema()
        if "finish_reason" not in columns:
            return None
        if name == "meta_judgments":
            frame = frame.filter(pl.col("finish_reason").is_not_null() & pl.col("copied_from").is_null())
        tokens = pl.col("tokens") if "tokens" in columns else pl.col("token_ids").list.len()
        took = [getattr(tokens, figure)().cast(pl.Int64).alias(figure) for figure in ("max", "median")]
        found = {
            how: (rows, longest, median)
            for how, rows, longest, median in frame.group_by("finish_reason").agg(pl.len(), *took).collect().iter_rows()
        }
        cut, limit, _ = found.get("length", (0, 0, 0))
        ended, longest, median = found.get("stop", (0, 0, 0))
        share = _share(cut, cut + ended, "cut off", "all")
        if share is None or not cut:
            return share
        if not ended:
            return share._replace(
                came=f"{share.came}, after {limit:,} tokens, and none ended by itself",
                cause="If they go on after all is said, the model does not write the end token of its chat template: "
                f"more tokens help nothing, it needs a template that it knows. If they break off midway, "
                f"{name}.max_tokens = {limit} is too few.",
            )
        return share._replace(
            came=f"{share.came}, after {limit:,} tokens; those that ended took {median:,}, {longest:,} at most",
            numbers={**share.numbers, "tokens at most": limit, "longest that ended": longest},
            cause=f"Many need nearly all of their tokens: raise {name}.max_tokens."
            if longest >= NEAR * limit
            else f"They run on without an end, and more than {name}.max_tokens = {limit} would hardly help: a model "
            "that repeats itself was trained too far, or is sampled too hot.",
        )

    return measure


def _entropy(tables: Tables) -> Measured | None:
    scores = score_counts(tables["judgments"])
    if scores.is_empty():
        return None
    entropy, total = score_entropy(scores["n"]), int(scores["n"].sum())
    score, most = scores.sort("n", "score", descending=True).row(0)
    came = f"{entropy:.3g} bits: {most:,} of {total:,} scores are {score:g}"
    return Measured(entropy, total, came, {"bits": entropy, "scores": total, "different scores": scores.height})


def _top_scores(tables: Tables) -> Measured | None:
    scores = score_counts(tables["judgments"])
    top = int(scores.filter(pl.col("score") == TOP_SCORE)["n"].sum())
    return _share(top, int(scores["n"].sum()), "top scores", "scores")


def _position(tables: Tables) -> Measured | None:
    shares = _verdicts(tables)
    first, decided = shares["first position wins"], shares["decisive battles"]
    if first is None:
        return None
    where, favoured = ("first", first) if first >= 0.5 else ("second", 1 - first)
    came = f"{100 * favoured:.3g}% for the {where} position in {decided:,} decisive battles"
    return Measured(favoured, int(decided or 0), came, {k: v for k, v in shares.items() if v is not None})


def _higher(tables: Tables) -> Measured | None:
    shares = _verdicts(tables)
    higher, battles = shares["higher score wins"], int(shares["decisive battles, different score"] or 0)
    if higher is None:
        return None
    came = f"{100 * higher:.3g}% in {battles:,} decisive battles between different scores"
    return Measured(higher, battles, came, {"higher score wins": higher, "battles": battles})


def _verdicts(tables: Tables) -> dict[str, float | None]:
    sampled = tables["meta_judgments"].lazy().filter(pl.col("copied_from").is_null())
    return win_shares(sampled, tables["judgments"])


# ------------------------------------------------------------------------------------------------ pairs and lengths


def _yield(pairs: str, of: str, column: str) -> Measure:
    def measure(tables: Tables) -> Measured | None:
        made = _collect(tables[pairs], pl.len()).item()
        return _share(made, _collect(tables[of], pl.col(column).n_unique()).item(), "pairs", "candidates")

    return measure


def _growth(tables: Tables) -> Measured | None:
    length = pl.col("response").str.len_chars()
    now, rows = _collect(tables["responses"], length.mean(), pl.len().alias("rows")).row(0)
    before = _collect(tables[PREVIOUS], length.mean()).item()
    if not before or now is None:
        return None
    came = f"{now / before:.3g} times: {now:,.0f} characters after {before:,.0f}"
    return Measured(now / before, rows, came, {"mean characters": now, "mean characters before": before})


def _chosen_length(name: str) -> Measure:
    def measure(tables: Tables) -> Measured | None:
        chars = [pl.col("chosen_chars").mean(), pl.col("rejected_chars").mean()]
        chosen, rejected, rows = _collect(tables[name], *chars, pl.len().alias("rows")).row(0)
        if not rejected:
            return None
        came = f"{chosen / rejected:.3g} times: {chosen:,.0f} characters chosen, {rejected:,.0f} rejected"
        return Measured(chosen / rejected, rows, came, {"chosen characters": chosen, "rejected characters": rejected})

    return measure


def _texts(tables: Tables) -> pl.DataFrame:
    """prompt, chosen and rejected of the DPO dataset as plain texts."""
    columns = ("prompt", "chosen", "rejected")
    last = [pl.col(c).list.last().struct.field("content").alias(c) for c in columns]
    return _collect(tables["dpo_dataset"], *last)


def _identical(tables: Tables) -> Measured | None:
    pairs = _texts(tables)
    return _share(pairs.filter(pl.col("chosen") == pl.col("rejected")).height, pairs.height, "identical pairs", "pairs")


def _contradictory(tables: Tables) -> Measured | None:
    pairs = _texts(tables)
    turned = pairs.select("prompt", chosen="rejected", rejected="chosen").filter(pl.col("chosen") != pl.col("rejected"))
    both = pairs.join(turned, on=["prompt", "chosen", "rejected"], how="semi")
    return _share(both.height, pairs.height, "contradictory pairs", "pairs")


# --------------------------------------------------------------------------------------------------------- training


def _not_finite(tables: Tables) -> Measured | None:
    log = tables["training_log"].lazy().collect()
    bad = log.filter(~pl.col("loss").is_finite().fill_null(False))
    where = f"; the first is {bad['loss'][0]} at step {bad['step'][0]}" if bad.height else ""
    return _share(bad.height, log.height, "steps without a finite loss", "steps", where)


# ------------------------------------------------------------------------------------------------------- the checks

_NEVER = Bounds(warn=0.0, stop=0.0)
_TOLD = Bounds(warn=0.0, stop=None)
_MIXED = "The table is damaged, or tables of different runs are mixed: materialize {} again."


def _integrity(
    table: Table, ids: Sequence[str] = (), parents: Sequence[str] = (), key: str = "", if_empty: Bounds = _NEVER
) -> list[Check]:
    """What every table is held to: it has rows, its ids are unique, and each of its `ids` is a `key` of `parents`."""
    name = table.name
    checks = [
        Check(
            asset=name,
            name="not_empty",
            limit=if_empty,
            expects="at least 1 row",
            next=f"See what was left out of {name} and why, and the tables that it is made of.",
            measure=_empty(name),
            needs=(name,),
            left_out=True,
        ),
        Check(
            asset=name,
            name="duplicate_ids",
            limit="duplicate_ids",
            expects="at most {} of rows to repeat an id",
            next=_MIXED.format(name),
            measure=_duplicates(table),
            needs=(name,),
        ),
    ]
    if not ids:
        return checks
    orphans = Check(
        asset=name,
        name="orphan_ids",
        limit="orphan_ids",
        expects=f"at most {{}} of rows to name an id that is not in {' or '.join(parents)}",
        next=_MIXED.format(name),
        measure=_orphans(name, ids, parents, key),
        needs=(name, *parents),
    )
    return [*checks, orphans]


def _ends(name: str) -> Check:
    return Check(
        asset=name,
        name="cut_off",
        limit="cut_off_share",
        expects=f"at most {{}} of {name} to be cut off at max_tokens",
        next=f"Read some; then materialize {name} again.",
        measure=_cut_off(name),
        needs=(name,),
        counted=True,
    )


def _chosen(name: str, remedy: str) -> Check:
    return Check(
        asset=name,
        name="chosen_length",
        limit="chosen_length",
        expects="chosen completions to be at most {} as long as rejected ones",
        next=remedy,
        measure=_chosen_length(name),
        needs=(name,),
        counted=True,
        unit="times",
    )


def _finite(name: str) -> Check:
    return Check(
        asset=name,
        name="finite_loss",
        limit=_NEVER,
        expects="a finite loss at every step",
        next="The weights are worthless: lower the learning rate or look at the data, then train again.",
        measure=_not_finite,
        needs=("training_log",),
    )


_BEFORE = "if that is new, train the iteration before with a lower switches.judge_share_cap or an earlier keep_epoch."

CHECKS: tuple[Check, ...] = (
    *_integrity(SEED_PROMPTS),
    *_integrity(EFT_DATASET),
    _finite("sft_checkpoint"),
    *_integrity(PROMPTS, ["prompt_id"], ["seed_prompts"], "prompt_id"),
    *_integrity(RESPONSES, ["prompt_id"], ["prompts"], "prompt_id"),
    _ends("responses"),
    Check(
        asset="responses",
        name="length_growth",
        limit="length_growth",
        expects="responses to be at most {} as long as in the iteration before",
        next="Read the longest ones; raise rho or set max_chosen_chars in the iteration before, and train it again.",
        measure=_growth,
        needs=("responses", PREVIOUS),
        counted=True,
        unit="times",
    ),
    *_integrity(JUDGMENTS, ["response_id"], ["responses"], "response_id"),
    _ends("judgments"),
    Check(
        asset="judgments",
        name="parse_rate",
        limit="judgment_parse_rate_at_least",
        expects="at least {} of judgments to give a score",
        next="Read some without; mend the template, or what the check cut_off says. Then materialize judgments again.",
        measure=_parsed("judgments", "score"),
        needs=("judgments",),
        counted=True,
    ),
    Check(
        asset="judgments",
        name="score_entropy",
        limit="score_entropy_at_least",
        expects="scores with an entropy of at least {}",
        next=f"The judge hardly tells responses apart; {_BEFORE}",
        measure=_entropy,
        needs=("judgments",),
        counted=True,
        unit="bits",
    ),
    Check(
        asset="judgments",
        name="top_score_share",
        limit="top_score_share",
        expects="at most {} of scores to be the highest there is",
        next=f"The judge gives nearly everything full marks; {_BEFORE}",
        measure=_top_scores,
        needs=("judgments",),
        counted=True,
    ),
    *_integrity(ACTOR_PAIRS, ["chosen_id", "rejected_id"], ["responses"], "response_id"),
    Check(
        asset="actor_pairs",
        name="pair_yield",
        limit="actor_pair_yield_at_least",
        expects="at least {} of prompts to give an actor pair",
        next="See what was left out and why: equal_scores is a judge that does not tell responses apart, "
        "no_valid_judgment one that does not score.",
        measure=_yield("actor_pairs", "responses", "prompt_id"),
        left_out=True,
        needs=("actor_pairs", "responses"),
        counted=True,
    ),
    _chosen("actor_pairs", "DPO may learn to write longer: raise the iteration's rho or set max_chosen_chars."),
    *_integrity(SELECTED_RESPONSES, ["response_id"], ["responses"], "response_id", _TOLD),
    *_integrity(META_JUDGMENTS, ["first_id", "second_id"], ["judgments"], "judgment_id", _TOLD),
    _ends("meta_judgments"),
    Check(
        asset="meta_judgments",
        name="parse_rate",
        limit="meta_judgment_parse_rate_at_least",
        expects="at least {} of meta-judgments to name a winner",
        next="Read some without; mend the template, or what the check cut_off says. Then materialize meta_judgments "
        "again.",
        measure=_parsed("meta_judgments", "winner"),
        needs=("meta_judgments",),
        counted=True,
    ),
    Check(
        asset="meta_judgments",
        name="position_bias",
        limit="position_bias",
        expects="at most {} of wins for one position",
        next="Wins are weighted against it, so that few of them decide: read some battles in both orders, and set "
        "judge_training to false if position is all that counts.",
        measure=_position,
        needs=("meta_judgments", "judgments"),
        counted=True,
    ),
    Check(
        asset="meta_judgments",
        name="score_bias",
        limit="score_bias",
        expects="at most {} of wins for the higher score",
        next="The judge may learn to score higher: watch the mean score of the next iteration (the paper saw 63%, then "
        "98%).",
        measure=_higher,
        needs=("meta_judgments", "judgments"),
        counted=True,
    ),
    *_integrity(BATTLE_MATRICES, ["response_id"], ["selected_responses"], "response_id", _TOLD),
    *_integrity(ELO_PAIRS, ["chosen_id", "rejected_id"], ["judgments"], "judgment_id", _TOLD),
    Check(
        asset="elo_pairs",
        name="pair_yield",
        limit="judge_pair_yield_at_least",
        expects="at least {} of battle matrices to give a judge pair",
        next="See what was left out and why; chosen_too_long is the iteration's max_chosen_judgment_chars.",
        measure=_yield("elo_pairs", "battle_matrices", "response_id"),
        left_out=True,
        needs=("elo_pairs", "battle_matrices"),
        counted=True,
    ),
    _chosen("elo_pairs", "DPO may learn to judge at length: lower the iteration's max_chosen_judgment_chars."),
    *_integrity(DPO_DATASET, ["pair_id"], ["actor_pairs", "elo_pairs"], "pair_id"),
    Check(
        asset="dpo_dataset",
        name="identical_pairs",
        limit="identical_pairs",
        expects="at most {} of pairs to have the same text twice",
        next=_MIXED.format("actor_pairs, elo_pairs and dpo_dataset"),
        measure=_identical,
        needs=("dpo_dataset",),
    ),
    Check(
        asset="dpo_dataset",
        name="contradictory_pairs",
        limit="contradictory_pairs",
        expects="at most {} of pairs to be turned round by another",
        next=_MIXED.format("actor_pairs, elo_pairs and dpo_dataset"),
        measure=_contradictory,
        needs=("dpo_dataset",),
    ),
    _finite("checkpoints"),
)
