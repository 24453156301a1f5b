"""The lineage of an id, read from a run's tables: rows of one prompt, and the records of the models."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import polars as pl

from mr_assets.errors import UserError
from mr_assets.ids import PAIR_ASSETS, Id, PairKind, kind_of_pair, parsed, response_of, sample_of
from mr_assets.judging import Scoring
from mr_assets.lineage.facts import (
    MARGIN_NOTE,
    ActorRule,
    Battle,
    Contest,
    Descent,
    Draw,
    Dropped,
    Elo,
    Generated,
    Judgment,
    Lineage,
    Matrix,
    Model,
    Pair,
    Prompt,
    Provenance,
    Response,
    RewardMargin,
    Round,
)
from mr_assets.lineage.lookup import iterations_of, located
from mr_assets.lineage.replies import DATASET, REPLIES, reply
from mr_assets.lineage.rows import dropped_of, generated_row, ids_of, margins_of, read, rows_of
from mr_assets.lineage.staleness import StaleLink, Staleness
from mr_assets.loop import LOOP, Place, titled
from mr_assets.method.actor_pairs import tiers
from mr_assets.method.dpo_dataset import turned
from mr_assets.method.dropped import REASONS, in_words
from mr_assets.method.judgments import response_scores
from mr_assets.runs.record import Record
from mr_assets.runs.run import Run
from mr_assets.tables import draws
from mr_assets.worlds.truth import checker

Row = dict[str, Any]
_COUNTS = ("pairs", "actor pairs", "judge pairs", "examples")  # of a table that a model was trained on


def _tables() -> list[str]:
    """The tables of an iteration whose rows are read."""
    return [a for a in LOOP.per("iteration") if LOOP[a].holds == "table" and a != "dpo_dataset"]  # its rows are pairs


def trace(run: Run, identity: str) -> Lineage:
    """The whole lineage of an id of a run, back and forward.

    identity: of a pair, prompt, response, judgment, battle or model, as `mr_assets.lineage.lookup` shows them;
    for an id of any run see `trace_any`. Of a pair that was not made, the lineage says why not.
    Raises `UserError` if it is no id, or if the run does not have it.
    """
    return _traced(*located(f"{run.name}/{identity.removeprefix(f'{run.name}/')}", {run.name: run}))


def trace_any(identity: str, runs: Mapping[str, Run]) -> Lineage:
    """The lineage of an id of any run, ``run/id`` where several have it. Raises `UserError` as `trace` does."""
    return _traced(*located(identity, runs))


def _traced(run: Run, found: Id) -> Lineage:
    staleness = Staleness(run)
    if found.kind == "model":
        return _of_model(staleness, found)
    if found.kind in ("reply", "example"):
        return _of_reply(staleness, found)
    rounds: list[Round] = []
    descent: list[Descent] = []
    broken: dict[StaleLink, None] = {}
    for t in [found.iteration] if found.iteration else iterations_of(run, found):  # which it is known to have
        reading = _Reading(staleness, t, found)
        round_ = reading.round()
        rounds.append(round_)
        descent += list(_descent(round_, found))
        broken |= dict.fromkeys(staleness.all_broken((found.asset, t), t))
    trained = {pair.id for round_ in rounds for pair in round_.pairs if pair.trained}
    used = {each.provenance.partition: None for each in descent if each.direct and each.pair_id in trained}
    later = _models_after(staleness, filter(None, used))
    return Lineage(run.name, found.text, found.kind, tuple(rounds), None, tuple(descent), later, tuple(broken))


def why_stale(run: Run, lineage: Lineage, now: Mapping[Place, str]) -> tuple[str, ...]:
    """Why the run would make something of a lineage again, changed settings for one, where no broken link says so.

    now: what of the run is stale, as `mr_assets.lineage.staleness.stale_now` says. Of each iteration the first artifact
    is named: what the id is of, or what was made of that.
    """
    if lineage.broken:
        return ()
    found, staleness = parsed(lineage.id), Staleness(run)
    if found.kind in ("reply", "example"):
        return tuple(f"{titled(*place)}: {now[place]}" for place in (DATASET, REPLIES) if place in now)[:1]
    if found.kind == "model":
        firsts = [run.model_at(found.iteration or "0")]
        return tuple(f"{titled(*place)}: {now[place]}" for place in firsts if place in now)
    said = []
    for round_ in lineage.rounds:
        focus = (found.asset, round_.iteration)
        after = [(asset, round_.iteration) for asset in run.loop.per("iteration")]
        among = [focus, *(place for place in after if focus in staleness.ancestors(place))]
        said += [f"{titled(*place)}: {now[place]}" for place in among if place in now][:1]
    return tuple(said)


# -------------------------------------------------------------------------------------------------------- an iteration


@dataclass
class _Reading:
    """What the tables of iteration `t` say of a prompt, as far as it belongs to the lineage of `focus`."""

    staleness: Staleness
    t: str
    focus: Id
    _provenance: dict[str, Provenance] = field(default_factory=dict)

    @property
    def run(self) -> Run:
        return self.staleness.run

    @property
    def prompt_id(self) -> str:
        assert self.focus.prompt_id is not None
        return self.focus.prompt_id

    @cached_property
    def shown(self) -> set[str]:
        """The assets that belong."""
        there = self.staleness.shown((self.focus.asset, self.t), self.t)
        return {a for a in there if a not in _tables() or self.run.path(a, self.t).exists()}

    @cached_property
    def tables(self) -> dict[str, pl.DataFrame]:
        """The prompt's rows of every table that belongs."""
        return {a: rows_of(self.run, a, self.t, self.prompt_id) for a in _tables() if a in self.shown}

    def rows(self, asset: str) -> list[Row]:
        return self.tables[asset].to_dicts() if asset in self.tables else []

    def record(self, asset: str) -> Record:
        record = self.staleness.record((asset, self.t))
        assert record is not None, asset
        return record

    def provenance(self, asset: str) -> Provenance:
        if asset not in self._provenance:
            self._provenance[asset] = Provenance.of(self.record(asset))
        return self._provenance[asset]

    @cached_property
    def dropped(self) -> tuple[Dropped, ...]:
        """Everything of the prompt that an asset which belongs dropped, in the order of the loop."""
        there = [a for a in self.run.loop.per("iteration") if a in self.shown and LOOP[a].holds == "table"]
        return tuple(each for asset in there for each in self._dropped(asset))

    def _dropped(self, asset: str) -> Iterator[Dropped]:
        for identity, reason, numbers in dropped_of(self.run, asset, self.t, self.prompt_id).iter_rows():
            given = json.loads(numbers)
            yield Dropped(identity, reason, in_words(reason, given), given, self.provenance(asset))

    @property
    def generated(self) -> Generated | None:
        """The request of a model that the prompt comes of, if one made it and is there as it was."""
        line: list[Place] = [("prompts", self.t), ("seed_prompts", None), ("generated_prompts", None)]
        record = self.staleness.record(line[-1]) if line[-1][0] in self.run.loop else None
        if record is None or not all(self.staleness.made_of(*link) for link in pairwise(line)):
            return None
        rows = generated_row(self.run, self.prompt_id)
        generator = record.settings.get("prompts.generator") or record.settings.get("model.seed")
        return next(
            (Generated(str(generator), r["request_id"], tuple(r["shown"]), Provenance.of(record)) for r in rows), None
        )

    def round(self) -> Round:
        policy = ("policy", self.t)
        contest = self.contest
        return Round(
            iteration=self.t,
            prompt=next(
                (
                    Prompt(r["prompt_id"], r["prompt"], self.provenance("prompts"), self.generated)
                    for r in self.rows("prompts")
                ),
                None,
            ),
            policy=_policy(self.staleness, policy) if "policy" in self.shown else None,
            responses=tuple(self.responses()),
            rule=self.rule,
            contest=contest,
            pairs=tuple(self.pairs()),
            dropped=self.dropped,
            judge_training=self.run.recipe.row(int(self.t)).judge_training,
            scale=self.scale,
            reward_model=self.reward_model,
        )

    @property
    def reward_model(self) -> str | None:
        """The reward model that scored the responses; None where the policy judged them."""
        record = self.staleness.record(("judgments", self.t))
        section = record.settings.get("reward_model") if record else None
        return section["folder"] if section else None

    @property
    def scale(self) -> tuple[float, float]:
        """The lowest and the highest score of the judgments; the recipe's where there are none. Of rewards, which have
        no scale, those of this prompt."""
        record = self.staleness.record(("judgments", self.t))
        if self.reward_model:
            given = [row["score"] for row in self.rows("judgments")] or [0.0]
            return min(given), max(given) if max(given) > min(given) else min(given) + 1
        scoring = Scoring.of(record.settings["judgments"]) if record else self.run.recipe.judgments.scoring
        return scoring.lowest, scoring.highest

    # ---------------------------------------------------------------------------------------------------- responses

    @cached_property
    def scores(self) -> dict[str, Row]:
        """Mean, variance and, where an actor pair was looked for, tiers of every response that is no duplicate."""
        if "responses" not in self.tables or "judgments" not in self.tables:
            return {}
        both = self.tables["responses"], self.tables["judgments"]
        if "actor_pairs" in self.shown:
            found = tiers(*both, self.record("actor_pairs").settings["iteration.rho"])
        else:
            found = response_scores(*both).collect()
        return {row["response_id"]: row for row in found.drop("response").to_dicts()}

    @cached_property
    def truth(self) -> dict[str, float]:
        """The true score of every response that a world knows one of."""
        check, prompt = checker(self.run.recipe), next(iter(self.rows("prompts")), None)
        if check is None or prompt is None:
            return {}
        scores = {row["response_id"]: check(prompt["prompt"], row["response"]) for row in self.rows("responses")}
        return {identity: score for identity, score in scores.items() if score is not None}

    @cached_property
    def offs(self) -> dict[str, float]:
        """By how much each judgment with a score misses the true one."""
        rows = [row for row in self.rows("judgments") if row["score"] is not None and row["response_id"] in self.truth]
        return {row["judgment_id"]: row["score"] - self.truth[row["response_id"]] for row in rows}

    def _true_gap(self, kind: PairKind, chosen: str, rejected: str) -> float | None:
        known = self.truth if kind == "actor" else {identity: -abs(off) for identity, off in self.offs.items()}
        return known[chosen] - known[rejected] if chosen in known and rejected in known else None

    def responses(self) -> Iterator[Response]:
        judgments: dict[str, list[Judgment]] = {}
        for row in sorted(self.rows("judgments"), key=lambda row: row["n"]):
            judgments.setdefault(row["response_id"], []).append(self._judgment(row))
        selected = {row["response_id"] for row in self.rows("selected_responses")}
        for row in sorted(self.rows("responses"), key=lambda row: row["k"]):
            identity = row["response_id"]
            score = self.scores.get(identity, {})
            yield Response(
                id=identity,
                k=row["k"],
                text=row["response"],
                chars=len(row["response"]),
                finish_reason=row["finish_reason"],
                duplicate_of=row["duplicate_of"],
                judged=score.get("judgments"),
                valid=score.get("valid"),
                mean=score.get("mean"),
                variance=score.get("variance"),
                in_top=score.get("in_top"),
                in_bottom=score.get("in_bottom"),
                selected=identity in selected if "selected_responses" in self.tables else None,
                judgments=tuple(judgments.pop(identity, ())),
                dropped=tuple(each for each in self.dropped if each.id == identity),
                provenance=self.provenance("responses"),
                true_score=self.truth.get(identity),
            )
        for (
            identity,
            theirs,
        ) in judgments.items():  # whose responses were re-materialized since
            k = sample_of(identity)
            unknown = dict.fromkeys(("judged", "valid", "mean", "variance", "in_top", "in_bottom", "selected"))
            provenance = self.provenance("judgments")
            yield Response(
                identity,
                k,
                None,
                None,
                None,
                None,
                **unknown,
                judgments=tuple(theirs),
                dropped=(),
                provenance=provenance,
            )

    def _judgment(self, row: Row) -> Judgment:
        return Judgment(
            id=row["judgment_id"],
            n=row["n"],
            text=row["judgment"],
            score=row["score"],
            invalid=row["invalid"],
            why_invalid=_why(row["invalid"]),
            finish_reason=row["finish_reason"],
            provenance=self.provenance("judgments"),
            off=self.offs.get(row["judgment_id"]),
        )

    @cached_property
    def rule(self) -> ActorRule | None:
        scored = [row for row in self.scores.values() if row["mean"] is not None and "in_top" in row]
        if not scored:
            return None
        settings = self.record("actor_pairs").settings
        may = settings["switches.cut_off"] == "eligible"
        eligible = [row for row in scored if row["in_top"] and not row["blank"] and (may or not row["cut_off"])]
        bottom = [row for row in scored if row["in_bottom"]]
        shortest = min((row["chars"] for row in eligible), default=0)
        longest = max((row["chars"] for row in bottom), default=0)
        tied = {
            "chosen": [row["response_id"] for row in eligible if row["chars"] == shortest],
            "rejected": [row["response_id"] for row in bottom if row["chars"] == longest],
        }
        return ActorRule(
            rho=settings["iteration.rho"],
            **{name: scored[0][name] for name in ("score_max", "score_min", "top_from", "bottom_to")},
            top=tuple(row["response_id"] for row in scored if row["in_top"]),
            eligible=tuple(row["response_id"] for row in eligible),
            bottom=tuple(row["response_id"] for row in bottom),
            max_chosen_chars=settings["iteration.max_chosen_chars"],
            draws=draws_of("actor_pairs", tied, settings["seed"]),
            provenance=self.provenance("actor_pairs"),
        )

    # ---------------------------------------------------------------------------------------------------- judge's side

    @cached_property
    def contest(self) -> Contest | None:
        for row in self.rows("selected_responses"):
            variances = {i: s["variance"] for i, s in self.scores.items() if s["variance"] is not None}
            tied = [i for i, variance in variances.items() if variance == row["score_variance"]]
            seed = f"selected|{self.record('selected_responses').settings['seed']}"
            return Contest(
                response_id=row["response_id"],
                variance=row["score_variance"],
                variances=variances,
                draw=draw_between("selected", tied, seed),
                battles=tuple(sorted(map(self._battle, self.rows("meta_judgments")), key=lambda each: each.order)),
                matrix=next(map(self._matrix, self.rows("battle_matrices")), None),
                elo=self._elo(),
                provenance=self.provenance("selected_responses"),
            )
        return None

    def _battle(self, row: Row) -> Battle:
        return Battle(
            id=row["meta_judgment_id"],
            first_id=row["first_id"],
            second_id=row["second_id"],
            text=row["meta_judgment"],
            winner=row["winner"],
            invalid=row["invalid"],
            why_invalid=_why(row["invalid"]),
            copied_from=row["copied_from"],
            finish_reason=row["finish_reason"],
            provenance=self.provenance("meta_judgments"),
        )

    def _matrix(self, row: Row) -> Matrix:
        numbers = ("omega_1", "omega_2", "win_first", "win_second", "strongly_connected")
        return Matrix(
            judgment_ids=tuple(row["judgment_ids"]),
            cells=tuple(tuple(cells) for cells in row["matrix"]),
            **{name: row[name] for name in numbers},
            provenance=self.provenance("battle_matrices"),
        )

    def _elo(self) -> Elo | None:
        """The Elo as elo_pairs has it: in the pair, or in the numbers of what it dropped."""
        given = [row["elo"] for row in self.rows("elo_pairs")]
        given += [x.numbers["elo"] for x in self.dropped if x.provenance.asset == "elo_pairs" and "elo" in x.numbers]
        matrices = self.rows("battle_matrices")
        if not given or not matrices:
            return None
        scores = dict(zip(matrices[0]["judgment_ids"], given[0], strict=True))
        settings = self.record("elo_pairs").settings
        tolerance = settings["switches.elo_tie_tolerance"]
        cut_off = {row["judgment_id"] for row in self.rows("judgments") if row["finish_reason"] == "length"}
        top = [i for i, elo in scores.items() if elo >= max(scores.values()) - tolerance]
        bottom = [i for i, elo in scores.items() if elo <= min(scores.values()) + tolerance]
        if settings.get("switches.cut_off") == "eligible":
            cut_off = set()
        tied = {"chosen": [i for i in top if i not in cut_off], "rejected": bottom}
        return Elo(
            scores=scores,
            ridge=settings["switches.elo_ridge"],
            tolerance=tolerance,
            top=tuple(top),
            bottom=tuple(bottom),
            max_chosen_chars=settings["iteration.max_chosen_judgment_chars"],
            draws=draws_of("elo", tied, settings["seed"]),
            provenance=self.provenance("elo_pairs"),
        )

    # ---------------------------------------------------------------------------------------------------------- pairs

    def pairs(self) -> Iterator[Pair]:
        worth: dict[PairKind, str] = {"actor": "score", "judge": "elo"}
        for kind, name in worth.items():
            rows = self.rows(PAIR_ASSETS[kind])
            place, at = (PAIR_ASSETS[kind], self.t), ("dpo_dataset", self.t)
            dataset = bool(rows) and self.staleness.made_of(at, place) and self.run.path(*at).exists()
            taken = set(ids_of(self.run, *at, self.prompt_id)) if dataset else set()
            outs = {x.id: x for x in self._dropped("dpo_dataset")} if dataset else {}
            given = self.record("dpo_dataset").settings if taken else {}
            shuffled = kind == "judge" and given.get("switches.judge_pairs") == "shuffled"
            for row in rows:
                trained = row["pair_id"] in taken and self.staleness.made_of(("checkpoints", self.t), at)
                yield Pair(
                    id=row["pair_id"],
                    kind=kind,
                    chosen_id=row["chosen_id"],
                    rejected_id=row["rejected_id"],
                    chosen_worth=row[f"chosen_{name}"],
                    rejected_worth=row[f"rejected_{name}"],
                    chosen_chars=row["chosen_chars"],
                    rejected_chars=row["rejected_chars"],
                    dataset=self.provenance("dpo_dataset") if row["pair_id"] in taken else None,
                    dropped=outs.get(row["pair_id"]),
                    trained=self.provenance("checkpoints") if trained else None,
                    margin=self._margin(row["pair_id"]) if trained else None,
                    provenance=self.provenance(PAIR_ASSETS[kind]),
                    true_gap=self._true_gap(kind, row["chosen_id"], row["rejected_id"]),
                    turned=shuffled and row["pair_id"] in taken and turned(row["pair_id"], given["seed"]),
                )

    @cached_property
    def margins(self) -> dict[str, Row]:
        """By pair, the rewards under the model that was trained in the iteration."""
        return {row["pair_id"]: row for row in margins_of(self.run, self.t, self.prompt_id).to_dicts()}

    def _margin(self, pair_id: str) -> RewardMargin:
        from mr_assets.training.log import last_epoch, read_log

        after = self.margins.get(pair_id, {})
        log = read_log(self.run.path("checkpoints", self.t))
        first = log["reward margin"][0] if log.height else None
        last = last_epoch(log).get("reward margin, mean of the last epoch")
        return RewardMargin(
            before=0.0,
            after=after.get("reward_margin"),
            chosen_after=after.get("chosen_reward"),
            rejected_after=after.get("rejected_reward"),
            batch_before=first,
            batch_after=last,
            note=None if after else MARGIN_NOTE,
        )


