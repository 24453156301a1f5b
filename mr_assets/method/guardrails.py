"""The guardrails: is a table fit to go on with? What `measures` finds, held against the bounds of the recipe.

    Expected at least 90% of judgments to give a score (below 50% training stops), came 43.1%: 431 of 1,000, dropped
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
from mr_assets.ids import prompts_of
from mr_assets.judging import Scoring
from mr_assets.method import Frame, measures
from mr_assets.method.dropped import REASONS, setting_behind
from mr_assets.method.measures import PREVIOUS, Measure, Measured, Tables
from mr_assets.tables import (
    ACTOR_PAIRS,
    BATTLE_MATRICES,
    DPO_DATASET,
    EFT_DATASET,
    EFT_JUDGMENTS,
    ELO_PAIRS,
    GENERATED_PROMPTS,
    HELD_OUT_RESPONSES,
    JUDGMENTS,
    META_JUDGMENTS,
    PROBE_JUDGMENTS,
    PROMPTS,
    RANKED_REPLIES,
    RESPONSES,
    SEED_PROMPTS,
    SELECTED_RESPONSES,
    Table,
)

Level = Literal["passed", "warning", "harmful"]


@dataclass(frozen=True)
class Finding:
    """What a check found: how bad, the numbers behind it, and a sentence: expected, came, what to do next."""

    asset: str
    name: str
    level: Level
    numbers: dict[str, float | int]
    said: str
    limit: str | None = None  # the field of the recipe's guardrails that has the bounds
    measured: Measured | None = None  # what the bounds were held against

    @property
    def passed(self) -> bool:
        """Whether all is well."""
        return self.level == "passed"


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

    dropped: its rows of `DROPPED`, if it selects; settings: those it was made with, by path; departed: what departs
    from the recipe in it and in what it is made of.
    """

    dropped: Frame | None = None
    settings: Mapping[str, Any] = {}
    departed: tuple[Departed, ...] = ()

    def why(self, asset: str, *, drops: bool) -> tuple[str, bool]:
        """The cause in sentences, and whether a departure from the recipe is behind it.

        drops: whether what was dropped explains the finding; then the most frequent reason is named with its
        count, and the setting that decides it.
        """
        said, mine = [], [d for d in self.departed if d.asset == asset]
        if drops and (found := self._most(asset)):
            reason, count, total = found
            path = setting_behind(asset, reason)
            value = _at(self.settings, path) if path else None
            by = "" if value is None else f", by {path} = {shown(value)}"
            words = REASONS.get(reason, reason)
            said.append(f"Most were dropped as {reason} ({words}): {count:,} of {total:,}{by}.")
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
        """The most frequent reason, how often it is given, and how many were dropped."""
        if self.dropped is None:
            return None
        rows = measures.collect(self.dropped, "id", "reason")
        if asset == "actor_pairs":  # prompts without a pair; responses without a score are beside the point
            rows = rows.filter(pl.col("id") == prompts_of("id"))
        counts = rows.group_by("reason").len().sort("len", "reason", descending=[True, False])
        return None if counts.is_empty() else (*counts.row(0), rows.height)


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
    measure: Measure | Callable[[Scoring], Measure]
    needs: tuple[str, ...] = ()
    rows: str = "rows"  # what there has to be for the measure to say something
    counted: bool = False  # whether few rows (guardrails.min_count) say nothing
    unit: Literal["%", "times", "bits", ""] = "%"
    drops: bool = False  # whether what the asset dropped explains what was found
    by_scale: bool = False  # whether `measure` is made for the judge's scale

    def bounds(self, limits: Guardrails) -> Bounds:
        """Where it warns and where it stops."""
        return self.limit if isinstance(self.limit, Bounds) else getattr(limits, self.limit)

    def find(self, tables: Tables, limits: Guardrails, background: Background = NOTHING_KNOWN) -> Finding:
        """The finding on these tables; where there is nothing to measure, it passes and says so.

        What lies behind a finding that does not pass is told from the `background`.
        """
        if self.by_scale and background.settings.get("reward_model"):
            return self.passes("Rewards are on no scale.")
        missing = [name for name in self.needs if name not in tables]
        measured = None if missing else self._measure(background.settings)(tables)
        if measured is None:
            return self.passes(f"Nothing to compare: there are no {missing[0] if missing else self.rows}.")
        why, departed = background.why(self.asset, drops=self.drops)
        return self.judge(measured._replace(why=why, departed=departed), limits)

    def _measure(self, settings: Mapping[str, Any]) -> Measure:
        """What measures, of an artifact made with these settings."""
        if not self.by_scale:
            return cast(Measure, self.measure)
        return cast(Callable[[Scoring], Measure], self.measure)(Scoring.of(settings.get("judgments", {})))

    def judge(self, measured: Measured, limits: Guardrails) -> Finding:
        """The finding on what was measured, be it just now or when the table was made."""
        if self.counted and measured.rows < limits.min_count:
            few = f"Too few to tell: {measures.counted_rows(measured.rows)}, guardrails.min_count is {limits.min_count}"
            said = f"{few}. Came {measured.came}."
            return Finding(self.asset, self.name, "passed", measured.numbers, said, measured=measured)
        bounds = self.bounds(limits)
        if measured.interval and self._undecided(measured.interval, bounds):
            low, high = map(self._shown, measured.interval)
            said = f"Too few to tell: it may be anything from {low} to {high}. Came {measured.came}."
            return Finding(self.asset, self.name, "passed", measured.numbers, said, measured=measured)
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

    def _undecided(self, interval: Sequence[float], bounds: Bounds) -> bool:
        """Whether it may as well stop as pass: one end is beyond both bounds, the other beyond none."""
        if bounds.warn is None or bounds.stop is None:
            return False
        stops = any(self._beyond(end, bounds.stop) for end in interval)
        return stops and not all(self._beyond(end, bounds.warn) for end in interval)

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
        return f"{100 * value:.3g}%" if self.unit == "%" else f"{value:.3g} {self.unit}".rstrip()


