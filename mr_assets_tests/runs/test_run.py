"""Runs: what shapes an artifact, what is done or out of date, and where everything lies."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.loop import LOOP
from mr_assets.runs.data_folder import PROJECT, data_root, resolve
from mr_assets.runs.record import read_record, write_record
from mr_assets.runs.run import Run
from mr_assets.runs.settings import changed_settings, overridden, overrides_of, settings_in_force, settings_of
from mr_assets.runs.status import failed_checks, state
from mr_assets.runs.stored import all_runs, load_run, remove_run, save, stored_runs
from mr_assets_tests.tiny import NAME, complete, files, tiny_run

JUDGE_SIDE = {"selected_responses", "meta_judgments", "battle_matrices", "elo_pairs"}


def artifacts(run: Run) -> Iterator[tuple[str, str | None]]:
    """Every artifact of a run, ancestors first."""
    yield from ((asset, None) for asset in LOOP.per("family"))
    yield from (("evaluation", model) for model in ("seed", "0"))
    for t in run.iterations:
        yield from ((asset, t) for asset in LOOP.per("iteration"))
        yield "evaluation", t


def reshaped(old: Run, *sets: str) -> set[str]:
    """The artifacts whose settings differ once the recipe is changed, like "actor_pairs 2"."""
    new = tiny_run(old.data, *sets)
    return {f"{a} {t or ''}".strip() for a, t in artifacts(old) if settings_of(old, a, t) != settings_of(new, a, t)}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return tiny_run(tmp_path)


@pytest.fixture
def done(run: Run) -> Run:
    """A run of which everything is complete."""
    for asset, partition in artifacts(run):
        complete(run, asset, partition)
    return run


# ------------------------------------------------------------------------------------------------ what shapes what


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ("iterations.2.rho=0.3", {"actor_pairs 2"}),
        ("iterations.1.max_chosen_chars=90", {"actor_pairs 1"}),
        ("iterations.1.max_chosen_judgment_chars=90", {"elo_pairs 1"}),
        ("iterations.2.keep_epoch=2", {"checkpoints 2"}),
        ("iterations.2.learning_rate=1e-5", {"checkpoints 2"}),
        ("dpo.beta=0.2", {"checkpoints 1", "checkpoints 2"}),
        ("switches.omega_scope=response", {"battle_matrices 1"}),
        ("switches.elo_ridge=0.1", {"elo_pairs 1"}),
        ("switches.judge_share_cap=0.5", {"dpo_dataset 1", "dpo_dataset 2"}),
        ("iterations.1.prompts=6", {"prompts 1", "prompts 2"}),
        ("iterations.2.prompts=6", {"prompts 2"}),
        ("sft.schedule_epochs=2", {"sft_checkpoint"}),
        ("responses.k=5", {"responses 1", "responses 2", *(f"evaluation {m}" for m in ("seed", 0, 1, 2))}),
        ("iterations.1.judge_training=false", {f"{asset} 1" for asset in JUDGE_SIDE}),
    ],
)
def test_a_setting_shapes_what_reads_it(run: Run, sets: str, expected: set[str]) -> None:
    """And nothing else; what follows from that is found through its inputs."""
    assert reshaped(run, sets) == expected


@pytest.mark.parametrize(
    "sets",
    [
        "engine.max_num_seqs=16",
        "engine.shard_size=8",
        "engine.enforce_eager=false",
        "engine.gpu_memory_utilization=0.5",
        "dpo.micro_batch_size=8",
        "dpo.gradient_checkpointing=true",
        "sft.save_steps=5",
        "title=another",
    ],
)
def test_speed_and_memory_shape_nothing(run: Run, sets: str) -> None:
    assert reshaped(run, sets) == set()


def test_guardrails_shape_nothing(run: Run) -> None:
    """They judge what was made."""
    assert reshaped(run, "guardrails.min_count=1", "guardrails.position_bias={warn: 0.0, stop: 0.0}") == set()


def test_the_seed_model_shapes_the_models_that_are_made_of_it(run: Run) -> None:
    """M_0, and the evaluation of the seed model itself; of a later model, the evaluation has it as its input."""
    changed = reshaped(run, "model.seed=another")
    assert {"sft_checkpoint", "evaluation seed"} <= changed
    assert not [a for a in changed if a.split()[0] in LOOP.per("iteration")]


def test_the_engines_own_type_shapes_every_sample(run: Run) -> None:
    sampled = {f"{a} {t}" for a in ("responses", "judgments") for t in (1, 2)} | {"meta_judgments 1"}
    assert reshaped(run, "engine.dtype=float32") == sampled | {f"evaluation {m}" for m in ("seed", 0, 1, 2)}


def test_the_judges_side_without_judge_training_is_shaped_by_that_word_run_lock(run: Run) -> None:
    """Iteration 2 of the tiny run trains no judge: its four empty tables survive any other change."""
    for asset in JUDGE_SIDE:
        assert settings_of(run, asset, "2") == {"iteration.judge_training": False}
    changed = reshaped(run, "seed=5", "judgments.n=4", "switches.elo_ridge=1.0", "engine.dtype=float32")
    assert not [a for a in changed if a.endswith(" 2") and a.split()[0] in JUDGE_SIDE]


def test_settings_are_json(run: Run) -> None:
    """A record that was read back compares equal."""
    for asset, partition in artifacts(run):
        settings = settings_of(run, asset, partition)
        assert json.loads(json.dumps(settings)) == settings


# ------------------------------------------------------------------------------------------------ done or not


def states(run: Run) -> dict[str, set[str]]:
    """Artifacts by state, "done" ones left out."""
    found: dict[str, set[str]] = {}
    for asset, partition in artifacts(run):
        now = state(run, asset, partition)
        if now != "done":
            found.setdefault(now, set()).add(f"{asset} {partition or ''}".strip())
    return found


def test_nothing_is_done_before_it_has_a_record(run: Run) -> None:
    assert {state(run, a, t) for a, t in artifacts(run)} == {"missing"}


def test_everything_is_done_once_it_has_one(done: Run) -> None:
    assert states(done) == {}


def test_another_rho_makes_that_iterations_actor_pairs_out_of_date(done: Run) -> None:
    """Nothing of iteration 1. What follows in iteration 2 is out of date once the new pairs differ."""
    changed = tiny_run(done.data, "iterations.2.rho=0.3")
    assert states(changed) == {"out of date": {"actor_pairs 2"}}
    complete(changed, "actor_pairs", "2", version="v2")
    assert states(changed) == {"out of date": {"dpo_dataset 2"}}


def test_a_model_trained_again_reaches_the_next_iteration(done: Run) -> None:
    """The handoff is no edge of Dagster's graph, but the record of policy[2] has checkpoints[1] as its input."""
    assert done.ancestors("policy", "2") == [("checkpoints", "1")]
    assert done.ancestors("policy", "1") == [("sft_checkpoint", None)]
    complete(done, "checkpoints", "1", version="v2")
    assert states(done) == {"out of date": {"policy 2", "evaluation 1"}}
    complete(done, "sft_checkpoint", version="v2")
    assert states(done)["out of date"] == {"policy 1", "policy 2", "evaluation 0", "evaluation 1"}