def _why(invalid: str | None) -> str | None:
    return None if invalid is None else REASONS.get(invalid, invalid)


def draws_of(asset: str, tied: Mapping[str, Sequence[str]], seed: int | str) -> tuple[Draw, ...]:
    """The draws that an asset made between equals, for each side ("chosen", "rejected") where there were several."""
    found = [draw_between(side, ids, f"{asset}|{side}|{seed}") for side, ids in tied.items()]
    return tuple(draw for draw in found if draw)


def draw_between(side: str, tied: Sequence[str], seed: str) -> Draw | None:
    """The draw between equals, as `mr_assets.method.ties` draws; None if there is nothing to draw."""
    if len(tied) < 2:
        return None
    among = dict(zip(tied, draws(tied, seed), strict=True))
    return Draw(side, seed, among, min(tied, key=lambda i: (among[i], i)))


# -------------------------------------------------------------------------------------------------------------- forward


def _descent(round_: Round, found: Id) -> Iterator[Descent]:
    """The pairs of a round that came of an id, and its part in them."""
    for pair in round_.pairs:
        if part := _part(round_, pair, found):
            yield Descent(pair.id, pair.kind, *part, pair.provenance)


def _part(round_: Round, pair: Pair, found: Id) -> tuple[str, bool] | None:
    """What an id had to do with a pair, and whether directly; None if nothing."""
    response = response_of(found.text)
    judged = round_.contest.response_id if round_.contest and pair.kind == "judge" else None
    match found.kind:
        case "pair":
            return ("the pair itself", True) if pair.id == found.text else None
        case "prompt":
            return "its prompt", True
        case "battle":
            return ("one of the battles in its matrix", True) if response == judged else None
    sides = {pair.chosen_id: "chosen", pair.rejected_id: "rejected"}
    if pair.kind == "judge":
        if found.kind == "judgment" and found.text in sides:
            return f"the {sides[found.text]} judgment", True
        if response == judged:
            return ("the response judged", True) if found.kind == "response" else ("a judgment that battled", False)
        return ("another response's judgments varied more", False) if judged else None
    if response in sides:
        side = f"the {sides[response]} response"
        return (side if found.kind == "response" else f"a judgment of {side}", True)
    candidate = any(each.id == response and each.mean is not None for each in round_.responses)
    weighed = "a candidate" if found.kind == "response" else "a judgment of a candidate"
    return (weighed, False) if candidate else None


