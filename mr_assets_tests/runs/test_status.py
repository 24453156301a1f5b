"""The state of artifacts, and what `mr status` says: what is stale and why, what departs, what has drifted."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.recipes.differences import Difference
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.runs.settings import overridden
from mr_assets.runs.status import (
    departed,
    drift,
    failed_checks,
    follows,
    held_out,
    lines,
    of_earlier_code,
    outdated_by,
    places,
    stale,
    state,
    why_stale,
)
from mr_assets.runs.stored import load_run, save, stored_runs
from mr_assets.worlds.letters import make_prompts
from mr_assets_tests.runs.conftest import states
from mr_assets_tests.tiny import NAME, SMALL, complete, tiny_run


def override(run: Run, asset: str, partition: str | None, **overrides: Any) -> None:
    """Complete an artifact with settings that a person overrode in the launchpad."""
    record = complete(overridden(run, asset, partition, overrides), asset, partition)
    write_record(run.record_path(asset, partition), replace(record, overrides=overrides))


def test_nothing_to_say(run: Run, done: Run) -> None:
    assert list(lines(done)) == []


def test_what_is_missing_is_in_the_table_alone(run: Run) -> None:
    assert list(lines(run)) == []
    assert why_stale(run, "actor_pairs", "1") == []


@pytest.mark.parametrize(
    ("sets", "asset", "partition", "why"),
    [
        ("iterations.2.rho=0.3", "actor_pairs", "2", "iteration.rho was 0.0, is now 0.3"),
        ("responses.k=5", "responses", "1", "responses.k was 4, is now 5"),
        ("switches.elo_ridge=0.1", "elo_pairs", "1", "switches.elo_ridge was 0.01, is now 0.1"),
        (
            "iterations.1.judge_training=false",
            "elo_pairs",
            "1",
            "iteration.judge_training was null, is now false",
        ),
    ],
)
def test_a_changed_setting_is_named(done: Run, sets: str, asset: str, partition: str, why: str) -> None:
    said = why_stale(tiny_run(done.data, sets), asset, partition)
    assert any(each.startswith(why) for each in said)


def test_a_changed_input_is_named(done: Run) -> None:
    """As it is called, also across the handoff; what is not there any more is missing."""
    complete(done, "judgments", "1", version="v2")
    complete(done, "checkpoints", "1", version="v2")
    done.record_path("sft_checkpoint").unlink()
    assert why_stale(done, "actor_pairs", "1") == ["judgments of iteration 1 changed"]
    assert why_stale(done, "policy", "2") == ["checkpoints of iteration 1 changed"]
    assert why_stale(done, "policy", "1") == ["sft_checkpoint is missing"]
    assert why_stale(done, "evaluation", "1") == ["checkpoints of iteration 1 changed"]


def test_what_is_stale_is_so_through_every_iteration(done: Run) -> None:
    """Judgments of iteration 1 are made again: the scores of M1 and M2 are those of models that would be others now."""
    assert stale(done) == {}
    complete(done, "judgments", "1", version="v2")
    found = stale(done)
    assert found["actor_pairs", "1"] == "judgments of iteration 1 changed"
    comes = "comes of dpo_dataset of iteration 1, which is stale"
    after = [("checkpoints", "1"), ("evaluation", "1"), ("policy", "2"), ("checkpoints", "2"), ("evaluation", "2")]
    for place in after:
        assert found[place] == comes
    for place in (("judgments", "1"), ("responses", "1"), ("prompts", "2"), ("evaluation", "0")):
        assert place not in found
    done.record_path("checkpoints", "2").unlink()
    assert stale(done)["evaluation", "2"] == "checkpoints of iteration 2 is missing"
    assert ("checkpoints", "2") not in stale(done)


def test_what_follows_crosses_the_iterations(done: Run) -> None:
    """Of other actor pairs in iteration 1 comes another M1, and of that everything in iteration 2 but its prompts."""
    found = follows(done, [("actor_pairs", "1")])
    assert [a for a, t in found if t == "1"] == ["dpo_dataset", "checkpoints", "evaluation"]
    of_2 = [a for a, t in found if t == "2"]
    assert "prompts" not in of_2
    assert {"policy", "responses", "checkpoints", "evaluation"} <= set(of_2)
    assert follows(done, [("checkpoints", "2")]) == [("evaluation", "2")]
    done.record_path("checkpoints", "2").unlink()
    assert ("checkpoints", "2") not in follows(done, [("actor_pairs", "1")])  # it is missing, and said to be


def test_what_an_artifact_makes_stale(done: Run) -> None:
    """What is made of another version of it, and what comes of that; nothing of what is made of this very one."""
    after = (
        "after that, iteration 1: checkpoints; evaluation of M1, evaluation of M2; "
        "iteration 2: everything but prompts; if what they are made of changes"
    )
    assert outdated_by(done, "actor_pairs", "1", "v2") == f"dpo_dataset of iteration 1; {after}"
    assert outdated_by(done, "actor_pairs", "1", "v1") == ""
    assert outdated_by(done, "checkpoints", "2", "v2") == "evaluation of M2"
    assert outdated_by(done, "evaluation", "2", "v2") == outdated_by(done, "evaluation", "seed", "v2") == ""
    done.record_path("dpo_dataset", "1").unlink()
    assert outdated_by(done, "actor_pairs", "1", "v2") == ""  # it is missing, and what came of it says so


def test_what_departs_is_named_with_both_values(done: Run) -> None:
    override(done, "actor_pairs", "2", rho=0.3, max_chosen_chars=90)
    assert departed(done) == {
        ("actor_pairs", "2"): ["rho = 0.3, the recipe says 0.0", "max_chosen_chars = 90, the recipe says null"]
    }
    assert departed(replace(done, as_recipe=True)) == {}
    assert list(lines(done)) == [
        "settings overridden in the launchpad, or kept by mr branch (mr run --as-recipe takes the recipe's)",
        "  actor_pairs of iteration 2: rho = 0.3, the recipe says 0.0; max_chosen_chars = 90, the recipe says null",
    ]


def test_what_is_stale_and_what_comes_of_it(done: Run) -> None:
    complete(done, "actor_pairs", "1", version="v2")
    assert list(lines(done)) == [
        "stale",
        "  dpo_dataset of iteration 1: actor_pairs of iteration 1 changed",
        "  after that, iteration 1: checkpoints; evaluation of M1, evaluation of M2; "
        "iteration 2: everything but prompts; if what they are made of changes",
    ]


def test_earlier_code_is_told(done: Run) -> None:
    """Of a record that does not say by which code, it is not known; nothing is stale for it."""
    for asset, code in (("actor_pairs", "another"), ("elo_pairs", "")):
        record = done.record(asset, "1")
        assert record is not None
        write_record(done.record_path(asset, "1"), replace(record, code=code))
    assert of_earlier_code(done) == [("actor_pairs", "1")]
    assert state(done, "actor_pairs", "1") == "done"
    assert list(lines(done))[1:] == ["  iteration 1: actor_pairs"]


@pytest.mark.parametrize("code", ["", "another"])
def test_held_out_prompts_of_an_earlier_version_are_told(done: Run, code: str) -> None:
    """Of a world's prompts one in fifty is held out: an earlier version trained on them."""
    asked, others = make_prompts(2, "x", held_out=True), make_prompts(3, "x")
    judged = [[{"role": "user", "content": f"Judge this: {prompt} It says: b."}] for prompt in (asked[0], others[0])]
    for asset, prompts in (("seed_prompts", [*others, *asked]), ("eft_dataset", judged)):
        path = done.path(asset)
        path.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame({"prompt": prompts}).write_parquet(path)
        record = complete(done, asset)
        write_record(done.record_path(asset), replace(record, code=code))
    assert held_out(done) == {"seed_prompts": (2, 5), "eft_dataset": (1, 2)}
    assert list(lines(done))[-3:] == [
        "trained on prompts that the evaluation asks (an earlier version left them in; materialize these again)",
        "  seed_prompts: 2 of 5 prompts are held out",
        "  eft_dataset: 1 of 2 prompts are held out",
    ]


