"""The lineage of every id of a finished run, held against its tables in plain Python."""

import json
from itertools import chain
from statistics import mean, pvariance
from typing import Any

import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.lineage import trace
from mr_assets.lineage.facts import Lineage, Provenance, Round
from mr_assets.lineage.pairs import KINDS
from mr_assets.lineage.tracing import draw_between, draws_of
from mr_assets.loop import LOOP
from mr_assets.method.actor_pairs import actor_pairs
from mr_assets.method.elo_pairs import elo_pairs
from mr_assets.method.selected_responses import select_responses
from mr_assets.runs.run import Run
from mr_assets.tables import (
    BATTLE_MATRICES,
    TABLES,
    dropped_path,
)
from mr_assets.training.margins import MARGINS
from mr_assets_tests.lineage.conftest import change, dropped, rematerialized, table

Row = dict[str, Any]


def rows(run: Run, asset: str, t: str = "1") -> dict[str, Row]:
    """A table's rows by id."""
    frame = table(run, asset, t)
    key = {"selected_responses": "response_id"}.get(asset, frame.columns[0])
    return {row[key]: row for row in frame.to_dicts()}


def only(lineage: Lineage) -> Round:
    [round_] = lineage.rounds
    return round_


@pytest.fixture
def actor(finished: Run) -> str:
    return table(finished, "actor_pairs")["pair_id"][0]


@pytest.fixture
def judge(finished: Run) -> str:
    return table(finished, "elo_pairs")["pair_id"][0]


# ------------------------------------------------------------------------------------------------------------- back


def test_every_response_comes_with_its_judgments_and_their_mean(finished: Run) -> None:
    """All K of every prompt: texts, lengths, scores, mean and variance of the valid ones, duplicates marked."""
    responses, judgments = rows(finished, "responses"), rows(finished, "judgments")
    for prompt, row in rows(finished, "prompts").items():
        round_ = only(trace(finished, prompt))
        assert round_.prompt is not None
        assert (round_.prompt.id, round_.prompt.text) == (prompt, row["prompt"])
        assert [r.k for r in round_.responses] == [0, 1, 2, 3]
        for found in round_.responses:
            stored = responses[found.id]
            theirs = {i: j for i, j in judgments.items() if j["response_id"] == found.id}
            scores = [j["score"] for j in theirs.values() if j["score"] is not None]
            assert (found.text, found.chars) == (stored["response"], len(stored["response"]))
            assert found.duplicate_of == stored["duplicate_of"]
            assert {j.id: (j.text, j.score, j.invalid) for j in found.judgments} == {
                i: (j["judgment"], j["score"], j["invalid"]) for i, j in theirs.items()
            }
            if stored["duplicate_of"] is None:
                assert (found.judged, found.valid) == (len(theirs), len(scores))
                assert found.mean == pytest.approx(mean(scores)) if scores else found.mean is None
                assert found.variance == pytest.approx(pvariance(scores)) if len(scores) > 1 else True
            else:
                assert (found.judged, found.mean, found.judgments) == (None, None, ())


def test_the_rule_of_an_actor_pair_has_the_pairs_numbers(finished: Run) -> None:
    """Smax, Smin and bounds; chosen is the shortest that is eligible, rejected the longest of the bottom tier."""
    for identity, row in rows(finished, "actor_pairs").items():
        round_ = only(trace(finished, identity))
        rule, pair = round_.rule, round_.pair("actor")
        assert rule is not None
        assert pair is not None
        assert (rule.rho, rule.score_max, rule.score_min) == (row["rho"], row["score_max"], row["score_min"])
        chars = {r.id: r.chars or 0 for r in round_.responses}
        assert pair.chosen_id in rule.eligible
        assert chars[pair.chosen_id] == min(chars[i] for i in rule.eligible) == row["chosen_chars"]
        assert chars[pair.rejected_id] == max(chars[i] for i in rule.bottom) == row["rejected_chars"]
        assert {r.id for r in round_.responses if r.in_top} == set(rule.top)
        assert {r.id for r in round_.responses if r.in_bottom} == set(rule.bottom)
        for draw in rule.draws:
            assert draw.winner == (pair.chosen_id if draw.side == "chosen" else pair.rejected_id)
        assert (pair.chosen_worth, pair.rejected_worth) == (row["chosen_score"], row["rejected_score"])