def test_the_same_content_again_makes_nothing_out_of_date(done: Run) -> None:
    """Versions are of content: materializing again with the same result changes nothing."""
    complete(done, "responses", "1", version="v1")
    assert states(done) == {}


def test_what_a_person_overrode_is_done(done: Run) -> None:
    """actor_pairs[2] were made with another rho on purpose: they stay, also when they must be made again for their
    inputs. Going as the recipe says, they are out of date; and so they are when another field of the recipe changes.
    """
    overrides = {"rho": 0.3}
    record = complete(overridden(done, "actor_pairs", "2", overrides), "actor_pairs", "2")
    write_record(done.record_path("actor_pairs", "2"), replace(record, overrides=overrides))
    assert states(done) == {}
    assert overrides_of(done, "actor_pairs", "2") == overrides
    complete(done, "judgments", "2", version="v2")
    assert "actor_pairs 2" in states(done)["out of date"]
    assert overrides_of(done, "actor_pairs", "2") == overrides
    complete(done, "judgments", "2")
    assert states(replace(done, as_recipe=True)) == {"out of date": {"actor_pairs 2"}}
    changed = tiny_run(done.data, "iterations.2.max_chosen_chars=90")
    assert states(changed) == {"out of date": {"actor_pairs 2"}}
    assert settings_in_force(changed, "actor_pairs", "2")["iteration.rho"] == 0.3