def findings(asset: str, tables: Tables, limits: Guardrails, background: Background = NOTHING_KNOWN) -> list[Finding]:
    """What the checks of `asset` find in its table and those that it was made of (`tables`, by name)."""
    return [check.find(tables, limits, background) for check in CHECKS if check.asset == asset]


def judged(asset: str, measured: Mapping[str, Mapping[str, Any]], limits: Guardrails) -> list[Finding]:
    """What the checks of `asset` find in what they measured earlier (fields of `Measured`, by the check's name).

    What another version measured, and this one cannot read, is skipped.
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


# ------------------------------------------------------------------------------------------------------- the checks

_NEVER = Bounds(warn=0.0, stop=0.0)
_TOLD = Bounds(warn=0.0, stop=None)
_TEACH_FORM = (
    " Where the seed model's judgments of ranked replies give no scores, or none that agree with people, teach it the "
    "form first (eft.judged_by: ranks), and let the model that comes of it judge."
)
_MIXED = "The table is damaged, or tables of different runs are mixed: materialize {} again."


def _integrity(
    table: Table,
    ids: Sequence[str] = (),
    parents: Sequence[str] = (),
    key: str = "",
    if_empty: Bounds = _NEVER,
    hint: str = "",
) -> list[Check]:
    """What every table is held to: it has rows, its ids are unique, and each of its `ids` is a `key` of `parents`.

    hint: what else to do where it has no rows.
    """
    name = table.name
    checks = [
        Check(
            asset=name,
            name="not_empty",
            limit=if_empty,
            expects="at least 1 row",
            next=f"See what {name} dropped and why, and the tables that it is made of.{hint}",
            measure=measures.empty(name),
            needs=(name,),
            drops=True,
        ),
        Check(
            asset=name,
            name="duplicate_ids",
            limit="duplicate_ids",
            expects="at most {} of rows to repeat an id",
            next=_MIXED.format(name),
            measure=measures.duplicates(table),
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
        measure=measures.orphans(name, ids, parents, key),
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
        measure=measures.cut_off(name),
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
        measure=measures.chosen_length(name),
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
        measure=measures.not_finite,
        needs=("training_log",),
    )


_BEFORE = "if that is new, train the iteration before with a lower switches.judge_share_cap or an earlier keep_epoch."

CHECKS: tuple[Check, ...] = (
    *_integrity(GENERATED_PROMPTS),
    *_integrity(SEED_PROMPTS),
    *_integrity(RANKED_REPLIES),
    *_integrity(EFT_JUDGMENTS, ["response_id"], ["ranked_replies"], "response_id"),
    *_integrity(EFT_DATASET, hint=_TEACH_FORM),
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
        measure=measures.growth,
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
        next="Read some without a score. Mend the template, or what the check cut_off names. Then materialize "
        "judgments again.",
        measure=measures.parsed("judgments", "score"),
        needs=("judgments",),
        counted=True,
    ),
    Check(
        asset="judgments",
        name="score_entropy",
        limit="score_entropy_at_least",
        expects="scores with an entropy of at least {}",
        next=f"The judge hardly tells responses apart; {_BEFORE}",
        measure=measures.entropy,
        needs=("judgments",),
        counted=True,
        by_scale=True,
        unit="bits",
    ),
    Check(
        asset="judgments",
        name="top_score_share",
        limit="top_score_share",
        expects="at most {} of scores to be the highest there is",
        next=f"The judge gives nearly every response the highest score; {_BEFORE}",
        measure=measures.top_scores,
        needs=("judgments",),
        counted=True,
        by_scale=True,
    ),
    Check(
        asset="judgments",
        name="score_reliability",
        limit="score_reliability_at_least",
        expects="mean scores with a reliability of at least {} among the responses of a prompt",
        next="Pairs follow the mean score, so what is noise in it is trained on. Read the judgments of one response "
        "beside each other. If a few more would do, raise judgments.n; else train the judge on better EFT data, or "
        "mend the template. Where the responses of a prompt are alike, there is nothing to tell apart.",
        measure=measures.score_reliability,
        needs=("judgments",),
        rows="two responses to a prompt with different scores, one of them with two",
        counted=True,
        unit="",
    ),
    *_integrity(HELD_OUT_RESPONSES, if_empty=_TOLD),
    *_integrity(PROBE_JUDGMENTS, ["response_id"], ["held_out_responses"], "response_id", _TOLD),
    Check(
        asset="scoring_shift",
        name="top_score_share",
        limit="probe_top_share",
        expects="at most {} of scores on the fixed probe to be the highest there is",
        next=f"The responses are those of the seed model, so it is the judge that gives more; {_BEFORE}",
        measure=measures.probe("top_share"),
        needs=("scoring_shift",),
        counted=True,
        by_scale=True,
    ),
    Check(
        asset="scoring_shift",
        name="score_entropy",
        limit="probe_entropy_at_least",
        expects="scores on the fixed probe with an entropy of at least {}",
        next=f"The judge hardly tells responses apart that it did before; {_BEFORE}",
        measure=measures.probe("entropy", unit=" bits"),
        needs=("scoring_shift",),
        counted=True,
        unit="bits",
        by_scale=True,
    ),
    Check(
        asset="scoring_shift",
        name="mean_shift",
        limit="probe_shift",
        expects="mean scores on the fixed probe to move by at most {} of the scale from one model to the next",
        next=f"The responses are the same, the judge is more generous or more strict; {_BEFORE}",
        measure=measures.probe("shift_previous", unit=" of the score", of_scale=True),
        needs=("scoring_shift",),
        rows="scores by the model before",
        counted=True,
        by_scale=True,
    ),
    Check(
        asset="scoring_shift",
        name="self_consistency",
        limit="probe_tau_at_least",
        expects="a tau-b of at least {} between the ranks by this judge and by the model before",
        next="Compare tau_halves, what sampling alone takes from 1: where that is as low, more judgments are needed "
        f"(probe.per_response). Else the judge ranks by something new; {_BEFORE}",
        measure=measures.probe("tau_previous"),
        needs=("scoring_shift",),
        rows="ranks by the model before",
        counted=True,
        unit="",
        by_scale=True,
    ),
    *_integrity(ACTOR_PAIRS, ["chosen_id", "rejected_id"], ["responses"], "response_id"),
    Check(
        asset="actor_pairs",
        name="pair_yield",
        limit="actor_pair_yield_at_least",
        expects="at least {} of prompts to give an actor pair",
        next="See what was dropped and why. equal_scores: the judge gives the responses of a prompt the same score; "
        "no_valid_judgment: it gives no score.",
        measure=measures.pair_yield("actor_pairs", "responses", "prompt_id"),
        drops=True,
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
        next="Read some without a winner. Mend the template, or what the check cut_off names. Then materialize "
        "meta_judgments again.",
        measure=measures.parsed("meta_judgments", "winner"),
        needs=("meta_judgments",),
        counted=True,
    ),
    Check(
        asset="meta_judgments",
        name="position_bias",
        limit="position_bias",
        expects="at most {} of wins for one position",
        next="Wins in that position get a low weight, so that few wins decide. Read some battles in both orders. If "
        "only the position counts, set judge_training to false.",
        measure=measures.position,
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
        measure=measures.higher_score,
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
        next="See what was dropped and why; chosen_too_long is the iteration's max_chosen_judgment_chars.",
        measure=measures.pair_yield("elo_pairs", "battle_matrices", "response_id"),
        drops=True,
        needs=("elo_pairs", "battle_matrices"),
        counted=True,
    ),
    _chosen("elo_pairs", "DPO may learn to write longer judgments: lower the iteration's max_chosen_judgment_chars."),
    *_integrity(DPO_DATASET, ["pair_id"], ["actor_pairs", "elo_pairs"], "pair_id"),
    Check(
        asset="dpo_dataset",
        name="identical_pairs",
        limit="identical_pairs",
        expects="at most {} of pairs to have the same text twice",
        next=_MIXED.format("actor_pairs, elo_pairs and dpo_dataset"),
        measure=measures.identical,
        needs=("dpo_dataset",),
    ),
    Check(
        asset="dpo_dataset",
        name="contradictory_pairs",
        limit="contradictory_pairs",
        expects="at most {} of pairs to have their opposite (chosen and rejected exchanged) beside them",
        next=_MIXED.format("actor_pairs, elo_pairs and dpo_dataset"),
        measure=measures.contradictory,
        needs=("dpo_dataset",),
    ),
    _finite("checkpoints"),
)