def test_a_judge_pair_has_its_battles_matrix_and_elo(finished: Run) -> None:
    """Each battle in both orders with verdict and text; weights; the matrix; the Elo that decided."""
    battles, matrices = rows(finished, "meta_judgments"), rows(finished, "battle_matrices")
    for identity, row in rows(finished, "elo_pairs").items():
        round_ = only(trace(finished, identity))
        contest, pair = round_.contest, round_.pair("judge")
        assert contest is not None and contest.matrix is not None and contest.elo is not None and pair is not None
        assert contest.response_id == row["response_id"]
        assert contest.variance == max(contest.variances.values())
        assert {r.id for r in round_.responses if r.selected} == {row["response_id"]}
        theirs = {i: b for i, b in battles.items() if b["response_id"] == row["response_id"]}
        assert {b.id: (b.first_id, b.second_id, b.text, b.winner) for b in contest.battles} == {
            i: (b["first_id"], b["second_id"], b["meta_judgment"], b["winner"]) for i, b in theirs.items()
        }
        shown = {(b.first_id, b.second_id) for b in contest.battles}
        assert shown == {(second, first) for first, second in shown}
        stored = matrices[row["response_id"]]
        assert [list(cells) for cells in contest.matrix.cells] == stored["matrix"]
        assert (contest.matrix.omega_1, contest.matrix.omega_2) == (stored["omega_1"], stored["omega_2"])
        assert contest.matrix.strongly_connected == stored["strongly_connected"]
        assert contest.elo.scores == dict(zip(stored["judgment_ids"], row["elo"], strict=True))
        assert pair.chosen_worth == max(contest.elo.scores.values()) == contest.elo.scores[pair.chosen_id]
        assert pair.rejected_id in contest.elo.bottom


def test_the_policy_goes_back_to_the_sft_model(finished: Run) -> None:
    """Iteration 2 was written by M1, from M0, from the seed; each with the run, the data and its counts."""
    pair = table(finished, "actor_pairs", "2")["pair_id"][0]
    policy = only(trace(finished, pair)).policy
    assert policy is not None and policy.parent is not None
    assert (policy.name, policy.parent.name, policy.parent.parent) == ("M1", "M0", None)
    assert policy.fingerprint == finished.record("responses", "2").policy  # type: ignore[union-attr]
    assert policy.pairs["pairs"] == table(finished, "dpo_dataset").height
    assert policy.parent.pairs == {"examples": 12}
    assert policy.parent.seed == finished.recipe.model.seed
    assert policy.provenance.dagster_run == finished.record("checkpoints", "1").run_id  # type: ignore[union-attr]


def test_a_pair_names_the_training_that_took_it(finished: Run, actor: str) -> None:
    """And has both margins: 0 before training, and (n - 1)/4 of pair n, as the fake trainer has it, afterwards."""
    pair = only(trace(finished, actor)).pair("actor")
    assert pair is not None and pair.dataset is not None and pair.trained is not None
    assert (pair.dataset.asset, pair.trained.asset, pair.trained.partition) == ("dpo_dataset", "checkpoints", "1")
    for n, identity in enumerate(rows(finished, "dpo_dataset")):
        [margin] = [pair.margin for pair in only(trace(finished, identity)).pairs if pair.id == identity]
        assert margin is not None
        assert (margin.before, margin.after) == (0.0, (n - 1) / 4)
        assert (margin.chosen_after, margin.rejected_after) == (n / 4, 1 / 4)
        assert (margin.batch_before, margin.batch_after) == (0.1, 0.1)  # as the fake trainer logs
        assert margin.note is None


def test_a_margin_that_an_earlier_version_did_not_record_is_unknown(run: Run, actor: str) -> None:
    """Its model has no table; everything else is there."""
    (run.path("checkpoints", "1") / MARGINS).unlink()
    pair = only(trace(run, actor)).pair("actor")
    assert pair is not None and pair.margin is not None and pair.margin.note is not None
    assert (pair.margin.before, pair.margin.after, pair.margin.chosen_after) == (0.0, None, None)
    assert pair.margin.batch_after == 0.1
    assert "Materialize checkpoints again" in pair.margin.note


def test_a_model_of_another_dataset_gives_no_margin(run: Run, actor: str) -> None:
    """The dataset was re-materialized: the margins are of pairs with these ids, and not of what they are now."""
    rematerialized(run, "dpo_dataset")
    pair = only(trace(run, actor)).pair("actor")
    assert pair is not None
    assert (pair.dataset is not None, pair.trained, pair.margin) == (True, None, None)