# --------------------------------------------------------------------------------------------------------------- models


def _policy(staleness: Staleness, policy: Place) -> Model | None:
    """The model that an iteration starts from, if it lies there as it was."""
    [parent] = staleness.run.ancestors(*policy)
    return _model(staleness, parent) if staleness.made_of(policy, parent) else None


def _model(staleness: Staleness, place: Place) -> Model | None:
    """A model with its ancestors back to the SFT model; they end where one was re-materialized since."""
    record = staleness.record(place)
    if record is None or record.model is None:
        return None
    asset, t = place
    data: Place = ("eft_dataset", None) if asset == "sft_checkpoint" else ("dpo_dataset", t)
    trained_on = staleness.record(data) if staleness.made_of(place, data) else None
    policy = ("policy", t)
    from_policy = asset == "checkpoints" and staleness.made_of(place, policy)
    counts = {name: trained_on.numbers[name] for name in _COUNTS if name in trained_on.numbers} if trained_on else {}
    return Model(
        name=record.model["name"],
        path=record.model["path"],
        fingerprint=record.model["fingerprint"],
        settings=record.settings,
        numbers=record.numbers,
        trained_on=Provenance.of(trained_on) if trained_on else None,
        pairs=counts,
        parent=_policy(staleness, policy) if from_policy else None,
        seed=record.settings.get("model.seed") if asset == "sft_checkpoint" else None,
        pruned=record.pruned,
        provenance=Provenance.of(record),
    )