def test_an_override_that_the_recipe_has_taken_over_is_none(done: Run) -> None:
    """The run was updated to the very rho that was chosen: nothing departs any more, and nothing is out of date."""
    overrides = {"rho": 0.3}
    record = complete(overridden(done, "actor_pairs", "2", overrides), "actor_pairs", "2")
    write_record(done.record_path("actor_pairs", "2"), replace(record, overrides=overrides))
    updated = tiny_run(done.data, "iterations.2.rho=0.3")
    assert overrides_of(updated, "actor_pairs", "2") == {}
    assert states(updated) == {}


def test_an_override_that_the_recipe_has_come_to_refuse_is_given_up(done: Run) -> None:
    """Epoch 2 was kept, and the schedule has one epoch now."""
    overrides = {"keep_epoch": 2}
    record = complete(overridden(done, "checkpoints", "2", overrides), "checkpoints", "2")
    write_record(done.record_path("checkpoints", "2"), replace(record, overrides=overrides))
    assert states(done) == {}
    shorter = tiny_run(done.data, "iterations.all.keep_epoch=1", "dpo.schedule_epochs=1")
    assert overrides_of(shorter, "checkpoints", "2") == {}
    assert "checkpoints 2" in states(shorter)["out of date"]


def test_a_record_of_before_there_were_overrides_still_loads(run: Run) -> None:
    complete(run, "seed_prompts")
    path = run.record_path("seed_prompts")
    old = json.loads(path.read_text())
    del old["overrides"], old["code"]
    path.write_text(json.dumps(old))
    assert state(run, "seed_prompts") == "done"


def test_a_record_that_calls_overrides_chosen_is_read(done: Run) -> None:
    """As version 0.1 wrote it; what writes it again gives it the present name."""
    overrides = {"rho": 0.3}
    complete(overridden(done, "actor_pairs", "2", overrides), "actor_pairs", "2")
    path = done.record_path("actor_pairs", "2")
    old = json.loads(path.read_text())
    del old["overrides"]
    path.write_text(json.dumps(old | {"chosen": overrides}))
    record = read_record(path)
    assert record is not None
    assert (record.overrides, record.unknown) == (overrides, {})
    assert overrides_of(done, "actor_pairs", "2") == overrides
    assert states(done) == {}
    write_record(path, record)
    written = json.loads(path.read_text())
    assert (written["overrides"], "chosen" in written) == (overrides, False)


def test_what_lost_its_record_is_missing(done: Run) -> None:
    """What was made of it is out of date until it is there again."""
    done.record_path("prompts", "2").unlink()
    assert states(done) == {
        "missing": {"prompts 2"},
        "out of date": {"responses 2", "judgments 2", "meta_judgments 2", "dpo_dataset 2"},
    }


@pytest.mark.parametrize("text", ["", "{", "[]", '{"asset": "responses"}', '{"unknown": 1}', "null"])
def test_a_broken_record_is_none(tmp_path: Path, text: str) -> None:
    """Then what it stood beside is not complete."""
    path = tmp_path / "1.json"
    path.write_text(text)
    assert read_record(path) is None
    assert read_record(tmp_path) is None


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


def test_what_a_later_version_notes_is_kept(run: Run) -> None:
    """A field that this version does not know makes a record neither missing nor poorer."""
    complete(run, "seed_prompts")
    path = run.record_path("seed_prompts")
    later = json.loads(path.read_text()) | {"signed_by": {"name": "Ada"}, "cost": 3}
    path.write_text(json.dumps(later))
    record = run.record("seed_prompts")
    assert record is not None
    assert state(run, "seed_prompts") == "done"
    write_record(path, replace(record, seconds=2.0))
    assert {k: json.loads(path.read_text())[k] for k in ("signed_by", "cost", "seconds")} == {
        "signed_by": {"name": "Ada"},
        "cost": 3,
        "seconds": 2.0,
    }


@pytest.mark.parametrize("field", [{"inputs": []}, {"settings": 1}, {"asset": None}, {"model": {"path": 1}}])
def test_a_record_with_a_field_of_another_kind_is_none(run: Run, field: dict[str, object]) -> None:
    complete(run, "seed_prompts")
    path = run.record_path("seed_prompts")
    path.write_text(json.dumps(json.loads(path.read_text()) | field))
    assert read_record(path) is None


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
    assert states(done)["out of date"] >= {"judgments 1"}


