"""Whether a run is what it says: every row again from its ancestors, every content against its record.

What was sampled, the texts, cannot be worked out again: that nothing touched them is what a record's version says.
Everything after them can be, by the method's own functions and with the settings that each record has: ids, duplicates,
scores and verdicts from texts, means, tiers and pairs, battles, matrices and Elo, the dataset down to its token ids,
and what was dropped and why. So are the figures that a record keeps of its table, of an evaluation or of a training
log. What was made of something else than lies there now is said, and not compared.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isclose, isfinite
from typing import Any

import polars as pl

from mr_assets.errors import UserError, shown
from mr_assets.files import fingerprint_like
from mr_assets.ids import judgment_ids, response_ids
from mr_assets.inputs.open_assistant import rankings
from mr_assets.judging import Scoring, Verdicts
from mr_assets.lineage.staleness import Staleness
from mr_assets.loop import LOOP, RENDERING, Of, Place, titled
from mr_assets.method.actor_pairs import actor_pairs
from mr_assets.method.asked_lines import redecided, rescored
from mr_assets.method.battle_matrices import battle_matrices
from mr_assets.method.dpo_dataset import dpo_dataset
from mr_assets.method.eft_dataset import Judge, MetaJudge, eft_dataset, shares_of
from mr_assets.method.elo_pairs import elo_pairs
from mr_assets.method.generated_prompts import task_of
from mr_assets.method.held_out_responses import held_out_response_numbers
from mr_assets.method.human_agreement import agreement_numbers, with_agreement
from mr_assets.method.judgments import with_scores
from mr_assets.method.labelled_pairs import labelled_pair_numbers, with_verdicts
from mr_assets.method.meta_judgments import battles, with_winners
from mr_assets.method.numbers import (
    Numbers,
    actor_pair_numbers,
    battle_matrix_numbers,
    dpo_dataset_numbers,
    eft_numbers,
    elo_pair_numbers,
    judgment_numbers,
    meta_judgment_numbers,
    ranked_reply_numbers,
    response_numbers,
    selected_response_numbers,
    with_pair_scores,
)
from mr_assets.method.prompts import check_prompts, draw_prompts
from mr_assets.method.ranked_replies import in_parts, without_held_out
from mr_assets.method.responses import mark_duplicates
from mr_assets.method.rewards import with_rewards
from mr_assets.method.scoring_shift import scoring_shift, scoring_shift_numbers
from mr_assets.method.selected_responses import select_responses
from mr_assets.method.win_rates import win_rate_numbers, win_rates
from mr_assets.recipes.recipe import WORLD
from mr_assets.recipes.shaping import JUDGE_SIDE_OFF
from mr_assets.runs.artifact import fetch_files, pruned_since
from mr_assets.runs.record import Record
from mr_assets.runs.run import Run
from mr_assets.runs.settings import changed_settings, prompts_differ
from mr_assets.tables import (
    REWARD_MARGINS,
    TABLES,
    Selected,
    scan_dropped,
    version_of,
)
from mr_assets.templates import judge_template, meta_judge_template
from mr_assets.training.log import COLUMNS, LOG, last_epoch, read_log
from mr_assets.training.margins import MARGINS, MEAN, margin_figures, scan_margins

TOLERANCE = {"elo_pairs": 1e-6}
"""By how much a number may differ from what it is here: Elo is solved for; all others are sums."""
_SUMS = 1e-9
_UNREADABLE = (
    UserError,
    OSError,
    ValueError,  # bad JSON, bad UTF-8
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,  # of a damaged parquet file; it is no `Exception`
)
_FINISHED = ("stop", "length")
_NOT_SAMPLED = ("prompt_too_long",)
_DROPPED = {"held_out_responses": (*_NOT_SAMPLED, "trained_on")}  # for other reasons, too: what was never a request


@dataclass(frozen=True)
class Fault:
    """A row, or with id None a whole artifact, that does not follow from its ancestors, and what was expected."""

    asset: str
    partition: str | None
    id: str | None
    said: str

    def __str__(self) -> str:
        return f"{titled(self.asset, self.partition)}{f', {self.id}' if self.id else ''}: {self.said}"


def verify(
    run: Run,
    iterations: Sequence[str] | None = None,
    assets: Sequence[str] | None = None,
) -> Iterator[Fault]:
    """Everything of a run that does not follow from its ancestors, in the order of the loop.

    iterations: the ones to verify, by default all; assets: the same.
    Only what has a record is looked at. A file that cannot be read is a fault.
    """
    staleness = Staleness(run)
    by_model = LOOP.per("model")
    places: list[Place] = [(asset, None) for asset in LOOP.per("family")]
    places += [(a, m) for a in by_model for m in run.models if m not in run.iterations and iterations is None]
    places += [(asset, t) for t in iterations or run.iterations for asset in (*LOOP.per("iteration"), *by_model)]
    for place in (place for place in places if assets is None or place[0] in assets):
        try:
            record = staleness.record(place)
            if record is not None:
                yield from _Artifact(staleness, place, record).faults()
            elif os.path.lexists(run.record_path(*place)):
                yield Fault(*place, None, f"{run.record_path(*place)} is no record that can be read.")
        except _UNREADABLE as error:
            found = (run.damage(*each) for each in (place, *run.ancestors(*place)))
            what = next(filter(None, found), f"{run.place(*place)}, or what it was made of, cannot be read")
            yield Fault(*place, None, f"it cannot be compared: {what}: {str(error) or type(error).__name__}")


@dataclass
class _Artifact:
    """A complete artifact under verification."""

    staleness: Staleness
    place: Place
    record: Record

    def fault(self, said: str, identity: str | None = None) -> Fault:
        return Fault(*self.place, identity, said)

    @property
    def asset(self) -> str:
        return self.place[0]

    @property
    def run(self) -> Run:
        return self.staleness.run

    @property
    def t(self) -> str:
        assert self.place[1] is not None
        return self.place[1]

    @property
    def scoring(self) -> Scoring:
        return Scoring.of(self.settings["judgments"])

    @property
    def settings(self) -> dict[str, Any]:
        return self.record.settings

    def faults(self) -> Iterator[Fault]:
        yield from self.model_faults() if LOOP[self.asset].holds != "table" else self.content_faults()
        stale = [b for parent in self.run.ancestors(*self.place) for b in self.staleness.link(self.place, parent)]
        yield from (self.fault(f"it {broken.why} Its rows are not compared.") for broken in stale)
        yield from self.policy_faults()
        rows: list[Fault] = []
        if not stale and LOOP[self.asset].holds == "table" and self.run.path(*self.place).exists():
            for fault in self.row_faults():
                rows.append(fault)
                yield fault
        if self.asset == "dpo_dataset":
            yield from self.prompt_faults()
        if not stale and self.asset == "checkpoints":
            yield from self.margin_faults()
        if not stale and not rows:  # else a figure differs because a row does
            yield from self.figure_faults()

    # -------------------------------------------------------------------------------------------------- against records

    def content_faults(self) -> Iterator[Fault]:
        """A table whose content is not the one that its record names."""
        path = self.run.path(*self.place)
        if not path.exists():
            yield self.fault(f"its record is there, but no {path}.")
            return
        TABLES[self.asset].check(self.table)
        now = version_of(self.table)
        if now != self.record.version:
            yield self.fault(f"its content has version {now}, its record says {self.record.version}.")
        for what, count, said in (
            ("rows", _height(self.table), self.record.rows),
            ("rows dropped", self.dropped.height, self.record.dropped or 0),
        ):
            if said is not None and count != said:
                yield self.fault(f"it has {count} {what}, its record says {said}.")

    def model_faults(self) -> Iterator[Fault]:
        """A model folder whose content is not the one that its record names; a pointer that points elsewhere.

        Of a model whose weights were removed (`mr_assets.runs.pruning`), what stayed is looked at by its sizes.
        """
        model = self.record.model or {}
        folder = self.run.data / model.get("path", "")
        if pruned_since(folder):
            now = model.get("fingerprint")
            if why := self.run.damage(*self.place):
                yield self.fault(f"{why}.")
        else:
            fetch_files(folder / "complete.json")
            now = fingerprint_like(self.record.version, folder)
        for what, found in (("its record's version", self.record.version), ("fingerprint", model.get("fingerprint"))):
            if found != now:
                yield self.fault(f"{what} is {found}, the folder {model.get('path')} has the fingerprint {now}.")
        if LOOP[self.asset].holds == "pointer":
            parent = self.staleness.record(self.run.ancestors(*self.place)[0])
            if parent and parent.model != model:
                yield self.fault(f"it points at {shown(model)}, its parent is {shown(parent.model)}.")

    def policy_faults(self) -> Iterator[Fault]:
        """A table or a model of another policy than the iteration's."""
        if LOOP[self.asset].per == "model":  # its partition is the model itself
            models = [place for place in self.run.ancestors(*self.place) if LOOP[place[0]].holds == "model"]
            policy = self.staleness.record(models[0]) if models else None
        else:
            policy = self.staleness.record(("policy", self.place[1])) if self.record.policy else None
        if policy and policy.version != self.record.policy:
            yield self.fault(f"it is of policy {self.record.policy}, the iteration's policy is {policy.version}.")

    def prompt_faults(self) -> Iterator[Fault]:
        """Prompts to train on that are others than those that were sampled from."""
        for parent in ("responses", "judgments"):
            record = self.staleness.record((parent, self.t))
            for path in prompts_differ(parent, record.settings, self.settings) if record else ():
                yield self.fault(f"its prompts were made with another {path} than those of {parent}.")

    def margin_faults(self) -> Iterator[Fault]:
        """Reward margins of other pairs than the model was trained on, or that are not what two rewards give.

        The rewards themselves cannot be worked out again here; that nothing touched them is what the record's figures,
        which sum them up, say.
        """
        table = scan_margins(self.run.path(*self.place))
        if table is None:
            if MEAN.format("pairs") in self.record.numbers:  # else an earlier version trained it
                yield self.fault(f"its record has reward margins, its folder has no {MARGINS}.")
            return
        margins, key = table.collect(), REWARD_MARGINS.key
        pairs = self.upstream("dpo_dataset").select(key).collect()
        for identity in margins.filter(pl.col(key).is_duplicated())[key].unique().sort():
            yield self.fault("it has more than one reward margin.", identity)
        for identity in _missing(pairs, margins, key):
            yield self.fault("it is in the DPO dataset and has no reward margin.", identity)
        for identity in _missing(margins, pairs, key):
            yield self.fault("it has a reward margin and is not in the DPO dataset.", identity)
        given = pl.col("chosen_reward") - pl.col("rejected_reward")
        for identity, came, wanted in margins.select(key, "reward_margin", given).iter_rows():
            if not _close(wanted, came, _SUMS):
                yield self.fault(f"reward_margin is {shown(came)}, its two rewards give {shown(wanted)}.", identity)
        for name, figure in margin_figures(margins).items():
            said = self.record.numbers.get(name)
            if name in self.record.numbers and not _close(figure, said, _SUMS):  # an earlier version had fewer of them
                yield self.fault(f"{name}, is {shown(figure)} in {MARGINS}, its record says {shown(said)}.")

    def figure_faults(self) -> Iterator[Fault]:
        """Figures of the record that its table, or its training log, does not give. What it has no figure of, passes.

        So do figures of the run itself: seconds, requests that were sampled again.
        """
        figures = _FIGURES.get(self.asset)
        if figures is None or not self.record.numbers or "off" in self.record.numbers:
            return
        for name, figure in figures(self).items():
            finite = figure if figure is not None and isfinite(figure) else None
            said = self.record.numbers.get(name)
            if name in self.record.numbers and not _close(finite, said, _SUMS):
                yield self.fault(f"{name} is {shown(finite)}, its record says {shown(said)}.")

    def log_figures(self) -> dict[str, float | None]:
        folder = self.run.path(*self.place)
        if not folder.is_dir():  # the seed model's own folder, which is not trained
            return {}
        log = read_log(folder)
        if log.is_empty():
            raise UserError(f"{folder / LOG} is not there or empty")
        last = log.row(-1, named=True)
        return {title: last[title] for title in COLUMNS.values()} | last_epoch(log)

    def judgment_figures(self) -> Numbers:
        chars = pl.col("judgment").str.len_chars().alias("chars")
        columns = ("response_id", "score", "invalid", "finish_reason")
        table = self.table.select(*columns, chars).collect()
        return judgment_numbers(table, self.scoring)

    def meta_judgment_figures(self) -> Numbers:
        chars = pl.col("meta_judgment").str.len_chars().alias("chars")
        table = self.table.select(pl.exclude("meta_judgment", "token_ids"), chars).collect()
        return meta_judgment_numbers(table, self.upstream("judgments"))

    def elo_pair_figures(self) -> Numbers:
        pairs = with_pair_scores(self.table, self.upstream("judgments"))
        return elo_pair_numbers(pairs, self.upstream("battle_matrices"))

    def evaluation_figures(self) -> dict[str, Any]:
        figures = self.table.select(list(TABLES["evaluation"].columns)).drop("model")
        return figures.collect().row(0, named=True)

    # ------------------------------------------------------------------------------------------------------ the tables

    @cached_property
    def table(self) -> pl.LazyFrame:
        return pl.scan_parquet(self.run.path(*self.place), glob=False)

    @cached_property
    def dropped(self) -> pl.DataFrame:
        return scan_dropped(self.run.path(*self.place)).collect()

    def upstream(self, asset: str, of: Of = "its own") -> pl.LazyFrame:
        per = LOOP[asset].per
        key = None if per == "family" else self.run.model_before(self.t, of) if per == "model" else self.t
        return TABLES[asset].scan(self.run.path(asset, key))

    def row_faults(self) -> Iterator[Fault]:
        """Rows, kept and dropped, that are not those that the ancestors give."""
        if LOOP[self.asset].side == "judge" and self.settings == JUDGE_SIDE_OFF:
            yield from self.differ(TABLES[self.asset].empty(), self.table.collect())
            return
        if TABLES[self.asset].has_completions:
            yield from self.bad_finish_reasons()
        recompute = RECOMPUTE.get(self.asset)
        if recompute is None:
            return
        recomputed = recompute(self)
        if recomputed is None:
            return
        expected, dropped = recomputed if isinstance(recomputed, Selected) else (recomputed, None)
        found = self.hashed(self.table) if self.asset == "meta_judgments" else self.table
        yield from self.differ(expected, found.select(expected.columns).collect(engine="streaming"))
        if dropped is not None:
            yield from self.differ_in_dropped(dropped)

    def differ(self, expected: pl.DataFrame, found: pl.DataFrame) -> Iterator[Fault]:
        """Rows that are missing, not expected, there twice, or other in a column."""
        key = TABLES[self.asset].key
        for identity in found.filter(pl.col(key).is_duplicated())[key].unique().sort():
            yield self.fault("it is there more than once.", identity)
        for identity in _missing(expected, found, key):
            yield self.fault("it is missing.", identity)
        for identity in _missing(found, expected, key):
            yield self.fault("nothing it could come of is there.", identity)
        both = expected.join(found.unique(key), on=key, how="inner", suffix=" found", maintain_order="left")
        for column in expected.columns:
            if column != key:
                yield from self.other(both, key, column)

    def other(self, both: pl.DataFrame, key: str, column: str) -> Iterator[Fault]:
        odd = both.filter(pl.col(column).ne_missing(pl.col(f"{column} found")))
        for identity, wanted, came in odd.select(key, column, f"{column} found").iter_rows():
            if not _close(wanted, came, TOLERANCE.get(self.asset, _SUMS)):
                yield self.fault(f"{column} is {shown(came)}, its ancestors give {shown(wanted)}.", identity)

    def differ_in_dropped(self, expected: pl.DataFrame) -> Iterator[Fault]:
        key = ["id", "reason"]
        for frame, other, said in (
            (expected, self.dropped, "it should be dropped as {}, and is not"),
            (self.dropped, expected, "it is dropped as {}, and should not be"),
        ):
            for identity, reason in frame.join(other, on=key, how="anti").select(key).iter_rows():
                yield self.fault(f"{said.format(reason)}.", identity)
        for identity, reason, wanted, came in expected.join(self.dropped, on=key, how="inner").iter_rows():
            if wanted != came and not _close(json.loads(wanted), _read(came), TOLERANCE.get(self.asset, _SUMS)):
                yield self.fault(f"it is dropped as {reason} with {shown(came)}, expected {shown(wanted)}.", identity)

    def bad_finish_reasons(self) -> Iterator[Fault]:
        """Sampled texts that ended in no way that there is, and what is dropped for no reason that there is."""
        key, how = TABLES[self.asset].key, pl.col("finish_reason")
        odd = self.table.filter(how.is_not_null() & ~how.is_in(_FINISHED)).select(key, how).collect()
        for identity, came in odd.iter_rows():
            yield self.fault(f"finish_reason is {shown(came)}, expected stop or length.", identity)
        reasons = _DROPPED.get(self.asset, _NOT_SAMPLED)
        for identity, reason, _ in self.dropped.filter(~pl.col("reason").is_in(reasons)).iter_rows():
            yield self.fault(f"it is dropped as {reason}, expected {' or '.join(reasons)}.", identity)

    # ------------------------------------------------------------------------------------- what the ancestors give

    def generated_prompts(self) -> pl.DataFrame:
        """The tasks that its answers give."""
        given = self.table.select("prompt_id", "answer").collect()
        tasks = [task_of(answer) for answer in given["answer"]]
        return given.select("prompt_id", prompt=pl.Series(tasks, dtype=pl.String))

    def ranked_replies(self) -> Selected | None:
        """None where the file is another one by now, or gone: then nothing is known of its rows."""
        now = changed_settings(self.run, *self.place)
        return None if now else rankings(self.run.recipe, self.run.data)

    def eft_judgments(self) -> pl.DataFrame:
        replies, _ = in_parts(self.upstream("ranked_replies").collect())
        return self.judged(replies.select("response_id"))

    def eft_dataset(self) -> Selected | None:
        """None of what the world made, or a person wrote."""
        if "ranked_replies" not in self.record.inputs:
            return None
        said, sampled = self.settings, "eft_judgments" in self.record.inputs
        given, judge, meta_judge = (_section(said, name) for name in ("eft", "judgments", "meta_judgments"))
        verdicts = Verdicts.of(meta_judge)
        meta_template = said.get("meta_judgments.template")  # not noted where no example is a meta-judgment
        return eft_dataset(
            self.upstream("ranked_replies").collect(),
            self.upstream("eft_judgments").drop("token_ids").collect() if sampled else None,
            judge=Judge(judge_template(self.run.template(said["judgments.template"])), Scoring.of(judge)),
            meta_judge=MetaJudge(meta_judge_template(self.run.template(meta_template)), verdicts),
            shares=shares_of(given["meta_judgment_share"], given["instruction_share"]),
            examples=given["examples"],
            seed=self.settings["seed"],
        )

    def seed_prompts(self) -> pl.DataFrame:
        made = "generated_prompts" in self.record.inputs
        given = self.upstream("generated_prompts").select("prompt") if made else self.table.drop("prompt_id")
        asked = given.collect()
        if "ranked_replies" in self.record.inputs:
            asked = without_held_out(asked, self.upstream("ranked_replies").collect())
        return check_prompts(asked)

    def prompts(self) -> pl.DataFrame:
        given = self.settings
        counts, disjoint = given["prompts_until"], given["prompts.disjoint"]
        return draw_prompts(self.upstream("seed_prompts").collect(), int(self.t), counts, given["seed"], disjoint)

    def asked(self, ids: pl.DataFrame, index: str, count: int) -> pl.DataFrame:
        """Every request that was not dropped, `count` times over: columns of `ids`, and `index` from 0."""
        kept = ids.filter(~pl.col(ids.columns[0]).is_in(self.dropped["id"].implode()))
        return kept.join(pl.DataFrame({index: pl.Series(range(count), dtype=pl.Int32)}), how="cross")

    def responses(self) -> pl.DataFrame:
        wanted = self.asked(
            self.upstream("prompts").select("prompt_id").collect(), "k", self.settings["responses"]["k"]
        )
        wanted = wanted.with_columns(response_id=response_ids(self.t, "prompt_id", "k"))
        there = self.table.select("response_id", "prompt_id", "k", "response").collect()
        marked = mark_duplicates(there).select("response_id", "duplicate_of").unique("response_id")
        return wanted.join(marked, on="response_id", how="left")

    def judgments(self) -> pl.DataFrame:
        judged = self.upstream("responses").filter(pl.col("duplicate_of").is_null()).select("response_id").collect()
        return self.judged(judged)

    def judged(self, judged: pl.DataFrame) -> pl.DataFrame:
        """The judgments, or rewards, that there should be of these responses, with the scores that the texts give."""
        by_rewards, probe = self.settings.get("reward_model") is not None, self.settings.get("probe", {})
        n = 1 if by_rewards else probe.get("per_response") or self.settings["judgments"]["n"]
        wanted = self.asked(judged, "n", n)
        wanted = wanted.with_columns(judgment_id=judgment_ids("response_id", "n"))
        given = self.settings["judgments"]
        scoring, how = Scoring.of(given), given.get("score_line", "sampled")
        if by_rewards:
            found = with_rewards(self.table.select("judgment_id", "judgment"))
        elif how == "sampled":
            found = with_scores(self.table.select("judgment_id", "judgment"), scoring)
        else:
            table = self.table.select("judgment_id", "judgment", "score", "invalid").collect()
            found = rescored(table, scoring, how).lazy()
        scored = found.drop("judgment").collect(engine="streaming")
        return wanted.join(scored.unique("judgment_id"), on="judgment_id", how="left")

    def probe_judgments(self) -> pl.DataFrame:
        responses = self.upstream("held_out_responses", "the seed").collect()
        return self.judged(mark_duplicates(responses).filter(pl.col("duplicate_of").is_null()).select("response_id"))

    def scoring_shift(self) -> pl.DataFrame:
        own, seed = (self.upstream("probe_judgments", of) for of in ("its own", "the seed"))
        previous = None if self.t == "seed" else self.upstream("probe_judgments", "the previous")
        return scoring_shift(self.upstream("held_out_responses", "the seed"), own, previous, seed)

    def scored(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Responses and judgments, without what neither pairs nor variances are made of."""
        responses = self.upstream("responses").drop("token_ids").collect()
        return responses, self.upstream("judgments").select("judgment_id", "response_id", "score").collect()

    def actor_pairs(self) -> Selected:
        given = self.settings
        return actor_pairs(
            *self.scored(),
            rho=given["iteration.rho"],
            max_chosen_chars=given["iteration.max_chosen_chars"],
            seed=given["seed"],
            cut_off=given["switches.cut_off"],
        )

    def selected_responses(self) -> Selected:
        return select_responses(*self.scored(), seed=self.settings["seed"])

    @staticmethod
    def hashed(battles: pl.LazyFrame) -> pl.LazyFrame:
        """Meta-judgments with hashes for texts: half a million of them are not to be in memory twice."""
        text = pl.col("meta_judgment")
        return battles.with_columns(pl.when(text.is_not_null()).then(text.hash()).alias("meta_judgment"))

    def meta_judgments(self) -> pl.DataFrame:
        """Which battles there are, who won by the text, and copied verdicts from where they were copied."""
        once = self.settings["meta_judgments"]["sample_distinct_once"]
        fought = battles(self.upstream("selected_responses"), self.upstream("judgments"), sample_distinct_once=once)
        given = self.settings["meta_judgments"]
        verdicts, again = Verdicts.of(given), given.get("winner_line", "sampled") == "asked_again"
        texts = self.table.select(
            "meta_judgment", "finish_reason", *["winner", "invalid"] * again, source="meta_judgment_id"
        )
        said = redecided(texts.collect(), verdicts).lazy() if again else with_winners(texts, verdicts)
        parsed = self.hashed(said).collect(engine="streaming").unique("source")
        too_long, was_sampled = self.dropped["id"], ~pl.col("not_sampled")
        return (
            fought.with_columns(source=pl.coalesce("copied_from", "meta_judgment_id"))
            .join(parsed, on="source", how="left", maintain_order="left")
            .with_columns(not_sampled=pl.col("identical") | pl.col("source").is_in(too_long.implode()))
            .with_columns(
                *(pl.when(was_sampled).then(c).alias(c) for c in ("meta_judgment", "finish_reason", "winner")),
                invalid=pl.when("identical")
                .then(pl.lit("identical_battle"))
                .when("not_sampled")
                .then(pl.lit("prompt_too_long"))
                .otherwise(pl.when(pl.col("meta_judgment").is_null()).then(pl.lit("no_text")).otherwise("invalid")),
            )
            .drop("identical", "source", "not_sampled")
        )

    def battle_matrices(self) -> Selected:
        tables = self.upstream("meta_judgments"), self.upstream("selected_responses")
        return battle_matrices(*tables, scope=self.settings["switches.omega_scope"])

    def elo_pairs(self) -> Selected:
        given = self.settings
        return elo_pairs(
            self.upstream("battle_matrices"),
            self.upstream("judgments").drop("token_ids"),
            max_chosen_chars=given["iteration.max_chosen_judgment_chars"],
            ridge=given["switches.elo_ridge"],
            tolerance=given["switches.elo_tie_tolerance"],
            seed=given["seed"],
            cut_off=given.get("switches.cut_off", "never_chosen"),  # runs of older versions had no choice
        )

    def rendering(self) -> dict[str, Any]:
        """How the chat template rendered its prompts."""
        given = {path.removeprefix("model."): self.settings[path] for path in RENDERING if path in self.settings}
        return self.run.recipe.model.model_copy(update=given).rendering()

    def human_agreement(self) -> pl.DataFrame:
        """Means and what comes of them, as far as the table has it: those of earlier versions are without places."""
        found = with_agreement(self.table.select("response_id", "prompt_id", "rank", "scores").collect())
        there = self.table.collect_schema().names()
        return found.select(column for column in found.columns if column in there)

    def win_rates(self) -> pl.DataFrame:
        """Who won by the scores: a world's truth is upstream, those of a judge cannot be worked out again here."""
        judge, given = self.settings["win_rates"]["judge"], self.table.select("response_id", "score", "seed_score")

        def scored(responses: pl.LazyFrame, column: str) -> pl.DataFrame:
            if judge == WORLD:
                return responses.with_columns(score="true_score").collect()
            scores = given.select("response_id", score=column)
            return responses.join(scores, on="response_id", how="left", maintain_order="left").collect()

        own, seeds = (self.upstream("held_out_responses", of) for of in ("its own", "the seed"))
        return win_rates(scored(own, "score"), scored(seeds, "seed_score"), judge)

    def dpo_dataset(self) -> Selected:
        from mr_assets.chat import ChatEncoder

        given, policy = self.settings, self.staleness.record(("policy", self.t))
        assert policy is not None and policy.model is not None, "its inputs name it"
        tables = ("actor_pairs", "elo_pairs", "responses", "judgments", "prompts")
        fetch_files(self.run.data / policy.model["path"] / "complete.json")
        return dpo_dataset(
            *(self.upstream(table) for table in tables),
            judge_template=judge_template(self.run.template(given["judgments.template"])),
            encoder=ChatEncoder.load(self.run.data / policy.model["path"], **self.rendering()),
            judge_share_cap=given["switches.judge_share_cap"],
            judge_pairs=given.get("switches.judge_pairs", "as_ranked"),  # runs of older versions had no choice
            max_length=given["dpo.max_length"],
            seed=given["seed"],
        )


# How rows and figures are worked out again is this module's own matter, and no row of the loop: an asset that is in
# neither table is held against its record alone.
RECOMPUTE: dict[str, Callable[[_Artifact], Selected | pl.DataFrame | None]] = {
    "ranked_replies": _Artifact.ranked_replies,
    "eft_judgments": _Artifact.eft_judgments,
    "eft_dataset": _Artifact.eft_dataset,
    "generated_prompts": _Artifact.generated_prompts,
    "seed_prompts": _Artifact.seed_prompts,
    "prompts": _Artifact.prompts,
    "responses": _Artifact.responses,
    "judgments": _Artifact.judgments,
    "actor_pairs": _Artifact.actor_pairs,
    "selected_responses": _Artifact.selected_responses,
    "meta_judgments": _Artifact.meta_judgments,
    "battle_matrices": _Artifact.battle_matrices,
    "elo_pairs": _Artifact.elo_pairs,
    "dpo_dataset": _Artifact.dpo_dataset,
    "win_rates": _Artifact.win_rates,
    "human_agreement": _Artifact.human_agreement,
    "labelled_pairs": lambda it: with_verdicts(it.table.collect()),
    "probe_judgments": _Artifact.probe_judgments,
    "scoring_shift": _Artifact.scoring_shift,
}
_FIGURES: dict[str, Callable[[_Artifact], Mapping[str, Any]]] = {
    "ranked_replies": lambda it: ranked_reply_numbers(it.table),
    "eft_judgments": _Artifact.judgment_figures,
    "eft_dataset": lambda it: eft_numbers(it.table.collect(), it.dropped),
    "responses": lambda it: response_numbers(it.table),
    "judgments": _Artifact.judgment_figures,
    "actor_pairs": lambda it: actor_pair_numbers(it.table, it.upstream("responses")),
    "selected_responses": lambda it: selected_response_numbers(it.table),
    "meta_judgments": _Artifact.meta_judgment_figures,
    "battle_matrices": lambda it: battle_matrix_numbers(it.table),
    "elo_pairs": _Artifact.elo_pair_figures,
    "dpo_dataset": lambda it: dpo_dataset_numbers(it.table),
    "sft_checkpoint": _Artifact.log_figures,
    "checkpoints": _Artifact.log_figures,
    "evaluation": _Artifact.evaluation_figures,
    "probe_judgments": _Artifact.judgment_figures,
    "scoring_shift": lambda it: scoring_shift_numbers(it.table, it.scoring),
    "win_rates": lambda it: win_rate_numbers(it.table.collect()),
    "held_out_responses": lambda it: held_out_response_numbers(it.table),
    "human_agreement": lambda it: agreement_numbers(it.table.collect()),
    "labelled_pairs": lambda it: labelled_pair_numbers(it.table.collect()),
}


def _section(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A section of settings, be it noted whole or field by field."""
    fields = {path.partition(".")[2]: value for path, value in settings.items() if path.startswith(f"{name}.")}
    return {**settings.get(name, {}), **fields}


def _height(table: pl.LazyFrame) -> int:
    return int(table.select(pl.len()).collect().item())


def _missing(wanted: pl.DataFrame, there: pl.DataFrame, key: str) -> pl.Series:
    return wanted.join(there, on=key, how="anti")[key].unique().sort()


def _close(a: Any, b: Any, tolerance: float) -> bool:
    """Whether two values are the same but for rounding: numbers, and lists and objects of them.

    Two whole numbers are compared exactly; one of them may be written as a float.
    """
    if isinstance(a, int | float) and isinstance(b, int | float) and float in (type(a), type(b)):
        return isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_close(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[name], b[name], tolerance) for name in a)
    return bool(a == b)


def _read(numbers: str) -> Any:
    try:
        return json.loads(numbers)
    except ValueError:
        return None