def _with_heirs(staleness: Staleness, t: str) -> Iterator[Place]:
    """Model `t`, then the one that was trained from it, and so on, as far as they lie there as they were."""
    place = staleness.run.model_at(t)
    yield place
    after = str(int(t) + 1)
    policy, heir = ("policy", after), ("checkpoints", after)
    if after in staleness.run.iterations and staleness.made_of(policy, place) and staleness.made_of(heir, policy):
        yield from _with_heirs(staleness, after)


def _models_after(staleness: Staleness, trained_in: Iterable[str]) -> tuple[Model, ...]:
    """The models trained in these iterations, and those that were trained from them."""
    places = dict.fromkeys(place for t in trained_in for place in _with_heirs(staleness, t))
    return tuple(model for place in places if (model := _model(staleness, place)))


def _of_reply(staleness: Staleness, found: Id) -> Lineage:
    """A ranked reply, or a judgment or an example that was made of it, and the models that were trained on that."""
    whole = reply(staleness, found.text)
    trained = any(found.text in (whole.id, each.id) for each in whole.examples)
    later = _models_after(staleness, ["0"]) if trained and staleness.made_of(("sft_checkpoint", None), DATASET) else ()
    broken = staleness.broken_behind(DATASET)
    return Lineage(staleness.run.name, found.text, found.kind, (), None, (), later, broken, whole)