def test_drift_of_a_persons_own_recipe(tmp_path: Path) -> None:
    """The file says another beta than at the launch, and what --set had changed is no drift."""
    file, data = tmp_path / "mine.yaml", tmp_path / "data"
    file.write_text(f"extends: {NAME}\ndpo: {{beta: 0.1}}\n")
    save(load_run(str(file), sets=("responses.k=4",), iterations=6, data=data))
    stored = stored_runs(data)["mine"]
    assert stored.origin == (str(file), "responses.k=4")
    assert drift(stored) == []
    file.write_text(f"extends: {NAME}\ndpo: {{beta: 0.2}}\n")
    assert drift(stored) == [Difference("dpo.beta", 0.1, 0.2)]
    assert list(lines(stored)) == [
        f"the recipe {file} has changed since the launch (mr run goes on with what was launched)",
        "  dpo.beta: launched with 0.1, now 0.2",
    ]
    file.unlink()
    [said] = lines(stored)
    assert "cannot be read any more" in said
    assert "mine.yaml" in said


def test_a_shipped_recipe_of_the_ui_knows_where_it_is_from(tmp_path: Path) -> None:
    save(load_run(NAME, sets=SMALL, name="tiny", data=tmp_path))
    stored = stored_runs(tmp_path)["tiny"]
    assert stored.origin == (NAME, *SMALL)
    assert drift(stored) == []