def made_by(value: Any) -> list[Provenance]:
    """Everything that a lineage says of who made a fact."""
    if isinstance(value, Provenance):
        return [value]
    parts = value if isinstance(value, tuple | list) else vars(value).values() if hasattr(value, "__dict__") else ()
    return list(chain.from_iterable(made_by(part) for part in parts))


def test_every_fact_carries_the_dagster_run_that_made_it(finished: Run, actor: str, judge: str) -> None:
    """The run of the asset's record, whichever fact it is."""
    seen = set()
    for identity in (actor, judge):
        for provenance in made_by(trace(finished, identity)):
            record = finished.record(provenance.asset, provenance.partition)
            assert record is not None
            assert (provenance.dagster_run, provenance.version) == (record.run_id, record.version)
            seen.add(provenance.asset)
    assert seen >= set(LOOP.per("iteration")) - {"policy"}


# ---------------------------------------------------------------------------------------------------------- forward


@pytest.mark.slow
def test_ids_of_every_table_and_model_have_a_lineage(finished: Run) -> None:
    """In both iterations, up to five of a table from its first row to its last; each is about the id's own prompt."""
    for t in finished.iterations:
        for asset in ("prompts", "responses", "judgments", "meta_judgments", "actor_pairs", "elo_pairs", "dpo_dataset"):
            ids = list(rows(finished, asset, t))
            for identity in ids[:: len(ids) // 5 + 1]:
                found = trace(finished, identity)
                assert found.id == identity
                assert [round_.iteration for round_ in found.rounds] == [t]
                assert found.broken == ()
                json.dumps(found.as_json())
    for model in ("M0", "1", "M2"):
        assert trace(finished, model).model is not None


def test_a_pairs_own_texts_lead_to_it(finished: Run, actor: str, judge: str) -> None:
    """Response, judgment, battle and prompt, each with its part in the pair; models that it was trained into."""
    a, j = rows(finished, "actor_pairs")[actor], rows(finished, "elo_pairs")[judge]
    assert role(finished, a["chosen_id"], actor) == ("the chosen response", True)
    assert role(finished, f"{a['rejected_id']}.j0", actor) == ("a judgment of the rejected response", True)
    assert role(finished, a["prompt_id"], actor) == ("its prompt", True)
    assert role(finished, actor, actor) == ("the pair itself", True)
    assert role(finished, j["response_id"], judge) == ("the response judged", True)
    assert role(finished, j["chosen_id"], judge) == ("the chosen judgment", True)
    battle = next(i for i, b in rows(finished, "meta_judgments").items() if b["response_id"] == j["response_id"])
    assert role(finished, battle, judge) == ("one of the battles in its matrix", True)
    assert [m.name for m in trace(finished, actor).models] == ["M1", "M2"]


def test_a_candidate_was_weighed_and_is_not_in_the_pair(finished: Run) -> None:
    """A response that is neither chosen nor rejected took part, and no model was trained on it for that."""
    for identity, pair in rows(finished, "actor_pairs").items():
        sides = {pair["chosen_id"], pair["rejected_id"]}
        round_ = only(trace(finished, identity))
        for other in [r.id for r in round_.responses if r.mean is not None and r.id not in sides]:
            assert role(finished, other, identity) == ("a candidate", False)
            return
    pytest.fail("without a third response nothing was tested")


def role(run: Run, identity: str, pair: str) -> tuple[str, bool]:
    [found] = [d for d in trace(run, identity).descent if d.pair_id == pair]
    return found.role, found.direct


def test_a_model_leads_to_what_it_wrote_and_was_trained_on(finished: Run) -> None:
    """M1: trained on the dataset of iteration 1, it wrote the pairs of iteration 2, and M2 comes of it."""
    found = trace(finished, "M1")
    by_role = {r: {d.pair_id for d in found.descent if d.role == r} for r in ("trained on", "written by it")}
    assert by_role["trained on"] == set(rows(finished, "dpo_dataset"))
    assert by_role["written by it"] == set(rows(finished, "actor_pairs", "2"))
    assert [m.name for m in found.models] == ["M2"]
    assert {d.role for d in trace(finished, "M0").descent} == {"written by it"}
    assert {d.role for d in trace(finished, "M2").descent} == {"trained on"}


def test_what_was_dropped_says_why(finished: Run) -> None:
    """Every row of every table of what was dropped is in the lineage of its prompt, in words."""
    for asset in ("actor_pairs", "selected_responses", "elo_pairs"):
        for identity, reason, numbers in dropped(finished, asset).iter_rows():
            prompt = identity.split(".")[1] if "." in identity else identity
            found = only(trace(finished, prompt)).dropped
            [out] = [x for x in found if (x.id, x.provenance.asset) == (identity, asset)]
            assert (out.reason, out.numbers) == (reason, json.loads(numbers))
            assert " " in out.why


def test_a_pair_that_was_not_made_says_why(run: Run, actor: str) -> None:
    """All scores of the prompt are equal: the id of the pair that is not there still has an answer."""
    prompt = actor.split(".")[1]
    reason = pl.DataFrame({"id": [prompt], "reason": ["equal_scores"], "numbers": ['{"score_max":4.0}']})
    reason.write_parquet(dropped_path(run.path("actor_pairs", "1")))
    change(run, "actor_pairs", lambda frame: frame.filter(pl.col("pair_id") != actor))
    round_ = only(trace(run, actor))
    assert round_.pair("actor") is None
    why = round_.no_pair("actor")
    assert why is not None
    assert why.why == "all responses to the prompt have the same score (4)"


def test_a_prompt_that_was_too_long_says_so(run: Run, actor: str) -> None:
    """Nothing was sampled, so that there is nothing further down either."""
    prompt = actor.split(".")[1]
    judge_side = ("selected_responses", "meta_judgments", "battle_matrices", "elo_pairs")
    for asset in ("responses", "judgments", "actor_pairs", *judge_side):
        rest = table(run, asset).filter(~pl.col(TABLES[asset].key).str.contains(prompt))
        rest.write_parquet(run.path(asset, "1"))
        dropped(run, asset).clear().write_parquet(dropped_path(run.path(asset, "1")))
    reason = pl.DataFrame({"id": [prompt], "reason": ["prompt_too_long"], "numbers": ['{"prompt tokens":9000}']})
    reason.write_parquet(dropped_path(run.path("responses", "1")))
    for kind in KINDS:
        why = only(trace(run, f"1.{prompt}.{kind}")).no_pair(kind)
        assert why is not None
        assert (why.reason, why.provenance.asset) == ("prompt_too_long", "responses")


def test_an_iteration_that_trains_no_judge_says_so(finished: Run) -> None:
    prompt = table(finished, "prompts", "2")["prompt_id"][0]
    round_ = only(trace(finished, f"2.{prompt}.judge"))
    assert (round_.judge_training, round_.contest, round_.pair("judge")) == (False, None, None)


# ------------------------------------------------------------------------------------------------------------ stale


def test_judgments_that_were_rematerialized_are_not_shown_as_parents(run: Run, actor: str) -> None:
    """The pair keeps its own numbers; what broke is said; nothing is made up of the new scores."""
    rematerialized(run, "judgments")
    found = trace(run, actor)
    round_ = only(found)
    assert any("was made of judgments of iteration 1 in version" in b.why for b in found.broken)
    assert [r.judgments for r in round_.responses] == [()] * 4
    assert [(r.mean, r.in_top) for r in round_.responses] == [(None, None)] * 4
    assert round_.rule is None
    assert round_.pair("actor") is not None


def test_a_judgment_of_earlier_responses_has_no_response_text(run: Run, actor: str) -> None:
    """The text that lies there now is another's."""
    rematerialized(run, "responses")
    judgment = f"{rows(run, 'actor_pairs')[actor]['chosen_id']}.j0"
    found = trace(run, judgment)
    [response] = [r for r in only(found).responses if judgment in [j.id for j in r.judgments]]
    assert (response.text, response.chars, response.mean) == (None, None, None)
    assert found.broken


def test_a_model_that_was_trained_again_is_not_the_parent(run: Run) -> None:
    """M1 is another by now: what iteration 2 sampled was not written by it."""
    rematerialized(run, "checkpoints", "1")
    pair = table(run, "actor_pairs", "2")["pair_id"][0]
    found = trace(run, pair)
    assert only(found).policy is None
    assert any("policy of iteration 2" in b.said for b in found.broken)
    assert trace(run, "M1").models == ()
    parent = trace(run, "M2").model
    assert parent is not None and parent.parent is None


def test_a_dataset_of_earlier_pairs_did_not_take_these(run: Run, actor: str, judge: str) -> None:
    """The actor pairs are new: M1 was not trained on them, but it was on the judge pairs."""
    rematerialized(run, "actor_pairs")
    pair = only(trace(run, actor)).pair("actor")
    assert pair is not None
    assert (pair.dataset, pair.trained) == (None, None)
    assert trace(run, actor).models == ()
    of_judge = only(trace(run, judge)).pair("judge")
    assert of_judge is not None and of_judge.trained is not None


def test_what_is_not_made_yet_is_not_there(run: Run, actor: str) -> None:
    """Without a record an artifact is not complete, whatever lies there."""
    for asset in ("selected_responses", "meta_judgments", "battle_matrices", "elo_pairs", "dpo_dataset", "checkpoints"):
        run.record_path(asset, "1").unlink()
    round_ = only(trace(run, actor))
    assert round_.contest is None
    assert [p.id for p in round_.pairs] == [actor]
    assert (round_.pairs[0].dataset, round_.pairs[0].trained) == (None, None)


# ------------------------------------------------------------------------------------------------------------ draws


def alike(count: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Responses of one prompt, half of them with the scores 5 and 4, half with 1 and 0; all equally long."""
    ids = [f"1.p.r{k}" for k in range(count)]
    responses = pl.DataFrame(
        {
            "response_id": ids,
            "prompt_id": "p",
            "k": range(count),
            "response": [f"text {k}" for k in range(count)],
            "finish_reason": "stop",
            "duplicate_of": pl.Series([None] * count, dtype=pl.String),
        }
    )
    scores = [[5.0, 4.0] if k % 2 else [1.0, 0.0] for k in range(count)]
    judgments = pl.DataFrame(
        {
            "judgment_id": [f"{i}.j{n}" for i in ids for n in range(2)],
            "response_id": [i for i in ids for _ in range(2)],
            "judgment": [f"judgment {n}" for _ in ids for n in range(2)],
            "finish_reason": "stop",
            "score": [s for both in scores for s in both],
        }
    )
    return responses, judgments


@pytest.mark.parametrize("seed", range(8))
def test_draws_are_the_methods_own(seed: int) -> None:
    """Whoever the method drew among equals, the lineage names, for all three kinds of draw."""
    responses, judgments = alike(8)
    [pair] = actor_pairs(responses, judgments, rho=0.0, seed=seed).rows.to_dicts()
    tied = {"chosen": [f"1.p.r{k}" for k in (1, 3, 5, 7)], "rejected": [f"1.p.r{k}" for k in (0, 2, 4, 6)]}
    winners = {draw.side: draw.winner for draw in draws_of("actor_pairs", tied, seed)}
    assert winners == {"chosen": pair["chosen_id"], "rejected": pair["rejected_id"]}

    [selected] = select_responses(responses, judgments, seed=seed).rows.to_dicts()
    draw = draw_between("selected", responses["response_id"].to_list(), f"selected|{seed}")
    assert draw is not None
    assert draw.winner == selected["response_id"]

    ids = [f"1.p.r0.j{n}" for n in range(4)]
    wins = [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], [0.0] * 4, [0.0] * 4]
    row = {"response_id": "1.p.r0", "judgment_ids": ids, "matrix": wins, "omega_1": 0.5, "omega_2": 0.5}
    row |= {"win_first": 4, "win_second": 4, "strongly_connected": False}
    matrices = pl.DataFrame([row], schema=BATTLE_MATRICES.schema)
    texts = pl.DataFrame(
        {"judgment_id": ids, "response_id": "1.p.r0", "judgment": ["a", "b", "c", "d"], "finish_reason": "stop"}
    )
    [rated] = elo_pairs(matrices, texts, max_chosen_chars=None, seed=seed).rows.to_dicts()
    winners = {d.side: d.winner for d in draws_of("elo", {"chosen": ids[:2], "rejected": ids[2:]}, seed)}
    assert winners == {"chosen": rated["chosen_id"], "rejected": rated["rejected_id"]}


def test_without_a_tie_there_is_no_draw() -> None:
    assert draw_between("chosen", ["1.p.r0"], "x") is None
    assert draws_of("elo", {"chosen": [], "rejected": ["a"]}, 0) == ()


def test_an_id_of_another_run_is_refused(finished: Run) -> None:
    """The name of the run itself may stand in front."""
    prompt = table(finished, "prompts")["prompt_id"][0]
    assert trace(finished, f"tiny/{prompt}").id == prompt
    with pytest.raises(UserError):
        trace(finished, f"other/{prompt}")