def _of_model(staleness: Staleness, found: Id) -> Lineage:
    """The lineage of a model: back to the SFT model, and the pairs that it was trained on and that it wrote."""
    run, t = staleness.run, found.iteration or "0"
    place = run.model_at(t)
    descent: list[Descent] = []
    if place[0] == "checkpoints" and staleness.made_of(place, ("dpo_dataset", t)):
        descent += _pairs_of(staleness, t, ("dpo_dataset",), "trained on")
    broken = dict.fromkeys(staleness.broken_behind(place))
    after = str(int(t) + 1)
    if after in run.iterations and staleness.made_of(("policy", after), place):
        written = [a for a in PAIR_ASSETS.values() if staleness.follows((a, after), ("policy", after))]
        descent += _pairs_of(staleness, after, written, "written by it")
        broken |= dict.fromkeys(
            b for a in PAIR_ASSETS.values() for b in staleness.broken((a, after), ("policy", after))
        )
    _, *heirs = _with_heirs(staleness, t)
    later = tuple(model for heir in heirs if (model := _model(staleness, heir)))
    model = _model(staleness, place)
    return Lineage(run.name, found.text, found.kind, (), model, tuple(descent), later, tuple(broken))


def _pairs_of(
    staleness: Staleness, t: str, assets: Sequence[str], role: Literal["trained on", "written by it"]
) -> Iterator[Descent]:
    for asset in assets:
        record = staleness.record((asset, t))
        if record is None or not staleness.run.path(asset, t).exists():
            raise UserError(f"{asset} of iteration {t} is not there. Materialize it again.")
        ids = read(staleness.run, asset, t, ["pair_id"])["pair_id"].sort()
        for pair in ids:
            yield Descent(pair, kind_of_pair(pair), role, True, Provenance.of(record))