def test_a_run_of_before_origins_were_noted_has_no_drift(run: Run) -> None:
    save(run)
    assert stored_runs(run.data)["tiny"].origin == ()
    assert drift(run) == []


def test_nothing_is_done_before_it_has_a_record(run: Run) -> None:
    assert {state(run, a, t) for a, t in places(run)} == {"missing"}


def test_everything_is_done_once_it_has_one(done: Run) -> None:
    assert states(done) == {}


def test_another_rho_makes_that_iterations_actor_pairs_stale(done: Run) -> None:
    """Nothing of iteration 1. What follows in iteration 2 is stale once the new pairs differ."""
    changed = tiny_run(done.data, "iterations.2.rho=0.3")
    assert states(changed) == {"stale": {"actor_pairs 2"}}
    complete(changed, "actor_pairs", "2", version="v2")
    assert states(changed) == {"stale": {"dpo_dataset 2"}}


def test_a_model_trained_again_reaches_the_next_iteration(done: Run) -> None:
    """The handoff is no edge of Dagster's graph, but the record of policy[2] has checkpoints[1] as its input."""
    assert done.ancestors("policy", "2") == [("checkpoints", "1")]
    assert done.ancestors("policy", "1") == [("sft_checkpoint", None)]
    complete(done, "checkpoints", "1", version="v2")
    assert states(done) == {"stale": {"policy 2", "evaluation 1"}}
    complete(done, "sft_checkpoint", version="v2")
    assert states(done)["stale"] == {"policy 1", "policy 2", "evaluation 0", "evaluation 1"}


def test_the_same_content_again_makes_nothing_stale(done: Run) -> None:
    """Versions are of content: materializing again with the same result changes nothing."""
    complete(done, "responses", "1", version="v1")
    assert states(done) == {}


def test_what_lost_its_record_is_missing(done: Run) -> None:
    """What was made of it is stale until it is there again."""
    done.record_path("prompts", "2").unlink()
    assert states(done) == {
        "missing": {"prompts 2"},
        "stale": {"responses 2", "judgments 2", "meta_judgments 2", "dpo_dataset 2"},
    }