def test_what_an_unknown_or_other_check_measured_is_no_failure(done: Run) -> None:
    """A later version's check, and a figure that this version cannot read."""
    fails(done, "judgments", "1", of_the_future=FEW_SCORES, parse_rate={"value": 0.0})
    assert states(done) == {}


def test_a_record_reads_back_as_it_was_written(run: Run) -> None:
    complete(run, "seed_prompts")
    record = complete(run, "prompts", "1")
    write_record(run.record_path("prompts", "1"), record)
    assert record.inputs == {"seed_prompts": "v1"}
    assert run.record("prompts", "1") == record


# ---------------------------------------------------------------------------------------------- the user's own files


@pytest.mark.parametrize(
    ("name", "sets", "asset", "setting"),
    [
        ("mine.txt", ("prompts.source=mine.txt", "prompts.count=null"), "seed_prompts", "content of prompts.source"),
        ("mine.jsonl", ("eft.source=mine.jsonl",), "eft_dataset", "content of eft.source"),
        ("mine/config.json", ("model.seed=mine",), "sft_checkpoint", "content of model.seed"),
    ],
)
def test_another_content_of_a_file_makes_out_of_date(
    tmp_path: Path, name: str, sets: tuple[str, ...], asset: str, setting: str
) -> None:
    """Replaced in place, under the same name: what is made of it is out of date, until the old content is back."""
    run, path = tiny_run(tmp_path, *sets), tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("one")
    assert setting in complete(run, asset).settings
    assert state(run, asset) == "done"
    path.write_text("two")
    assert state(run, asset) == "out of date"
    assert list(changed_settings(run, asset)) == [setting]
    path.write_text("one")
    assert state(run, asset) == "done"


