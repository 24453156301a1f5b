"""Settings: what shapes an artifact, the user's own files among it, and what a person overrode."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mr_assets.judging import LINES, PAPERS
from mr_assets.loop import LOOP
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.runs.settings import changed_settings, overridden, overrides_of, settings_in_force, settings_of
from mr_assets.runs.status import places, state
from mr_assets_tests.runs.conftest import states
from mr_assets_tests.tiny import complete, tiny_run

JUDGE_SIDE = {"selected_responses", "meta_judgments", "battle_matrices", "elo_pairs"}


def reshaped(old: Run, *sets: str) -> set[str]:
    """The artifacts whose settings differ once the recipe is changed, like "actor_pairs 2"."""
    new = tiny_run(old.data, *sets)
    return {f"{a} {t or ''}".strip() for a, t in places(old) if settings_of(old, a, t) != settings_of(new, a, t)}


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
        ("switches.judge_pairs=shuffled", {"dpo_dataset 1", "dpo_dataset 2"}),
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


def test_the_judges_side_without_judge_training_is_shaped_by_that_word(run: Run) -> None:
    """Iteration 2 of the tiny run trains no judge: its four empty tables survive any other change."""
    for asset in JUDGE_SIDE:
        assert settings_of(run, asset, "2") == {"iteration.judge_training": False}
    changed = reshaped(run, "seed=5", "judgments.n=4", "switches.elo_ridge=1.0", "engine.dtype=float32")
    assert not [a for a in changed if a.endswith(" 2") and a.split()[0] in JUDGE_SIDE]


def test_settings_are_json(run: Run) -> None:
    """A record that was read back compares equal."""
    for asset, partition in places(run):
        settings = settings_of(run, asset, partition)
        assert json.loads(json.dumps(settings)) == settings


def test_what_a_person_overrode_is_done(done: Run) -> None:
    """actor_pairs[2] were made with another rho on purpose: they stay, also when they must be made again for their
    inputs. Going as the recipe says, they are stale; and so they are when another field of the recipe changes.
    """
    overrides = {"rho": 0.3}
    record = complete(overridden(done, "actor_pairs", "2", overrides), "actor_pairs", "2")
    write_record(done.record_path("actor_pairs", "2"), replace(record, overrides=overrides))
    assert states(done) == {}
    assert overrides_of(done, "actor_pairs", "2") == overrides
    complete(done, "judgments", "2", version="v2")
    assert "actor_pairs 2" in states(done)["stale"]
    assert overrides_of(done, "actor_pairs", "2") == overrides
    complete(done, "judgments", "2")
    assert states(replace(done, as_recipe=True)) == {"stale": {"actor_pairs 2"}}
    changed = tiny_run(done.data, "iterations.2.max_chosen_chars=90")
    assert states(changed) == {"stale": {"actor_pairs 2"}}
    assert settings_in_force(changed, "actor_pairs", "2")["iteration.rho"] == 0.3


def test_an_override_that_the_recipe_has_taken_over_is_none(done: Run) -> None:
    """The run was updated to the very rho of the override: nothing departs any more, and nothing is stale."""
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
    assert "checkpoints 2" in states(shorter)["stale"]


@pytest.mark.parametrize(
    ("name", "sets", "asset", "setting"),
    [
        ("mine.txt", ("prompts.source=mine.txt", "prompts.count=null"), "seed_prompts", "content of prompts.source"),
        ("mine.jsonl", ("eft.source=mine.jsonl",), "eft_dataset", "content of eft.source"),
        ("mine/config.json", ("model.seed=mine",), "sft_checkpoint", "content of model.seed"),
    ],
)
def test_another_content_of_a_file_makes_stale(
    tmp_path: Path, name: str, sets: tuple[str, ...], asset: str, setting: str
) -> None:
    """Replaced in place, under the same name: what is made of it is stale, until the old content is back."""
    run, path = tiny_run(tmp_path, *sets), tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("one")
    assert setting in complete(run, asset).settings
    assert state(run, asset) == "done"
    path.write_text("two")
    assert state(run, asset) == "stale"
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


def test_a_record_without_a_content_is_not_stale_for_it(tmp_path: Path) -> None:
    """It is of before contents were noted; what it names is all that is known."""
    run = tiny_run(tmp_path, "prompts.source=mine.txt", "prompts.count=null")
    record = complete(run, "seed_prompts")
    (tmp_path / "mine.txt").write_text("one")
    assert "content of prompts.source" not in record.settings
    assert state(run, "seed_prompts") == "done"


def test_what_is_put_into_an_empty_mapping_is_one_change(run: Run) -> None:
    """By its own path, with its value; and back."""
    complete(run, "responses", "1")
    filled = tiny_run(run.data, "engine.extra={num_gpu_blocks_override: 9}")
    assert changed_settings(filled, "responses", "1") == {"engine.extra.num_gpu_blocks_override": (None, 9)}
    complete(filled, "responses", "1")
    assert changed_settings(run, "responses", "1") == {"engine.extra.num_gpu_blocks_override": (9, None)}


@pytest.mark.parametrize("place", [("judgments", "1"), ("meta_judgments", "1"), ("evaluation", "seed")])
def test_what_was_made_before_the_judges_words_were_fields_is_current(run: Run, place: tuple[str, str]) -> None:
    """Its record has neither words nor scale: they were the paper's."""
    complete(run, *place)
    record = run.record(*place)
    assert record is not None
    old = {
        name: {f: v for f, v in value.items() if f"{name}.{f}" not in PAPERS | LINES}
        if isinstance(value, dict)
        else value
        for name, value in record.settings.items()
    }
    assert old != record.settings
    write_record(run.record_path(*place), replace(record, settings=old))
    assert changed_settings(run, *place) == {}


@pytest.mark.parametrize("asset", ["eft_dataset", "sft_checkpoint"])
def test_a_meta_judge_prompt_shapes_no_examples_of_a_world(tmp_path: Path, asset: str) -> None:
    """They are judgments alone. Earlier versions noted it all the same: what they made is current with any."""
    plain, other = tiny_run(tmp_path), tiny_run(tmp_path, "meta_judgments.template=mine.txt")
    (tmp_path / "mine.txt").write_text("{prompt} {response} {judgment_a} {judgment_b}")
    assert settings_of(other, asset, None) == settings_of(plain, asset, None)
    assert other.family == plain.family
    record = complete(plain, asset)
    noted = {"meta_judgments.template": "mine.txt", "text of the meta-judge template": "0123456789abcdef"}
    write_record(plain.record_path(asset), replace(record, settings=record.settings | noted))
    assert (state(plain, asset), state(other, asset)) == ("done", "done")


def test_a_meta_judge_prompt_shapes_the_examples_that_may_have_it(tmp_path: Path) -> None:
    """A user's file may have meta-judgments, which are encoded as the engine will see them."""
    file = ("eft.source=mine.jsonl", "world=null", "evaluation=null", "prompts.source=mine.txt")
    plain, other = tiny_run(tmp_path, *file), tiny_run(tmp_path, *file, "meta_judgments.template=meta.txt")
    assert other.family != plain.family
    complete(plain, "sft_checkpoint")
    (tmp_path / other.family).symlink_to(tmp_path / plain.family)
    assert state(other, "sft_checkpoint") == "stale"
    assert list(changed_settings(other, "sft_checkpoint")) == ["meta_judgments.template"]