@pytest.mark.parametrize("where", ["seed_prompts", "prompts", "evaluation"])
@pytest.mark.parametrize("how", ["deleted", "cut short", "a folder", "a pipe"])
def test_a_record_without_its_table_is_missing(done: Run, where: str, how: str) -> None:
    """Complete is the record and what it stands for; a pipe in its place is not waited for."""
    partition = {"seed_prompts": None, "prompts": "2", "evaluation": "seed"}[where]
    path = done.path(where, partition)
    content = path.read_bytes()
    path.unlink()
    if how == "cut short":
        path.write_bytes(content[:-1])
    elif how != "deleted":
        path.mkdir() if how == "a folder" else os.mkfifo(path)
    assert state(done, where, partition) == "missing"
    assert str(path) in done.damage(where, partition)


@pytest.mark.parametrize("record", ["a pipe", "a folder"])
def test_a_pipe_in_place_of_a_record_is_not_waited_for(done: Run, record: str) -> None:
    path = done.record_path("prompts", "2")
    path.unlink()
    os.mkfifo(path) if record == "a pipe" else path.mkdir()
    assert state(done, "prompts", "2") == "missing"


FEW_SCORES = {"value": 0.0104, "rows": 480, "came": "1.04%: 5 of 480, the others 475 no_score", "numbers": {"all": 480}}


def fails(run: Run, asset: str, partition: str | None, **checks: dict[str, object]) -> None:
    """Have an artifact's record say what its checks measured."""
    record = complete(run, asset, partition)
    write_record(run.record_path(asset, partition), replace(record, checks=checks))


def test_a_failed_check_stays_failed(done: Run) -> None:
    """By the bounds of now: lower ones let the run go on, and what must be made again is not failed but to do."""
    fails(done, "judgments", "1", parse_rate=FEW_SCORES)
    assert states(done) == {"failed": {"judgments 1"}}
    [(place, [finding])] = failed_checks(done).items()
    assert place == ("judgments", "1")
    assert "Expected at least 90%" in finding.said
    assert "came 1.04%: 5 of 480, the others 475 no_score" in finding.said
    lower = tiny_run(done.data, "guardrails.judgment_parse_rate_at_least={warn: 0.9, stop: 0.01}")
    assert states(lower) == {}
    few = tiny_run(done.data, "guardrails.min_count=500")
    assert states(few) == {}
    complete(done, "responses", "1", version="v2")
    assert states(done)["stale"] >= {"judgments 1"}


NOISE = {"value": 0.31, "rows": 480, "came": "0.31 for the mean of 3 judgments", "numbers": {}}


def test_a_check_that_warns_is_told_and_stops_nothing(done: Run) -> None:
    """By the bounds of now; what must be made again is not told as if it were so. Where it fails, a page shows what."""
    fails(done, "judgments", "1", score_reliability=NOISE | {"interval": [0.25, 0.37]})
    assert states(done) == {}
    assert list(lines(done))[-2:] == [
        "warned (nothing stops; the check on the asset's page says what to do)",
        "  judgments of iteration 1: check score_reliability: came 0.31 for the mean of 3 judgments",
    ]
    stops = tiny_run(done.data, "guardrails.score_reliability_at_least={warn: 0.9, stop: 0.4}")
    said = list(lines(stops))
    assert "    mr explore shows what it counted: http://127.0.0.1:3001/runs/tiny/judgments?iteration=1" in said
    assert not any(line.startswith("warned") for line in said)
    complete(done, "responses", "1", version="v2")
    assert not any(line.startswith("warned") for line in lines(done))


def test_what_an_unknown_or_other_check_measured_is_no_failure(done: Run) -> None:
    """A later version's check, and a figure that this version cannot read."""
    fails(done, "judgments", "1", of_the_future=FEW_SCORES, parse_rate={"value": 0.0})
    assert states(done) == {}