def test_another_seed_model_in_its_place_reaches_its_evaluation(tmp_path: Path) -> None:
    """Of a later model the seed is an ancestor, found through its inputs."""
    run = tiny_run(tmp_path, "model.seed=mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    assert "content of model.seed" in settings_of(run, "evaluation", "seed")
    assert "content of model.seed" not in settings_of(run, "evaluation", "1")


def test_a_record_without_a_content_is_not_out_of_date_for_it(tmp_path: Path) -> None:
    """It is of before contents were noted; what it names is all that is known."""
    run = tiny_run(tmp_path, "prompts.source=mine.txt", "prompts.count=null")
    record = complete(run, "seed_prompts")
    (tmp_path / "mine.txt").write_text("one")
    assert "content of prompts.source" not in record.settings
    assert state(run, "seed_prompts") == "done"


# ------------------------------------------------------------------------------------------------ names and places


def test_where_artifacts_lie(run: Run) -> None:
    """Tables are files with a record beside them, models folders with the record inside; shared ones the family's."""

    def places(asset: str, partition: str | None) -> list[str]:
        return [str(p.relative_to(run.data)) for p in (run.path(asset, partition), run.record_path(asset, partition))]

    assert places("responses", "2") == ["tiny/responses/2.parquet", "tiny/responses/2.json"]
    assert places("checkpoints", "2") == ["tiny/checkpoints/2", "tiny/checkpoints/2/complete.json"]
    assert places("policy", "2") == ["tiny/policy/2", "tiny/policy/2.json"]
    assert places("seed_prompts", None) == [f"{run.family}/seed_prompts.parquet", f"{run.family}/seed_prompts.json"]
    assert places("sft_checkpoint", None) == [
        f"{run.family}/sft_checkpoint",
        f"{run.family}/sft_checkpoint/complete.json",
    ]


def test_partition_keys(run: Run) -> None:
    assert run.iterations == ["1", "2"]
    assert run.models == ["seed", "0", "1", "2"]


def test_a_stored_recipe_reads_back_with_its_family(run: Run) -> None:
    """The tiny run's family has a hash, as it changes the number of prompts."""
    save(run)
    stored = stored_runs(run.data)["tiny"]
    assert (stored.name, stored.recipe, stored.family) == ("tiny", run.recipe, run.family)
    assert run.family.startswith("small_world_")


def test_a_launched_run_keeps_its_family(run: Run) -> None:
    """The family's plain recipe may change afterwards; the run's seed prompts and M_0 stay where they were made."""
    save(replace(run, launched_family="small_world_before"))
    stored = stored_runs(run.data)["tiny"]
    assert stored.family == "small_world_before"
    assert stored.path("sft_checkpoint") == run.data / "small_world_before" / "sft_checkpoint"


def test_a_recipe_that_a_person_put_there_has_no_family_line(run: Run) -> None:
    run.folder.mkdir()
    (run.folder / "recipe.yaml").write_text(run.recipe.dump_yaml(), encoding="utf-8")
    assert stored_runs(run.data)["tiny"].family == run.family


@pytest.mark.parametrize("content", [b"", b"title: [", b"\xff", b"title: 1", b"[" * 9999, None])
def test_an_unreadable_stored_recipe_hides_its_run_alone(
    run: Run, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    save(run)
    broken = run.data / "broken" / "recipe.yaml"
    broken.parent.mkdir()
    broken.mkdir() if content is None else broken.write_bytes(content)
    assert list(stored_runs(run.data)) == ["tiny"]
    assert "run broken is left out" in caplog.text


def test_all_runs_are_the_launched_and_the_shipped_ones(run: Run) -> None:
    """A launched run takes the place of the shipped recipe of its name."""
    changed = load_run(NAME, sets=("dpo.beta=0.2",), data=run.data)
    for each in (run, changed):
        save(each)
    found = {r.name: r for r in all_runs(run.data)}
    assert {"tiny", NAME, "llama_3_8b_meta_rewarding"} <= set(found)
    assert found[NAME].recipe == changed.recipe


@pytest.mark.parametrize("how", ["renamed", "copied"])
def test_a_runs_folder_may_be_renamed_or_copied(done: Run, how: str) -> None:
    """Everything is as it was; its own models are where the folder is now, the family's where they were."""
    save(done)
    other = done.folder.with_name("other")
    done.folder.rename(other) if how == "renamed" else shutil.copytree(done.folder, other)
    run = stored_runs(done.data)["other"]
    assert states(run) == {}
    paths = {place: record.model["path"] for place in MODELS if (record := run.record(*place)) and record.model}
    assert paths == {
        ("sft_checkpoint", None): f"{run.family}/sft_checkpoint",
        ("policy", "1"): f"{run.family}/sft_checkpoint",
        ("checkpoints", "1"): "other/checkpoints/1",
        ("policy", "2"): "other/checkpoints/1",
        ("checkpoints", "2"): "other/checkpoints/2",
    }


MODELS = (("sft_checkpoint", None), ("policy", "1"), ("checkpoints", "1"), ("policy", "2"), ("checkpoints", "2"))


def test_removing_a_run_leaves_the_family_alone(done: Run) -> None:
    save(done)
    other = replace(done, name="tiny_2")
    save(other)
    remove_run(done)
    assert sorted(p.name for p in done.data.iterdir()) == sorted([done.family, "tiny_2"])
    assert done.record("sft_checkpoint") is not None
    assert list(stored_runs(done.data)) == ["tiny_2"]
    remove_run(done)  # once more is no error


def test_a_removal_that_was_killed_is_taken_up(done: Run) -> None:
    """What is left of it is no run, and does not stand in the way of the next removal."""
    left = done.data / ".removed-tiny"
    left.mkdir()
    (left / "recipe.yaml").write_text(done.recipe.dump_yaml(), encoding="utf-8")
    save(done)
    assert list(stored_runs(done.data)) == ["tiny"]
    remove_run(done)
    assert sorted(p.name for p in done.data.iterdir()) == [done.family]


def test_a_run_of_a_bad_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lower-case"):
        load_run(NAME, name="Tiny Run", data=tmp_path)
    assert files(tmp_path) == {}


def test_resolve_looks_in_the_data_root_then_in_what_ships(tmp_path: Path) -> None:
    """Absolute paths stand for themselves; what is nowhere is named where the user would put it."""
    shipped = PROJECT / "data" / "seeds" / "small-world"
    assert resolve("seeds/small-world", tmp_path) == shipped
    own = tmp_path / "seeds" / "small-world"
    own.mkdir(parents=True)
    assert resolve("seeds/small-world", tmp_path) == own
    assert resolve(str(shipped), tmp_path) == shipped
    assert resolve("prompts/mine.txt", tmp_path) == tmp_path / "prompts" / "mine.txt"
    assert resolve("/nowhere/model", tmp_path) == Path("/nowhere/model")


def test_the_data_root_is_what_mr_data_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MR_DATA", str(tmp_path))
    assert data_root() == tmp_path.resolve()
    monkeypatch.setenv("MR_DATA", "")
    assert data_root() == PROJECT / "data"
